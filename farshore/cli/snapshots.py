"""`farshore snapshots`: the snapshots that can be restored."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import with_listing
from farshore.cli.wording import ID_DIGITS_SHOWN, compact_bytes, utc_time
from farshore.errors import EXIT_DONE, HistoryCut, SnapshotUnknown

if TYPE_CHECKING:
    from farshore.catalog.snapshots import Snapshot
    from farshore.model import SnapshotInfo
    from farshore.replicas.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="only snapshots of this source")
    parser.add_argument("--locks", action="store_true", help="also show until when each replica keeps it locked")
    parser.add_argument(
        "--tag", action="append", default=[], metavar="TAG",
        help="only snapshots with this tag; repeated: with all of them",
    )  # fmt: skip
    parser.add_argument("--replica", metavar="NAME", help="ask this replica alone")
    parser.add_argument("--include-refused", action="store_true", help="also those that do not count, with the reason")


def execute(invocation: Invocation) -> int:
    """List snapshots in the order of their commits."""
    from farshore.catalog.snapshots import list_snapshots
    from farshore.format import names

    arguments, output, config = invocation.arguments, invocation.output, invocation.config()

    def listed(repository: Repository) -> list[Snapshot]:
        found = list_snapshots(repository, arguments.source, include_refused=arguments.include_refused)
        return [one for one in _with_tags(repository, found) if set(one.tags).issuperset(arguments.tag)]

    repository, found = with_listing(
        invocation, config, listed, replica=arguments.replica, source=arguments.source, ahead=(names.NOTES,)
    )
    for one in found:
        output.record("snapshot", one)
    if repository.refused or repository.unread or repository.foreign:
        from farshore.cli.refused import note_foreign, warn_refused

        warn_refused(output, repository.refused.values(), repository.unread)
        note_foreign(output, len(repository.foreign))
    if not found and not arguments.tag and arguments.source not in (None, *config.sources):
        raise SnapshotUnknown(f"no snapshot is of a source {arguments.source!r}, and none is configured")
    code = EXIT_DONE
    if repository.lost:
        from farshore.cli.lost import report_lost

        code = report_lost(output, repository.lost.values(), code)
    if not found:
        tagged = f" with the tags {', '.join(arguments.tag)}" if arguments.tag else ""
        output.note("no snapshots" + (f" of {arguments.source}" if arguments.source else "") + tagged)
        return code
    locked = ("locked until",) if arguments.locks else ()
    state = ("state",) if any(state_of(one) != "complete" for one in found) else ()
    tags = ("tags",) if any(one.tags for one in found) else ()
    older = ("data of",) if any(one.data_utc != one.started_utc for one in found) else ()
    output.table(
        ("snapshot", "source", "time", *older, "entries", "size", "new", "replicas", *tags, *state, *locked),
        [
            (
                one.snapshot_id[:ID_DIGITS_SHOWN],
                one.source,
                utc_time(one.committed_utc),
                *([format_data_moment(one)] if older else []),
                str(one.counts.entries),
                compact_bytes(one.counts.bytes_total),
                compact_bytes(one.counts.bytes_new),
                ",".join(one.replicas),
                *([", ".join(one.tags)] if tags else []),
                *([state_of(one)] if state else []),
                *([format_locks(one)] if arguments.locks else []),
            )
            for one in found
        ],
        right=frozenset({"entries", "size", "new"}),
    )
    return code


def _with_tags(repository: Repository, found: list[Snapshot]) -> list[Snapshot]:
    """Return snapshots with the tags that notes leave them. Most repositories have no notes, and load nothing here."""
    from farshore.format import names

    listed, failed = repository.ask_all(lambda replica: next(iter(replica.store.list(names.NOTES)), None))
    repository.note_unasked(failed)
    if not any(listed.values()):
        return found
    from farshore.catalog.notes import read_notes, with_tags

    return with_tags(found, read_notes(repository))


def state_of(snapshot: SnapshotInfo) -> str:
    """Return one word: REFUSED, AHEAD, MISDATED, FORKED, INCOMPLETE or complete, the gravest that applies."""
    words = {
        "REFUSED": bool(snapshot.refused), "AHEAD": snapshot.ahead, "MISDATED": snapshot.misdated,
        "FORKED": snapshot.forked, "INCOMPLETE": not snapshot.complete,
    }  # fmt: skip
    return next((word for word, applies in words.items() if applies), "complete")


def format_data_moment(snapshot: SnapshotInfo) -> str:
    """Return of when the data is, where that is not when it was read: of a standby that was behind its primary."""
    if snapshot.data_utc is None:
        return "unknown"
    return utc_time(snapshot.data_utc) if snapshot.data_utc != snapshot.started_utc else ""


def format_locks(snapshot: SnapshotInfo) -> str:
    """Return until when each replica promised to keep a snapshot's objects."""
    return ", ".join(f"{lock.replica} {utc_time(lock.until_utc)} ({lock.mode})" for lock in snapshot.locks)


COMMAND = Command(
    name="snapshots",
    summary="list snapshots and the replicas that hold them",
    description=(
        "List snapshots in the order in which they were committed: id, source, time, entries, size, new bytes, the "
        "reachable replicas that hold each, its tags, and its state where one is not complete; for a standby that was "
        "behind its primary also of when its data is; with --locks also until when each replica that locks its objects "
        "promised to keep all that the snapshot needs. Any unique prefix of an id names a snapshot in other commands."
    ),
    example="farshore snapshots home --json | jq -r .snapshot_id",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, HistoryCut),
)
