"""How far a run is, and its result: of backups, restores and status, for people, the flows and the audit rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from farshore.model import (
    DamagedObject,
    LostSnapshot,
    Problem,
    ReplicaRequests,
    SnapshotCounts,
    SnapshotId,
    SnapshotState,
    dataclass,
)

UNREACHABLE = "unreachable"  # state of a check of a replica that could not be asked: nothing is known of it


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


@dataclass(frozen=True, slots=True)
class ReplicaOutcome:
    """The outcome of one replica in one run."""

    replica: str
    committed: bool
    bytes_sent: int = 0
    objects_sent: int = 0
    requests: int = 0
    error_code: str = ""  # empty when committed
    error: str = ""
    locked_until_utc: datetime | None = None  # everything the snapshot needs there, at least; None without locks
    locks_extended: int = 0  # objects of earlier runs that were locked for longer


class WarningCode(StrEnum):
    """What a person should look at."""

    REPLICA_LEFT_BEHIND = "replica-left-behind"
    OBJECTS_LOST = "objects-lost"
    SNAPSHOT_INCOMPLETE = "snapshot-incomplete"
    SOURCE_SHRUNKEN = "source-shrunken"
    ENTRIES_INCOMPLETE = "entries-incomplete"
    HISTORY_CUT = "history-cut"


@dataclass(frozen=True, slots=True)
class RunWarning:
    """Something that a person should look at although the run counts. `code` is stable."""

    code: WarningCode
    subject: str  # the replica, or the source
    message: str
    cause: str = ""  # the code of the error behind it, see docs/reference/errors.md


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
    lost: tuple[LostSnapshot, ...] = ()  # earlier snapshots of the source that are gone from all replicas

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
        """For a person to look at: replicas that do not hold the snapshot, and entries that could not be read."""
        found = [
            RunWarning(
                WarningCode.REPLICA_LEFT_BEHIND, outcome.replica, outcome.error or "left behind", outcome.error_code
            )
            for outcome in self.replicas
            if not outcome.committed
        ]
        found += self.lossy
        found += [
            RunWarning(WarningCode.HISTORY_CUT, one.snapshot_id, f"no replica has it, and {one.detail}", "history-cut")
            for one in self.lost
        ]
        if not self.complete:
            said = f"the snapshot is incomplete: it lacks what {self.counts.lacking:,} of its problems name"
            found.append(RunWarning(WarningCode.SNAPSHOT_INCOMPLETE, self.source, said))
        if before := self.shrunken_from:
            said = (
                f"{self.counts.entries:,} of {before.entries:,} entries and {self.counts.bytes_total:,} of "
                f"{before.bytes_total:,} bytes are left of the last complete snapshot"
            )
            found.append(RunWarning(WarningCode.SOURCE_SHRUNKEN, self.source, said))
        if self.counts.problems:
            found.append(RunWarning(WarningCode.ENTRIES_INCOMPLETE, self.source, f"{self.counts.problems:,} problems"))
        return tuple(found)


class Found(StrEnum):
    """State of a replica's object before mending; a word of the audit table `repairs`."""

    SOUND = "sound"
    MISSING = "missing"
    TRUNCATED = "truncated"  # proven damaged, and shorter than it must be
    ALTERED = "altered"  # proven damaged otherwise
    FOREIGN = "foreign"  # no object of this repository


class RepairAction(StrEnum):
    """Action on a replica's object; a word of the audit table `repairs`."""

    NONE = "none"  # it is sound
    COPIED = "copied"  # it was missing and is there now
    REPLACED = "replaced"  # the damaged one was removed and the good one put
    REFUSED = "refused"  # it is damaged, and the replica does not let it be removed
    REMOVED = "removed"  # the damaged one was removed, and the good one could not be put: it is missing now
    LEFT = "left"  # nothing was done


@dataclass(frozen=True, slots=True)
class ReadRepaired:
    """An object that a reader found bad at one replica, and what was done about it with the copy of another."""

    replica: str
    name: str
    found: Found
    action: RepairAction
    source: str = ""  # the replica that the good copy came from
    bytes: int = 0  # put
    detail: str = ""
    error_code: str = ""

    @property
    def mended(self) -> bool:
        """Whether the object is whole now."""
        return self.action in (RepairAction.COPIED, RepairAction.REPLACED)


@dataclass(frozen=True, slots=True)
class DeltaCounts:
    """Names of entries that a restore into an existing tree found to differ; bytes are of content."""

    compared: int = 0  # entries of the snapshot
    added: int = 0
    replaced: int = 0
    patched: int = 0  # files that keep part of their content
    linked: int = 0  # names that were of another file
    metadata: int = 0  # the content was right
    deleted: int = 0  # names that the snapshot has not
    extra: int = 0  # likewise, and left
    leftovers: int = 0  # temporary files of a restore that was killed
    bytes_read: int = 0  # of the target's files, to compare them
    bytes_new: int = 0  # of files that are added or replaced
    bytes_fetched: int = 0  # of content that comes from the repository
    bytes_deleted: int = 0
    by_content: bool = False
    delete: bool = False
    dry_run: bool = False

    @property
    def differences(self) -> int:
        """Names that are not as in the snapshot; extra ones count where `delete` was asked for."""
        return self.added + self.replaced + self.patched + self.linked + self.metadata + self.deleted


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
    devices_left_out: int = 0  # on request, each name of one
    setuid_left_out: int = 0  # files that lost setuid, setgid or capabilities on request
    unrecorded: str = ""  # why no audit row was kept; empty where one was
    delta: DeltaCounts | None = None  # of a restore into an existing tree


@dataclass(frozen=True, slots=True)
class GarbageStatus:
    """The garbage of a replica, and since when it is there.

    `forgotten`: snapshots that are forgotten and not pruned, the first since `forgotten_since_utc`. `plan`: number of
    the plan that is open, since `plan_since_utc`, 0 where none is; `plan_objects`: how many it condemns; `blocked_by`:
    hosts of writers at work that it may wait for. `trash_objects`, `trash_bytes`: kept of what was deleted, since
    `trash_since_utc`.
    """

    forgotten: int = 0
    forgotten_since_utc: datetime | None = None
    plan: int = 0
    plan_since_utc: datetime | None = None
    plan_objects: int = 0
    blocked_by: tuple[str, ...] = ()
    trash_objects: int = 0
    trash_bytes: int = 0
    trash_since_utc: datetime | None = None


NO_GARBAGE = GarbageStatus()


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica as `farshore status` sees it."""

    replica: str
    url: str
    region: str
    reachable: bool
    snapshots: int = 0
    behind: int = 0  # snapshots that other replicas hold and this one does not
    lost: int = 0  # snapshots that no replica holds any more; alike at all that could be asked
    latest_utc: datetime | None = None
    last_check_utc: datetime | None = None
    last_check_clean: bool | None = None  # also where what it found was mended since
    last_check_mended: bool = False
    last_check_method: str = ""  # as the row of the check has it; a key of --json alone
    last_remote_check_utc: datetime | None = None  # by the checksums of its provider
    last_read_check_utc: datetime | None = None  # with content
    all_read_since_utc: datetime | None = None  # every pack was read, or put, since then
    locked_until_utc: datetime | None = None  # of each source the snapshot that is locked longest, the least of those
    clock_skew_s: float | None = None  # its clock less this host's; None where it told none
    garbage: GarbageStatus = NO_GARBAGE
    error_code: str = ""
    error: str = ""
