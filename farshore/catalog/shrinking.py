"""Whether a source has suddenly become much smaller than its last good snapshot. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from farshore import limits
from farshore.format.commit import Commit
from farshore.model import SnapshotCounts, SnapshotState


def counts_before(commits: Iterable[Commit]) -> SnapshotCounts | None:
    """Return the counts of the last complete snapshot of these, oldest first; None where there is none."""
    complete = [commit.counts for commit in commits if commit.state is SnapshotState.COMPLETE]
    return complete[-1] if complete else None


def has_shrunken(now: SnapshotCounts, before: SnapshotCounts | None) -> bool:
    """Whether entries or bytes are below half of what they were. A small source may change by any factor."""
    if before is None:
        return False
    fewer = before.entries >= limits.SHRINK_ENTRIES_MIN and now.entries * 2 < before.entries
    less = before.bytes_total >= limits.SHRINK_BYTES_MIN and now.bytes_total * 2 < before.bytes_total
    return fewer or less
