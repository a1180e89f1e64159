"""The rows of the audit tables as frozen values; needs no Parquet library, so that the command line starts fast.

One dataclass per table. The recorder adds `recorded_utc` to every row when it writes it, and `repository_id` and
`schema_version` to those of `runs`. Every time is timezone-aware. Empty text in a column that may be NULL is written as
NULL. Nothing here holds the name of a file of a source, except `CheckRow.paths`, which the recorder drops unless
`audit.paths` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from farshore.check_results import CheckMethod
from farshore.format.commit import Commit
from farshore.results import Found, RepairAction, ReplicaOutcome
from farshore.targets.base import TargetKind

SCHEMA_VERSION = 3  # grows by new columns that may be NULL; a column never changes its type or its meaning


class Operation(StrEnum):
    """The operations that write rows."""

    INIT = "init"
    BACKUP = "backup"
    RESTORE = "restore"
    VERIFY = "verify"
    HEAL = "heal"
    RETIRE = "retire"
    PRUNE = "prune"
    FOLD = "fold"
    REWRITE = "rewrite"


class RunResult(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_WARNINGS = "completed-with-warnings"
    FAILED = "failed"


class PartState(StrEnum):
    """The state of one replica after a run."""

    COMMITTED = "committed"
    LEFT_BEHIND = "left-behind"
    CREATED = "created"
    READ = "read"
    CHECKED = "checked"
    IN_SYNC = "level"
    BEHIND = "behind"
    RETIRED = "retired"
    PRUNED = "pruned"
    WAITING = "waiting"  # what is condemned is not deleted yet; the next prune goes on
    FAILED = "failed"


class ObjectKind(StrEnum):
    """The kinds of objects that a backup makes."""

    PACK = "pack"
    INDEX = "index"
    MANIFEST = "manifest"
    NEEDS = "needs"
    PAGES = "pages"
    COMMIT = "commit"
    DATA_KEY = "data-key"


class CopyState(StrEnum):
    """Whether a replica has an object."""

    ACKNOWLEDGED = "acknowledged"
    MISSING = "missing"
    FAILED = "failed"


class RepairMethod(StrEnum):
    """The way the good copy of an object reached a replica."""

    NONE = ""  # nothing was copied
    PUT = "put"  # through this host
    PROVIDER_COPY = "provider-copy"  # inside the provider


class ProofState(StrEnum):
    """The verdict on one object at one replica; a word of the audit table `proofs`."""

    OK = "ok"
    MISSING = "missing"
    TRUNCATED = "truncated"
    ALTERED = "altered"
    UNDECODABLE = "undecodable"
    UNPROVEN = "unproven"
    FOREIGN = "foreign"


class Against(StrEnum):
    """The source of the checksum that an object was compared with; a word of the audit table `proofs`."""

    NOTHING = ""
    NAME = "name"  # the hash in its name
    SENT = "sent"  # the checksum it was sent with
    PROOF = "proof"  # the checksum of the bytes that a verify read and found sound
    REPORTED = "told"  # the checksum that its provider reported when it was put
    PEER = "peer"  # what other replicas report


class LockAction(StrEnum):
    """The action of a run on the locks of a snapshot."""

    COMMITTED = "committed"
    EXTENDED = "extended"
    HELD = "held"
    RELEASED = "released"
    CHECKED = "checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPart:
    """The part of one replica in one run: an element of `RunRow.replicas`."""

    replica: str
    state: PartState
    bytes_sent: int = 0
    objects_sent: int = 0
    requests: int = 0
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMade:
    """The snapshot that a backup committed: columns of `RunRow`, and the view `snapshots`."""

    parent_snapshot_id: str = ""  # that it follows
    kind: str
    reading_utc: datetime
    committed_utc: datetime
    entries: int
    files: int
    bytes_total: int
    bytes_read: int
    bytes_new: int
    bytes_stored: int  # per replica
    chunks_new: int
    packs_new: int
    entries_unchanged: int = 0
    quorum: int
    replicas_committed: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    snapshot_state: str = "complete"  # or incomplete
    lacking: int = 0
    sequence: int
    shrunken: bool = False
    needs_since: int  # its needs are the rows of `needs` from this place of its source's chain to its own

    @staticmethod
    def of(commit: Commit, *, replicas: tuple[str, ...], needs_since: int, shrunken: bool = False) -> SnapshotMade:
        """Return the columns of a snapshot that its run committed at `replicas`."""
        counts = commit.counts
        return SnapshotMade(
            parent_snapshot_id=commit.parent,
            kind=commit.kind,
            reading_utc=commit.started_utc,
            committed_utc=commit.committed_utc,
            entries=counts.entries,
            files=counts.files,
            bytes_total=counts.bytes_total,
            bytes_read=counts.bytes_read,
            bytes_new=counts.bytes_new,
            bytes_stored=counts.bytes_stored,
            chunks_new=counts.chunks_new,
            packs_new=counts.packs_new,
            entries_unchanged=counts.entries_unchanged,
            quorum=commit.quorum,
            replicas_committed=replicas,
            facts=tuple(sorted(commit.facts.items())),
            snapshot_state=commit.state.value,
            lacking=counts.lacking,
            sequence=commit.sequence,
            shrunken=shrunken,
            needs_since=needs_since,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run of one operation, whether it ended well or not: table `runs`."""

    run_id: str
    engine: str = "cli"  # cli | prefect
    operation: Operation
    state: RunResult
    started_utc: datetime
    finished_utc: datetime
    source_id: str = ""
    source: str = ""
    snapshot_id: str = ""  # that the run made or read
    identity: str = ""  # scheduled moment or event id
    attempt: int = 1
    flow_run_id: str = ""  # of the orchestrator
    error_code: str = ""
    error: str = ""
    problems: int = 0
    host: str = ""
    version: str = ""
    replicas: tuple[ReplicaPart, ...] = ()
    made: SnapshotMade | None = None
    replaces: str = ""  # the snapshot in whose place a rewrite made this one

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return (self.finished_utc - self.started_utc).total_seconds()


class NeedsChange(StrEnum):
    """How the needs of a snapshot differ from those of the one before; a word of the audit table `needs`."""

    MADE = "made"
    REUSED = "reused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedRow:
    """One object that a run made, or that its snapshot needs and the one before did not, or the other way round.

    Table `needs`. `kind`, `bytes` and `checksums` are those of an object that the run made.
    """

    run_id: str
    object: str  # its name in the repository
    change: NeedsChange
    kind: ObjectKind | None = None
    bytes: int | None = None
    source_id: str
    snapshot_id: str
    sequence: int
    checksums: tuple[str, ...] | None = None  # `algorithm:hex` of the bytes before they were sent, sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRow:
    """One object at one replica: table `copies`."""

    run_id: str
    object: str
    replica: str
    region: str = ""
    provider: str  # s3 | gcs | azure | directory | memory: the kind of the store
    state: CopyState
    bytes: int
    checksum: str = ""  # as the provider gave it, `algorithm:hex`
    acknowledged_utc: datetime | None = None
    snapshot_id: str = ""
    error_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """The findings of a verify at one replica: table `checks`.

    One row per replica with no `object` (a check that found nothing is a row too, and one of a replica that could not
    be asked), and one row per damaged object. `objects_checked`, `bytes_read` and `damaged` are figures of the whole
    replica and are in the former; the latter have zeros there, so that sums are right.
    """

    run_id: str
    check_id: str
    replica: str
    object: str = ""
    state: (
        str  # ok | damaged | unreachable | inconclusive, or of an object: missing | truncated | altered | undecodable
    )
    detail: str = ""
    snapshot_ids: tuple[str, ...] = ()  # that the object touches
    started_utc: datetime
    finished_utc: datetime
    objects_checked: int = 0
    damaged: int = 0
    bytes_read: int = 0
    read_data_percent: float = 0.0
    paths_total: int = 0
    paths: tuple[str, ...] | None = None  # written only when `audit.paths` is set
    method: CheckMethod | None = None
    proven: int | None = None  # this and the next three: of a remote check
    unproven: int | None = None
    unrecorded: int | None = None
    foreign_objects: int | None = None
    oldest_read_utc: datetime | None = None  # since then every pack was read, or put


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRow:
    """The proof about one object at one replica: table `proofs`."""

    run_id: str
    replica: str
    object: str
    method: CheckMethod
    state: ProofState
    against: Against = Against.NOTHING
    checksum: str = ""  # algorithm:hex
    bytes: int
    checked_utc: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRow:
    """One restore: table `restores`."""

    run_id: str
    snapshot_id: str
    source_id: str
    source: str
    target_kind: TargetKind
    state: RunResult
    started_utc: datetime
    finished_utc: datetime
    entries: int
    files: int
    bytes_restored: int
    replicas: tuple[str, ...]  # that objects were read from
    verified: bool  # every byte written was hashed and matched the manifest
    fell_over: int = 0  # objects that were bad at one replica and read from another
    problems: int = 0

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return (self.finished_utc - self.started_utc).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRow:
    """One object that was found missing or wrong at one replica, and the action: table `repairs`."""

    run_id: str
    replica: str
    object: str
    found: Found
    action: RepairAction
    source_replica: str = ""  # that the good copy came from
    method: RepairMethod = RepairMethod.NONE
    bytes: int = 0  # put; 0 where nothing was
    blake3: str = ""  # of the good copy
    blake3_found: str = ""  # of the damaged bytes that were read
    snapshot_ids: tuple[str, ...] = ()  # that the object touches, as far as the keys at hand show
    detail: str = ""
    error_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRow:
    """How long one snapshot is locked at one replica, as far as one run saw to it or looked: table `locks`."""

    run_id: str
    replica: str
    snapshot_id: str
    source_id: str
    source: str
    action: LockAction
    mode: str = ""  # as the commit record or the store has it; empty where some object has no lock
    locked_until_utc: datetime | None = None  # the least of all objects; None where some object has no lock
    objects: int = 0  # that the snapshot needs there; 0 where they were not counted
    changed: int = 0  # objects whose lock or hold this run changed
    unlocked: int = 0
    held: int = 0  # objects under a legal hold
    error_code: str = ""

    @staticmethod
    def of(commit: Commit, *, replica: str, action: LockAction, run_id: str) -> LockRow:
        """Return a row about one snapshot at one replica; callers fill in what they found with `replace`."""
        return LockRow(
            run_id=run_id,
            replica=replica,
            snapshot_id=commit.snapshot,
            source_id=commit.source_id,
            source=commit.source,
            action=action,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRow:
    """One object that a prune deleted at one replica, or could not: table `deletions`."""

    run_id: str
    replica: str
    provider: str
    object: str
    kind: str
    bytes: int
    plan: int  # its number at the replica
    rule: str = ""  # by which snapshots were forgotten
    approvals: tuple[str, ...] = ()  # hashes of the approvals that allowed it
    deleted_utc: datetime
    error_code: str = ""  # why it is still there


AuditRow = RunRow | NeedRow | CopyRow | CheckRow | RestoreRow | RepairRow | ProofRow | LockRow | DeletionRow

TABLE_OF_ROW: dict[type[AuditRow], str] = {
    RunRow: "runs",
    NeedRow: "needs",
    CopyRow: "copies",
    CheckRow: "checks",
    RestoreRow: "restores",
    RepairRow: "repairs",
    ProofRow: "proofs",
    LockRow: "locks",
    DeletionRow: "deletions",
}


class Claim(NamedTuple):
    """The columns of a row by which it is judged whether its signer may say it; empty where the table has none."""

    operation: str
    source_id: str
    source: str

    @staticmethod
    def of(row: AuditRow) -> Claim:
        """Return the claim of a row."""
        return Claim(*(str(getattr(row, name, "")) for name in Claim._fields))


def replica_parts(outcomes: Iterable[ReplicaOutcome]) -> tuple[ReplicaPart, ...]:
    """Return the `RunRow.replicas` of a backup run."""
    return tuple(
        ReplicaPart(
            replica=outcome.replica,
            state=PartState.COMMITTED if outcome.committed else PartState.LEFT_BEHIND,
            bytes_sent=outcome.bytes_sent,
            objects_sent=outcome.objects_sent,
            requests=outcome.requests,
            error_code=outcome.error_code,
            error=outcome.error,
        )
        for outcome in outcomes
    )
