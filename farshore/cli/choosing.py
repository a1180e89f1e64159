"""Which snapshot a command means, and what a person should know of that choice before anything is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.cli.lost import warn_lost
from farshore.cli.wording import ID_DIGITS_SHOWN, utc_time
from farshore.plural import count_of

if TYPE_CHECKING:
    import argparse

    from farshore.catalog.snapshots import Snapshot
    from farshore.cli.output import Output
    from farshore.replicas.repository import Repository

SNAPSHOT_HELP = "id, unique prefix, SOURCE (its last complete one), SOURCE@latest or SOURCE@TIME"


def add_tag(parser: argparse.ArgumentParser, option: str, help_text: str) -> None:
    """Declare an option for a tag, which may be repeated."""
    parser.add_argument(option, action="append", default=[], metavar="TAG", help=help_text)


def add_include_refused(parser: argparse.ArgumentParser) -> None:
    """Declare the option to use snapshots that do not count."""
    parser.add_argument(
        "--include-refused",
        action="store_true",
        help="also snapshots that no certified writer signed, or that a revocation cut off",
    )


def choose_snapshot(
    output: Output, repository: Repository, selector: str, *, include_refused: bool = False
) -> Snapshot:
    """Return the snapshot that a selector means, and warn where it is refused, incomplete, misdated, or not the last.

    Args:
        include_refused: An id may be that of a snapshot that does not count.

    Raises:
        SnapshotUnknown: None, or more than one.
    """
    from farshore.catalog.snapshots import LATEST, resolve_snapshot

    snapshot = resolve_snapshot(repository, selector, include_refused=include_refused)
    warn_lost(output, [one for one in repository.lost.values() if one.source_id == snapshot.source_id])
    named = f"snapshot {snapshot.snapshot_id[:ID_DIGITS_SHOWN]} of {snapshot.source}"
    if snapshot.passed_over:
        later = count_of(len(snapshot.passed_over), "later one is", "later ones are")
        output.warning(
            f"{named} from {utc_time(snapshot.started_utc)} is the last complete one; {later} INCOMPLETE "
            f"(see 'farshore snapshots {snapshot.source}'; {snapshot.source}@{LATEST} is the last of all)",
            code="snapshot-passed-over",
        )
    if not snapshot.complete:
        counted = snapshot.counts.lacking or snapshot.counts.problems
        lacks = count_of(counted, "entry that could not be read", "entries that could not be read")
        output.warning(f"{named} is INCOMPLETE: it lacks {lacks} when it was made", code="snapshot-incomplete")
    if snapshot.refused:
        output.warning(
            f"{named} is REFUSED ({snapshot.refused}): nothing proves that a writer of this repository made it, so "
            "what is in it may be anything",
            code="snapshot-refused",
        )
    if snapshot.forked:
        output.warning(
            f"{named} is FORKED: another snapshot follows the same one (see 'farshore snapshots {snapshot.source}')",
            code="snapshot-forked",
        )
    if snapshot.misdated:
        output.warning(
            f"{named} is dated {utc_time(snapshot.committed_utc)}, when it cannot have been committed: the clock of "
            "the host that made it was wrong",
            code="clock-wrong",
        )
    return snapshot
