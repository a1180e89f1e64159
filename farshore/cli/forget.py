"""`farshore forget`: forget snapshots by hand, and list what is forgotten."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import add_tag, choose_snapshot
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.wording import ID_DIGITS_SHOWN, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    ApprovalMissing,
    ConfigInvalid,
    QuorumNotReached,
    SnapshotProtected,
    SnapshotUnknown,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.catalog.snapshots import Snapshot
    from farshore.ops.retain.unforget import ForgottenSnapshot
    from farshore.replicas.repository import Repository


@dataclass(frozen=True, slots=True)
class ForgottenRecord:
    """A snapshot that is forgotten: since when, why, and where its commit still is."""

    snapshot_id: str
    source: str
    since_utc: datetime
    reasons: tuple[str, ...]
    replicas: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "snapshots", nargs="*", metavar="SNAPSHOT", help="an id or prefix of one, SOURCE, or SOURCE@TIME"
    )
    add_tag(parser, "--tag", "all snapshots with this tag; repeated: with all of them")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for people who read it later")
    parser.add_argument("--list", action="store_true", help="list what is forgotten and not deleted")
    parser.add_argument("--even-last", action="store_true", help="also the last complete snapshot of a source")


def execute(invocation: Invocation) -> int:
    """Forget the snapshots that are named."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.retain.annotate import refuse_kept
    from farshore.ops.retain.forget import forget_snapshots
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    if (bool(arguments.snapshots) + bool(arguments.tag) + arguments.list) != 1:
        raise ConfigInvalid("say which snapshots to forget, or --tag, or --list", "farshore snapshots lists them.")
    config = able_to_read(invocation, invocation.config())
    writes = Writes.NONE if arguments.list else Writes.ALL
    run = Run.start(invocation.clock)
    with opened_repository(invocation, config, need=Need.MOST, writes=writes) as repository:
        if arguments.list:
            return _list(invocation, repository)
        chosen = {one.snapshot_id: one for one in (
            _tagged(repository, arguments.tag)
            if arguments.tag
            else (choose_snapshot(output, repository, text) for text in arguments.snapshots)
        )}  # fmt: skip
        if not arguments.even_last:
            _refuse_last(repository, list(chosen.values()))
        refuse_kept(repository, list(chosen.values()))
        reason = arguments.reason or "by hand"
        found = forget_snapshots(repository, list(chosen.values()), reason=reason, rule="", run=run)
    output.record("forgotten", found)
    for one in chosen.values():
        output.line(f"{one.snapshot_id[:ID_DIGITS_SHOWN]} of {one.source}, {utc_time(one.committed_utc)}: forgotten")
    output.note("nothing was deleted: 'farshore unforget' undoes it")
    for name, reason in found.failed.items():
        output.warning(f"{name} lacks tombstones: {shown_text(reason)}. They count there too; heal brings them")
    return EXIT_WARNINGS if found.failed else EXIT_DONE


def _tagged(repository: Repository, tags: Sequence[str]) -> list[Snapshot]:
    """Return the snapshots with all of these tags, or raise `SnapshotUnknown`."""
    from farshore.catalog.notes import read_notes, with_tags
    from farshore.catalog.snapshots import list_snapshots
    from farshore.config import checked_tags

    wanted = checked_tags(tags)
    found = with_tags(list_snapshots(repository), read_notes(repository))
    tagged = [one for one in found if set(one.tags).issuperset(wanted)]
    if not tagged:
        raise SnapshotUnknown(f"no snapshot has the tags {', '.join(wanted)}", "'farshore snapshots' shows them.")
    return tagged


def _refuse_last(repository: Repository, chosen: Sequence[Snapshot]) -> None:
    """Raise `SnapshotProtected` where no complete snapshot of a source would be left."""
    from farshore.catalog.snapshots import list_snapshots, trusted

    going = {one.snapshot_id for one in chosen}
    listed = list_snapshots(repository)
    for source_id in {one.source_id for one in chosen}:
        of_source = trusted([one for one in listed if one.source_id == source_id])
        last = next((one for one in reversed(of_source) if one.complete), None)
        if last is not None and last.snapshot_id in going:
            short = last.snapshot_id[:ID_DIGITS_SHOWN]
            raise SnapshotProtected(f"{short} is the last complete snapshot of {last.source}")


def _recorded(one: ForgottenSnapshot) -> ForgottenRecord:
    reasons = tuple(sorted({stone.reason for stone in one.tombstones.values()}))
    return ForgottenRecord(one.snapshot, one.source, one.since_utc, reasons, one.replicas)


def _list(invocation: Invocation, repository: Repository) -> int:
    from farshore.ops.retain.unforget import list_forgotten

    output = invocation.output
    found = [_recorded(one) for one in list_forgotten(repository)]
    for one in found:
        output.record("forgotten", one)
    if not found:
        output.note("nothing is forgotten")
        return EXIT_DONE
    rows = [
        (
            one.snapshot_id[:ID_DIGITS_SHOWN], one.source, utc_time(one.since_utc),
            shown_text("; ".join(one.reasons)), ",".join(one.replicas),
        )
        for one in found
    ]  # fmt: skip
    output.table(("snapshot", "source", "forgotten", "why", "replicas"), rows)
    output.note(f"{count_of(len(found), 'snapshot')} forgotten; 'farshore unforget SNAPSHOT' undoes it")
    return EXIT_DONE


COMMAND = Command(
    name="forget",
    summary="forget snapshots: they are not listed any more, and may be deleted",
    description=(
        "Forget snapshots by hand. They are neither listed nor healed any more; nothing is deleted, and "
        "'farshore unforget' undoes it as long as nothing was. What a pin or a hold keeps is refused, and so is the "
        "last complete snapshot of a source unless --even-last says so. Needs a key with the right to maintain."
    ),
    example="farshore forget --tag temporary\nfarshore forget 3f2a --reason 'holds a password'\nfarshore forget --list",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, SnapshotProtected, ApprovalMissing, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a replica lacks tombstones"),),
    acts=True,
    interrupted="nothing was deleted; what is forgotten already stays forgotten",
)
