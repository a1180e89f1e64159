"""`farshore warm`: have the archived packs of a snapshot made readable, before a restore."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import SNAPSHOT_HELP, choose_snapshot
from farshore.cli.opening import able_to_write, opened_repository
from farshore.cli.wording import human_bytes, shown_text
from farshore.errors import EXIT_DONE, ObjectArchived, SnapshotUnknown, StoreDenied, StoreUnavailable
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.ops.restore.warm import SnapshotWarmth

LOOK_EVERY_S = 300.0  # warming needs minutes at the least
DAYS = 7
HOW_LONG = (
    ("DEEP_ARCHIVE", "12 hours, or 48 with the tier Bulk"),
    ("GLACIER", "3 to 5 hours, minutes with Expedited, up to 12 hours with Bulk"),
    ("Archive", "up to 15 hours, under an hour with High for small blobs"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help=SNAPSHOT_HELP)
    parser.add_argument("--replica", metavar="NAME", help="warm it at this replica")
    parser.add_argument("--days", type=int, default=DAYS, metavar="N", help=f"keep it readable so long ({DAYS})")
    parser.add_argument("--tier", default="", metavar="NAME", help="how fast, in the provider's words")
    parser.add_argument("--dry-run", action="store_true", help="say what is cold, and ask for nothing")
    parser.add_argument("--wait", action="store_true", help="wait until it can be read")


def execute(invocation: Invocation) -> int:
    """Look, ask, and perhaps wait."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.restore.warm import look_at_warmth, warm_snapshot

    arguments, output = invocation.arguments, invocation.output
    config = able_to_write(invocation, invocation.config())
    with opened_repository(
        invocation, config, need=Need.WRITE, writes=Writes.ALL, replica=arguments.replica
    ) as repository:
        snapshot = choose_snapshot(output, repository, arguments.snapshot)
        holders = [repository.replicas[name] for name in snapshot.replicas if name in repository.replicas]
        found = look_at_warmth(repository, snapshot, holders)
        for one in found:
            _print(invocation, one)
        chosen = min((one for one in found if not one.error_code), key=lambda one: one.bytes_cold, default=None)
        if chosen is None:
            raise StoreUnavailable("no replica of the snapshot could be asked")
        if not chosen.ready and not arguments.dry_run:
            replica = repository.replicas[chosen.replica]
            chosen = warm_snapshot(repository, snapshot, replica, days=arguments.days, tier=arguments.tier)
            output.line(f"{chosen.replica}: asked for {count_of(chosen.asked, 'pack')}")
            while arguments.wait and not chosen.ready:
                invocation.clock.wait_s(LOOK_EVERY_S)
                (chosen,) = look_at_warmth(repository, snapshot, [replica])
                output.note(f"{chosen.replica}: {count_of(chosen.warming, 'pack')} being warmed")
        output.record("warmth", chosen, ready=chosen.ready)
    if chosen.ready:
        output.line(f"{snapshot.snapshot_id[:12]} can be read at {chosen.replica}")
        return EXIT_DONE
    left = chosen.archived + chosen.warming
    output.error(ObjectArchived(f"{count_of(left, 'pack')} cannot be read yet at {chosen.replica}", _when(chosen)))
    return ObjectArchived.exit_code


def _print(invocation: Invocation, found: SnapshotWarmth) -> None:
    if found.error_code:
        invocation.output.warning(f"{found.replica}: {found.error_code}: {shown_text(found.error)}")
    elif found.ready:
        invocation.output.line(f"{found.replica}: all of {count_of(found.packs, 'pack')} can be read")
    else:
        invocation.output.line(
            f"{found.replica}: {found.archived + found.warming} of {count_of(found.packs, 'pack')} cannot be read, "
            f"{human_bytes(found.bytes_cold)} in {found.storage_class}; {found.warming} of them were asked for"
        )


def _when(found: SnapshotWarmth) -> str:
    for word, time in HOW_LONG:
        if word in found.storage_class.split(", "):
            return f"{word} takes {time}, as its provider says; run the same command again then, or with --wait."
    return "Run the same command again later, or with --wait."


COMMAND = Command(
    name="warm",
    acts=True,
    summary="have archived packs of a snapshot made readable",
    description=(
        "Say which packs of a snapshot are in an archive class and cannot be read, and ask the replica with the fewest "
        "of them (or --replica) to make them readable. Ends with 27 until they are, and with 0 then; run it again, or "
        "let it --wait. The provider bills for it."
    ),
    example="farshore warm home --tier Bulk\nfarshore warm home --wait && farshore restore home --target /srv/restored",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, StoreUnavailable, StoreDenied, ObjectArchived),
    interrupted="the requested packs are still being warmed",
)
