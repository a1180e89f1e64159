"""The nouns of docs/glossary.md as frozen values; no I/O here.

Ids are lower-case hex text (`RepositoryId`, `SnapshotId`, `SourceId`, `KeyId`: 32 digits; `PackId`, `FragmentId`: 64
digits), except chunk ids, which are 32 raw bytes because there are millions of them. Names inside a source are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from farshore.counts import DeltaCounts

RepositoryId = str
SnapshotId = str
SourceId = str
KeyId = str
PackId = str
FragmentId = str
ChunkId = bytes

UNREACHABLE = "unreachable"  # state of a check of a replica that could not be asked: nothing is known of it
HOLE: ChunkId = bytes(32)  # an extent of this chunk reads as zeros and is a hole in the file


DATA_AS_OF = "data_as_of_utc"  # the fact of a snapshot whose source was itself a copy, with a time of its own
UNKNOWN_MOMENT = "unknown"


def data_moment(started_utc: datetime, facts: Mapping[str, str]) -> datetime | None:
    """Return up to when a snapshot has its source's data for certain: not later than reading began; None if unknown."""
    told = facts.get(DATA_AS_OF)
    if told is None:
        return started_utc
    try:
        return min(started_utc, datetime.fromisoformat(told))
    except (ValueError, TypeError):  # not a time, or one of no zone
        return None


class EntryKind(StrEnum):
    """What an entry of a source is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"  # another name of the file entry whose path is `target`
    FIFO = "fifo"
    SOCKET = "socket"
    CHARACTER_DEVICE = "character-device"
    BLOCK_DEVICE = "block-device"


class Extent(NamedTuple):
    """`length` bytes of `chunk` from `offset`; zeros when the chunk is `HOLE`."""

    chunk: ChunkId
    offset: int
    length: int


class Entry(NamedTuple):
    """One name of a source: its metadata, without its content. A tuple, because there are millions of them.

    `path` is relative to the source's root with `/` between names, and empty for the root itself. Times are in
    nanoseconds since the epoch, sizes in bytes. `inode` and `device` identify the file at the source and serve only
    change detection. `page_bytes` is 0 for a file cut by content, else the page size of a page-structured file.
    """

    path: bytes
    kind: EntryKind
    mode: int = 0  # permission bits with setuid, setgid and sticky; no file type bits
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    device: int = 0
    rdev: int = 0
    links: int = 1
    target: bytes = b""  # of a symlink, as stored; of a hard link, the path of the entry it names again
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # sorted by name; POSIX ACLs are among them
    page_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one entry that a person should know. Who reports it decides whether it `matters`."""

    path: bytes
    code: str  # vanished | unreadable | changing | unsupported | metadata
    message: str
    matters: bool = True  # the snapshot lacks something that the source had, so it is incomplete


@dataclass(frozen=True, slots=True)
class SnapshotCounts:
    """What one backup did. All byte figures are plain bytes unless they say stored."""

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
class SnapshotInfo:
    """One committed snapshot, as its commit record and the listings of the replicas tell it."""

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
        """Up to when it has its source's data for certain, by which an rpo is judged; None if nobody told."""
        return data_moment(self.started_utc, dict(self.facts))


@dataclass(frozen=True, slots=True)
class PromisedLock:
    """What a snapshot's commit record promises at a replica that lists it."""

    replica: str
    mode: str  # governance | compliance
    until_utc: datetime


@dataclass(frozen=True, slots=True)
class ReplicaOutcome:
    """What became of one replica in one run."""

    replica: str
    committed: bool
    bytes_sent: int = 0
    objects_sent: int = 0
    requests: int = 0
    error_code: str = ""  # empty when committed
    error: str = ""
    locked_until_utc: datetime | None = None  # everything the snapshot needs there, at least; None without locks
    locks_extended: int = 0  # objects of earlier runs that were locked for longer


@dataclass(frozen=True, slots=True)
class ReplicaRequests:
    """What one replica was asked by one run, as its service counts and bills it."""

    replica: str
    puts: int = 0  # also each part of a large object, and its beginning and end
    gets: int = 0
    heads: int = 0
    lists: int = 0  # pages
    deletes: int = 0
    bytes_up: int = 0  # of objects, without what the protocol adds
    bytes_down: int = 0

    @property
    def total(self) -> int:
        """Requests of every kind."""
        return self.puts + self.gets + self.heads + self.lists + self.deletes


@dataclass(frozen=True, slots=True)
class RunWarning:
    """Something that a person should look at although the run counts. `code` is stable."""

    code: str  # replica-left-behind | objects-lost | snapshot-incomplete | source-shrunken | entries-incomplete
    subject: str  # the replica, or the source
    message: str
    cause: str = ""  # the code of the error behind it, see docs/errors.md


@dataclass(frozen=True, slots=True)
class BackupResult:
    """The outcome of one backup run that reached its quorum."""

    snapshot_id: SnapshotId
    source: str
    run_id: str
    quorum: int
    started_utc: datetime
    finished_utc: datetime
    counts: SnapshotCounts
    replicas: tuple[ReplicaOutcome, ...]
    problems: tuple[Problem, ...] = ()  # at most the first 1,000; `counts.problems` has the number
    already_done: bool = False  # an earlier attempt at the same identity had committed
    requests: tuple[ReplicaRequests, ...] = ()  # of each replica that was reached
    lossy: tuple[RunWarning, ...] = ()  # replicas that hold the snapshot and lost objects of earlier ones
    shrunken_from: SnapshotCounts | None = None  # of the last complete snapshot, where less than half of it is left
    notes: tuple[str, ...] = ()  # what the source says of itself, with nothing wrong

    @property
    def warned(self) -> bool:
        """Whether a person should look although the snapshot counts."""
        return bool(self.warnings)

    @property
    def complete(self) -> bool:
        """Whether the snapshot has everything of its source; replicas do not matter here."""
        return self.counts.lacking == 0

    @property
    def state(self) -> SnapshotState:
        """Whether the snapshot is complete, as its commit record says."""
        return SnapshotState.COMPLETE if self.complete else SnapshotState.INCOMPLETE

    @property
    def warnings(self) -> tuple[RunWarning, ...]:
        """What a person should look at: replicas that do not hold the snapshot, and entries that could not be read."""
        found = [
            RunWarning("replica-left-behind", outcome.replica, outcome.error or "left behind", outcome.error_code)
            for outcome in self.replicas
            if not outcome.committed
        ]
        found += self.lossy
        if not self.complete:
            said = f"the snapshot is incomplete: it lacks what {self.counts.lacking:,} of its problems name"
            found.append(RunWarning("snapshot-incomplete", self.source, said))
        if before := self.shrunken_from:
            said = (
                f"{self.counts.entries:,} of {before.entries:,} entries and {self.counts.bytes_total:,} of "
                f"{before.bytes_total:,} bytes are left of the last complete snapshot"
            )
            found.append(RunWarning("source-shrunken", self.source, said))
        if self.counts.problems:
            found.append(RunWarning("entries-incomplete", self.source, f"{self.counts.problems:,} problems"))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The outcome of one restore."""

    snapshot_id: SnapshotId
    source: str
    run_id: str
    target: str
    started_utc: datetime
    finished_utc: datetime
    entries: int
    files: int
    bytes_restored: int
    replicas: tuple[str, ...]  # that objects were read from
    problems: tuple[Problem, ...] = ()
    fell_over: tuple[DamagedObject, ...] = ()  # objects that were bad at one replica and read from another
    hedged: int = 0  # requests that were made because another replica's answer was late
    repairs: tuple[ReadRepaired, ...] = ()  # what came of the damage that was found
    requests: tuple[ReplicaRequests, ...] = ()  # of each replica that was reached
    unmatched: tuple[str, ...] = ()  # patterns that matched nothing
    unrecorded: str = ""  # why no audit row was kept; empty where one was
    delta: DeltaCounts | None = None  # of a restore into an existing tree


@dataclass(frozen=True, slots=True)
class ReadRepaired:
    """An object that a reader found bad at one replica, and what was done about it with the copy of another."""

    replica: str
    name: str
    found: str  # missing | truncated | altered
    action: str  # copied | replaced | refused | removed | left
    source: str = ""  # the replica that the good copy came from
    bytes: int = 0  # put
    detail: str = ""
    error_code: str = ""

    @property
    def mended(self) -> bool:
        """Whether the object is whole now."""
        return self.action in ("copied", "replaced")


@dataclass(frozen=True, slots=True)
class DamagedObject:
    """An object that is missing or wrong at one replica, and what it touches."""

    replica: str
    name: str
    code: str  # missing | truncated | altered | undecodable
    detail: str
    snapshots: tuple[SnapshotId, ...] = ()
    paths: tuple[bytes, ...] = ()  # at most the first 1,000, as "source:path" is for the reader to make
    paths_total: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica as `farshore status` sees it."""

    replica: str
    url: str
    region: str
    reachable: bool
    snapshots: int = 0
    behind: int = 0  # snapshots that other replicas hold and this one does not
    latest_utc: datetime | None = None
    last_check_utc: datetime | None = None
    last_check_clean: bool | None = None  # also where what it found was mended since
    last_check_mended: bool = False
    last_check_method: str = ""  # listed | read | remote
    last_remote_check_utc: datetime | None = None  # by the checksums of its provider
    last_read_check_utc: datetime | None = None  # with content
    all_read_since_utc: datetime | None = None  # every pack was read, or put, since then
    locked_until_utc: datetime | None = None  # of each source the snapshot that is locked longest, the least of those
    clock_skew_s: float | None = None  # its clock less this host's; None where it told none
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two snapshots."""

    path: bytes
    change: str  # added | removed | modified | metadata
    kind: EntryKind
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one path between two snapshots of a source that follow each other."""

    source: str
    snapshot_id: SnapshotId  # the first one that has it so, or no longer has it
    committed_utc: datetime
    state: SnapshotState  # of that snapshot: what an incomplete one lacks may have been there
    change: str  # added | removed | modified | metadata
    path: bytes
    kind: EntryKind
    bytes_before: int = 0
    bytes_after: int = 0
    mtime_ns: int = 0  # of the entry; of one that was removed, as it last was
    previous_id: SnapshotId = ""  # the snapshot that it was compared with; empty for the first


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long operation is. Figures only ever grow within one stage."""

    stage: str  # scan | seal | replicate:<name> | commit | restore | verify:<name>
    entries: int = 0
    bytes_done: int = 0
    bytes_total: int = 0  # 0 when it is not known
    detail: str = ""
    extra: tuple[tuple[str, str], ...] = field(default=())


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """Report to nobody."""
