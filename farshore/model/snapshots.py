"""Snapshots, what a commit promises, and the differences between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from farshore.model.entries import EntryKind, SnapshotId, SourceId

DATA_AS_OF = "data_as_of_utc"  # the fact of a snapshot whose source was itself a copy, with a time of its own
UNKNOWN_MOMENT = "unknown"


def data_moment(started_utc: datetime, facts: Mapping[str, str]) -> datetime | None:
    """Return up to when a snapshot has its source's data for certain: not later than reading began; None if unknown."""
    moment = facts.get(DATA_AS_OF)
    if moment is None:
        return started_utc
    try:
        return min(started_utc, datetime.fromisoformat(moment))
    except (ValueError, TypeError):  # not a time, or one of no zone
        return None


@dataclass(frozen=True, slots=True)
class SnapshotCounts:
    """Counts of one backup. All byte figures are plain bytes unless they say stored."""

    entries: int = 0
    files: int = 0
    bytes_total: int = 0  # logical size of all files of the snapshot
    bytes_read: int = 0  # read from the source by this run
    bytes_new: int = 0  # of chunks the repository did not hold
    bytes_stored: int = 0  # of objects made by this run, per replica
    chunks_new: int = 0
    packs_new: int = 0
    entries_unchanged: int = 0
    problems: int = 0
    lacking: int = 0  # problems that matter: each leaves something out


class SnapshotState(StrEnum):
    """Whether a snapshot has everything of its source that a restore should bring back."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"  # it has problems that matter


@dataclass(frozen=True, slots=True)
class PromisedLock:
    """The promise of a snapshot's commit record at a replica that lists it."""

    replica: str
    mode: str  # as its commit record has it
    until_utc: datetime


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One committed snapshot, by its commit record and the listings of the replicas."""

    snapshot_id: SnapshotId
    source_id: SourceId
    source: str
    kind: str
    identity: str  # scheduled moment or event id; empty for a backup asked for by hand
    started_utc: datetime
    committed_utc: datetime
    counts: SnapshotCounts
    replicas: tuple[str, ...]  # names of the reachable replicas that hold it
    facts: tuple[tuple[str, str], ...] = ()
    locks: tuple[PromisedLock, ...] = ()  # of `replicas` that lock their objects
    state: SnapshotState = SnapshotState.COMPLETE
    sequence: int = 0  # its place among the snapshots of its source; 0 for the first ones, which had none
    parent: SnapshotId = ""  # the snapshot that it follows
    misdated: bool = False  # dated later than it can have been committed: no newest one
    passed_over: tuple[SnapshotId, ...] = ()  # later ones that a choice of it left out, because they are incomplete

    @property
    def complete(self) -> bool:
        """Whether it has everything of its source that a restore should bring back."""
        return self.state is SnapshotState.COMPLETE

    @property
    def data_utc(self) -> datetime | None:
        """Up to when it has its source's data for certain, by which an rpo is judged; None if it is unknown."""
        return data_moment(self.started_utc, dict(self.facts))


class ChangeKind(StrEnum):
    """How an entry of one snapshot differs from another's."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    METADATA = "metadata"  # alone: the content is the same


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two snapshots."""

    path: bytes
    change: ChangeKind
    kind: EntryKind
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """The fate of one path between two snapshots of a source that follow each other."""

    source: str
    snapshot_id: SnapshotId  # the first one that has it so, or no longer has it
    committed_utc: datetime
    state: SnapshotState  # of that snapshot: what an incomplete one lacks may have been there
    change: ChangeKind
    path: bytes
    kind: EntryKind
    bytes_before: int = 0
    bytes_after: int = 0
    mtime_ns: int = 0  # of the entry; of one that was removed, as it last was
    previous_id: SnapshotId = ""  # the snapshot that it was compared with; empty for the first
