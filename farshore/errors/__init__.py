"""Every error Farshore raises, grouped by what the catcher should do.

    FarshoreError
      UserError      fix the input or the configuration, then run again
      Unavailable    passing trouble: a retry may succeed
      Conflict       somebody else was first, or the state is unknown: read again before deciding
      NotFound       the named thing is not there
      Denied         credentials or keys do not allow it
      Corrupt        data is wrong: stop, never retry, look for another copy
      Unsupported    made by a newer Farshore, or something needed is lacking, here or at a service
      BackupOverdue  the newest snapshot is too old: find out why no backup ran
      PlanUnsound    the plan does not keep what it promises: change replicas, key holders or the policy
      ReplicaEmpty   a replica lists nothing where others list snapshots: say that it is new, or find out why
      SnapshotIncomplete  backups are made and lack something: make it readable, or exclude it
    Bug            an internal promise was broken: please report

`Failure` is above both, for the edges that report. A fallback catches `FarshoreError` or a part of it, never `Bug`.

Each class has a stable `code` (kebab-case), its own `exit_code`, `retryable`, and a default `hint` that says what
to do. Instances pickle with all their fields, because an orchestrator may move them between processes.
Exit codes 0 (done), 2 (usage), 3 (warnings), 4 (differences) and 130 (interrupted) belong to the command line.
"""

from farshore.errors.base import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    EXIT_WARNINGS,
    Bug,
    Failure,
    FarshoreError,
)
from farshore.errors.state import (
    BackupOverdue,
    BackupRunning,
    CheckInconclusive,
    ClockWrong,
    Conflict,
    Corrupt,
    HeaderDamaged,
    HealIncomplete,
    HostExhausted,
    KeyFileDamaged,
    LeaseLost,
    ListingShrunken,
    NothingLeft,
    ObjectArchived,
    ObjectCorrupt,
    ObjectsLost,
    ObjectTooLarge,
    PlacementNotMet,
    PlanUnsound,
    QuorumNotReached,
    ReplicaEmpty,
    ReplicaNeeded,
    ReplicaTooSlow,
    RepositoryMismatch,
    RestoreIncomplete,
    SnapshotIncomplete,
    SourceChanged,
    SourceCorrupt,
    SourceMoved,
    SourceUnavailable,
    StateUnknown,
    StoreConflict,
    StorePaused,
    StoreUnavailable,
    ToolUnavailable,
    Unavailable,
    VerifyFailed,
)
from farshore.errors.user import (
    BucketNotFound,
    ConfigInvalid,
    CredentialCannotRead,
    Denied,
    ExtraMissing,
    FeatureMissing,
    FormatTooNew,
    KeyMissing,
    LifecycleDeletes,
    LockDenied,
    LockUnsupported,
    NotFound,
    ObjectNotFound,
    OutletClosed,
    PathsClash,
    QueryInvalid,
    RepositoryExists,
    RepositoryMissing,
    SecretUnavailable,
    SnapshotUnknown,
    SourceDenied,
    SourceFileLeftOut,
    SourceMissing,
    SourceUnsupported,
    StoreDenied,
    StoreFull,
    StoreReadOnly,
    StoreUnfit,
    StoreUnsafe,
    TargetFailed,
    TargetForbidden,
    TargetNotEmpty,
    TargetTooSmall,
    Unsupported,
    UserError,
    WrongPassphrase,
)

# What a fallback may catch: the errors that a kind of call fails with while everything is as designed.
_Errors = tuple[type[FarshoreError], ...]

# Reading from replicas: another copy, an older snapshot or a full read serves as well.
READ_ERRORS: _Errors = (Unavailable, NotFound, Denied, Corrupt, Unsupported)

# Likewise through a file of this host, whose directory may be full or closed to us (see `host_places.unusable`).
CACHED_READ_ERRORS: _Errors = (*READ_ERRORS, StoreFull, ConfigInvalid)

# Asking the audit tables of one replica: those of another say the same.
TABLE_ERRORS: _Errors = (*CACHED_READ_ERRORS, RepositoryMissing)

# Opening a store that nothing depends on.
OPENING_ERRORS: _Errors = (*READ_ERRORS, UserError)

# Any verb of a store, also those that write.
STORE_ERRORS: _Errors = (*READ_ERRORS, Conflict, StoreFull)

__all__ = [
    "CACHED_READ_ERRORS",
    "EXIT_BUG",
    "EXIT_DONE",
    "EXIT_INTERRUPTED",
    "EXIT_USAGE",
    "EXIT_WARNINGS",
    "OPENING_ERRORS",
    "READ_ERRORS",
    "STORE_ERRORS",
    "TABLE_ERRORS",
    "BackupOverdue",
    "BackupRunning",
    "BucketNotFound",
    "Bug",
    "CheckInconclusive",
    "ClockWrong",
    "ConfigInvalid",
    "Conflict",
    "Corrupt",
    "CredentialCannotRead",
    "Denied",
    "ExtraMissing",
    "Failure",
    "FarshoreError",
    "FeatureMissing",
    "FormatTooNew",
    "HeaderDamaged",
    "HealIncomplete",
    "HostExhausted",
    "KeyFileDamaged",
    "KeyMissing",
    "LeaseLost",
    "LifecycleDeletes",
    "ListingShrunken",
    "LockDenied",
    "LockUnsupported",
    "NotFound",
    "NothingLeft",
    "ObjectArchived",
    "ObjectCorrupt",
    "ObjectNotFound",
    "ObjectTooLarge",
    "ObjectsLost",
    "OutletClosed",
    "PathsClash",
    "PlacementNotMet",
    "PlanUnsound",
    "QueryInvalid",
    "QuorumNotReached",
    "ReplicaEmpty",
    "ReplicaNeeded",
    "ReplicaTooSlow",
    "RepositoryExists",
    "RepositoryMismatch",
    "RepositoryMissing",
    "RestoreIncomplete",
    "SecretUnavailable",
    "SnapshotIncomplete",
    "SnapshotUnknown",
    "SourceChanged",
    "SourceCorrupt",
    "SourceDenied",
    "SourceFileLeftOut",
    "SourceMissing",
    "SourceMoved",
    "SourceUnavailable",
    "SourceUnsupported",
    "StateUnknown",
    "StoreConflict",
    "StoreDenied",
    "StoreFull",
    "StorePaused",
    "StoreReadOnly",
    "StoreUnavailable",
    "StoreUnfit",
    "StoreUnsafe",
    "TargetFailed",
    "TargetForbidden",
    "TargetNotEmpty",
    "TargetTooSmall",
    "ToolUnavailable",
    "Unavailable",
    "Unsupported",
    "UserError",
    "VerifyFailed",
    "WrongPassphrase",
]
