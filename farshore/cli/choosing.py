"""Which snapshot a command means, and what a person should know of that choice before anything is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.cli.wording import ID_DIGITS_SHOWN, utc_time
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.catalog.snapshots import Snapshot
    from farshore.cli.output import Output
    from farshore.replicas.repository import Repository

SNAPSHOT_HELP = "id, unique prefix, SOURCE (its last complete one), SOURCE@latest or SOURCE@TIME"


def choose_snapshot(output: Output, repository: Repository, selector: str) -> Snapshot:
    """Return the snapshot that a selector means, and warn where it is incomplete, misdated, or not the last one.

    Raises:
        SnapshotUnknown: None, or more than one.
    """
    from farshore.catalog.snapshots import LATEST, resolve_snapshot

    snapshot = resolve_snapshot(repository, selector)
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
    if snapshot.misdated:
        output.warning(
            f"{named} is dated {utc_time(snapshot.committed_utc)}, later than it can have been committed: the clock of "
            "the host that made it was wrong",
            code="clock-wrong",
        )
    return snapshot
