"""Errors of what a run finds: trouble that passes, data that is wrong, backups that are not as the plan promises.

At the end, which errors a fallback may catch.
"""

from __future__ import annotations

from typing import Any

from farshore.errors.user import (
    ConfigInvalid,
    Denied,
    FarshoreError,
    NotFound,
    RepositoryMissing,
    StoreFull,
    Unsupported,
    UserError,
)


class Unavailable(FarshoreError):
    """Passing trouble; a retry may succeed.

    Args:
        wait_s: How long to wait before a retry, where the service says so (`Retry-After`); 0 where it did not.
    """

    retryable = True

    def __init__(self, message: str, hint: str | None = None, wait_s: float = 0.0) -> None:
        super().__init__(message, hint)
        self.wait_s = wait_s

    def __reduce__(self) -> tuple[type[Unavailable], tuple[Any, ...]]:
        return type(self), (self.message, self.hint, self.wait_s)


class StoreUnavailable(Unavailable):
    code = "store-unavailable"
    exit_code = 20
    default_hint = "Check the network and the replica's endpoint; the next run continues where this one stopped."


class QuorumNotReached(Unavailable):
    code = "quorum-not-reached"
    exit_code = 21
    default_hint = "Bring enough replicas back and run again; what was uploaded is kept and not sent twice."


class SourceUnavailable(Unavailable):
    code = "source-unavailable"
    exit_code = 22
    default_hint = "Check that the source answers and that its credentials are valid."


class SourceChanged(Unavailable):
    code = "source-changed"
    exit_code = 23
    default_hint = "The source changed while it was read; back up from a snapshot, or when it is quieter."


class ToolUnavailable(Unavailable):
    code = "tool-unavailable"
    exit_code = 24
    default_hint = "Install the missing tool or library that the message names."


class ObjectArchived(Unavailable):
    code = "object-archived"
    exit_code = 27
    default_hint = "Ask for it with 'farshore warm', and come back when it is ready; or read from another replica."


class HostExhausted(Unavailable):
    code = "host-exhausted"
    exit_code = 29
    default_hint = "Give the process more of what the message names, then run again; nothing was committed."


class StorePaused(Unavailable):
    """Nothing was asked: the replica failed many times in a row, and is asked again after `wait_s`."""

    code = "store-paused"
    exit_code = 25
    default_hint = "The replica failed many times in a row and is left alone for a while; check that its service works."


class ListingShrunken(Unavailable):
    code = "listing-shrunken"
    exit_code = 26
    default_hint = "Its listings are not to be trusted now; see what 'farshore replica probe' finds."


class ReplicaTooSlow(Unavailable):
    code = "replica-too-slow"
    exit_code = 28
    default_hint = "What it took is kept, and the next backup sends the rest; more bandwidth, uploads or spool help."


class Conflict(FarshoreError):
    """Somebody else was first, or the state is unknown; read again before deciding."""


class StoreConflict(Conflict):
    code = "store-conflict"
    exit_code = 30
    default_hint = "An object of this name exists with other bytes. Nothing was overwritten; run 'farshore verify'."


class LeaseLost(Conflict):
    code = "lease-lost"
    exit_code = 31
    default_hint = "Another host decided that the run was dead, so nothing was committed there. Run it again."


class BackupRunning(Conflict):
    code = "backup-running"
    exit_code = 32
    default_hint = "Another attempt at the same backup is at work; wait for it, or for its lease to end."


class RepositoryMismatch(Conflict):
    code = "repository-mismatch"
    exit_code = 33
    default_hint = "These replicas belong to different repositories; point each URL at a copy of the same one."


class StateUnknown(Conflict):
    code = "state-unknown"
    exit_code = 34
    default_hint = "What the replica holds is not known for sure. Run 'farshore verify', then run again."


class SourceMoved(Conflict):
    code = "source-moved"
    exit_code = 35
    default_hint = "Check what is mounted or which server answers; if another one is meant now, add --accept-new once."


class LogRolledBack(Conflict):
    code = "log-rolled-back"
    exit_code = 37
    default_hint = (
        "Reach a replica that has the newer owner log. If none is left that has it, 'farshore key trust --older-log' "
        "makes this host believe what is there."
    )


class LogForked(Conflict):
    code = "log-forked"
    exit_code = 38
    default_hint = "Look at both entries with 'farshore key log', and choose with 'farshore key trust --entry HASH'."


class HistoryCut(Conflict):
    code = "history-cut"
    exit_code = 39
    default_hint = (
        "Somebody deleted the newest objects at all replicas. Look for them at a replica that is not configured now, "
        "and at the older versions that the buckets keep; revoke whoever could delete."
    )


class RecipientRetired(FarshoreError):
    """A snapshot that counts was sealed to a key that the owner log had retired by then."""

    code = "recipient-retired"
    exit_code = 87
    default_hint = (
        "Whoever holds the retired private key can read that run. Find out whether its host was shown an old owner "
        "log, let it run again, and forget the snapshot once a newer one is there."
    )


class ClockWrong(Conflict):
    code = "clock-wrong"
    exit_code = 36
    default_hint = "Set this host's clock (NTP), or that of the replica; snapshots are kept and judged by their times."


class Corrupt(FarshoreError):
    """Data is wrong; stop, never retry, look for another copy."""


class ObjectCorrupt(Corrupt):
    code = "object-corrupt"
    exit_code = 60
    default_hint = "Run 'farshore verify' to see what it touches; another replica may hold a good copy."


class ObjectTooLarge(ObjectCorrupt):
    """Refused without having been read: nothing of its kind is as large."""

    code = "object-too-large"
    exit_code = 69
    default_hint = "This replica has something else under that name; 'farshore heal' copies a good one back."


class HeaderDamaged(Corrupt):
    code = "header-damaged"
    exit_code = 61
    default_hint = "farshore.json of this replica is damaged; the same file from another replica replaces it."


class KeyFileDamaged(Corrupt):
    code = "key-file-damaged"
    exit_code = 68
    default_hint = "Use the copy of the identity or credential that was kept elsewhere; the replicas are not damaged."


class VerifyFailed(Corrupt):
    code = "verify-failed"
    exit_code = 62
    default_hint = "Run 'farshore heal' or 'farshore verify --repair': they mend it with another replica's good copy."


class SourceCorrupt(Corrupt):
    code = "source-corrupt"
    exit_code = 63
    default_hint = "No snapshot was made. Run it again; what stays, check with the source's own tools before a repair."


class RestoreIncomplete(Corrupt):
    code = "restore-incomplete"
    exit_code = 64
    default_hint = "No replica holds a good copy of the listed entries; everything else was restored."


class HealIncomplete(Corrupt):
    code = "heal-incomplete"
    exit_code = 65
    default_hint = "Bring back a replica that has good copies, lift the lock that is named, or heal with a key."


class CheckInconclusive(Corrupt):
    """Nothing was found damaged, and not enough could be seen to call a replica sound."""

    code = "check-inconclusive"
    exit_code = 66
    default_hint = "An incomplete listing or lost audit tables prove nothing; run 'farshore verify --read-data'."


class ObjectsLost(Corrupt):
    code = "objects-lost"
    exit_code = 67
    default_hint = "'farshore verify' names the snapshots that need them; heal copies them back from another replica."


class BackupOverdue(FarshoreError):
    """The newest snapshot of a source is older than allowed; for monitoring."""

    code = "backup-overdue"
    exit_code = 80
    default_hint = "See what happened to the runs of this source with 'farshore sql', and back it up."


class PlanUnsound(FarshoreError):
    """The plan does not keep what it promises; change replicas, key holders or the policy."""


class PlacementNotMet(PlanUnsound):
    code = "placement-not-met"
    exit_code = 81
    default_hint = "See 'farshore plan check' for what to change; docs/operate/placement.md describes each rule."


class NothingLeft(PlanUnsound):
    code = "nothing-left"
    exit_code = 82
    default_hint = "Make the changes that 'farshore plan check' names, or accept the loss under placement.accepted."


class ReplicaNeeded(PlanUnsound):
    code = "replica-needed"
    exit_code = 83
    default_hint = "Heal the others, add a replica, or change the policy first; see docs/operate/heal.md."


class ReplicaEmpty(FarshoreError):
    """A replica lists nothing where others list snapshots: it is new, was emptied, or its URL is wrong."""

    code = "replica-empty"
    exit_code = 84
    default_hint = "If it is new, fill it with 'farshore replica add NAME'; else find out who emptied it."


class PruneRefused(FarshoreError):
    """A replica shows no ground to delete on; nothing was deleted there."""

    code = "prune-refused"
    exit_code = 88
    default_hint = "See docs/operate/prune.md for each refusal and what lifts it."


class CertificateEnded(FarshoreError):
    """Nothing is refused for it."""

    code = "certificate-ended"
    exit_code = 86
    default_hint = (
        "The owner lets it end later with 'farshore key renew HOST'. Until then everything goes on as before."
    )


class SnapshotIncomplete(FarshoreError):
    """The newest snapshots of a source lack something, and its last complete one is older than allowed."""

    code = "snapshot-incomplete"
    exit_code = 85
    default_hint = "Back it up to see what cannot be stored; make that readable, or exclude it."


# What a fallback may catch: the errors that a kind of call fails with while everything is as designed.
_Errors = tuple[type[FarshoreError], ...]

# Reading from replicas: another copy, an older snapshot or a full read serves as well.
READ_ERRORS: _Errors = (Unavailable, NotFound, Denied, Corrupt, Unsupported)

# Likewise through a file of this host, whose directory may be full or closed to us (see `host_resources.unusable`).
CACHED_READ_ERRORS: _Errors = (*READ_ERRORS, StoreFull, ConfigInvalid)

# Asking the audit tables of one replica: those of another say the same.
TABLE_ERRORS: _Errors = (*CACHED_READ_ERRORS, RepositoryMissing)

# Opening a store that nothing depends on.
OPENING_ERRORS: _Errors = (*READ_ERRORS, UserError)

# Any verb of a store, also those that write.
STORE_ERRORS: _Errors = (*READ_ERRORS, Conflict, StoreFull)
