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

Each class has a stable `code` (kebab-case), its own `exit_code`, `retryable`, and a default `hint` that says what
to do. Instances pickle with all their fields, because an orchestrator may move them between processes.
Exit codes 0 (done), 2 (usage), 3 (warnings), 4 (differences) and 130 (interrupted) belong to the command line.
"""

from __future__ import annotations

from typing import Any, ClassVar

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_WARNINGS = 3
EXIT_INTERRUPTED = 130


class FarshoreError(Exception):
    """Base of the tree.

    Args:
        message: What failed with the names involved; lower case, no full stop.
        hint: A sentence that says what to do; the class default when omitted.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_BUG
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.replicas: dict[str, FarshoreError] = {}  # why each could not be asked, where it is about several

    def __reduce__(self) -> tuple[type[FarshoreError], tuple[Any, ...]]:
        return type(self), (self.message, self.hint)

    def __str__(self) -> str:
        return self.message


class UserError(FarshoreError):
    """The input or the configuration must change before a retry makes sense."""


class ConfigInvalid(UserError):
    code = "config-invalid"
    exit_code = 10
    default_hint = "Correct farshore.toml; every key is described in docs/configuration.md."


class SourceMissing(UserError):
    code = "source-missing"
    exit_code = 11
    default_hint = "Check the name under [sources] and that its path or server exists."


class SnapshotUnknown(UserError):
    code = "snapshot-unknown"
    exit_code = 12
    default_hint = "List what there is with 'farshore snapshots'."


class RepositoryExists(UserError):
    code = "repository-exists"
    exit_code = 13
    default_hint = "Nothing was changed. Use the repository that is there, or choose an empty bucket or prefix."


class RepositoryMissing(UserError):
    code = "repository-missing"
    exit_code = 14
    default_hint = "Check the replica's URL, and that its disk is mounted; 'farshore init' makes what never was there."


class TargetNotEmpty(UserError):
    code = "target-not-empty"
    exit_code = 15
    default_hint = "Restore into an empty or new directory; --delta brings back what differs, or was interrupted."


class QueryInvalid(UserError):
    code = "query-invalid"
    exit_code = 16
    default_hint = "The tables and their columns are described in docs/audit.md."


class StoreFull(UserError):
    code = "store-full"
    exit_code = 17
    default_hint = "Free or add space at this replica; nothing that was there is lost, and the next run continues."


class TargetFailed(UserError):
    code = "target-failed"
    exit_code = 18
    default_hint = "Check free space and permissions at the restore target."


class SecretUnavailable(UserError):
    code = "secret-unavailable"
    exit_code = 19
    default_hint = "Check the variable, file or command that farshore.toml names for this secret."


class OutletClosed(UserError):
    """Standard output was closed by its reader, who wanted no more: nothing is wrong."""

    code = "outlet-closed"
    exit_code = 93
    default_hint = "Nothing is wrong where the reader wanted no more; else see why it ended."


class TargetForbidden(UserError):
    code = "target-forbidden"
    exit_code = 90
    default_hint = "Choose a place outside the replicas, the state directory and the cache; nothing was written."


class TargetTooSmall(UserError):
    code = "target-too-small"
    exit_code = 91
    default_hint = "Nothing was written. Free space, restore less, or go on with --no-space-check if you know better."


class PathsClash(UserError):
    code = "paths-clash"
    exit_code = 92
    default_hint = "Nothing was written. Restore fewer entries at once, or drop fewer leading names."


class Unavailable(FarshoreError):
    """Passing trouble; a retry may succeed.

    Args:
        wait_s: How long to wait before a retry, where the service told (`Retry-After`); 0 where it did not.
    """

    retryable = True

    def __init__(self, message: str, hint: str | None = None, wait_s: float = 0.0) -> None:
        super().__init__(message, hint)
        self.wait_s = wait_s

    def __reduce__(self) -> tuple[type[FarshoreError], tuple[Any, ...]]:
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
    default_hint = "The run paused for longer than its lease, so it was not committed. Run it again."


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


class ClockWrong(Conflict):
    code = "clock-wrong"
    exit_code = 36
    default_hint = "Set this host's clock (NTP), or that of the replica; snapshots are kept and judged by their times."


class NotFound(FarshoreError):
    """The named thing is not there."""


class ObjectNotFound(NotFound):
    code = "object-not-found"
    exit_code = 40
    default_hint = "Run 'farshore verify' to see which snapshots need it and which replica still has it."


class BucketNotFound(NotFound):
    code = "bucket-not-found"
    exit_code = 41
    default_hint = "Create the bucket or container first, or correct the replica's URL."


class Denied(FarshoreError):
    """Credentials or keys do not allow it."""


class StoreDenied(Denied):
    code = "store-denied"
    exit_code = 50
    default_hint = "Check the replica's credentials and the permissions of its bucket."


class WrongPassphrase(Denied):
    code = "wrong-passphrase"
    exit_code = 51
    default_hint = "Check the passphrase or identity file; without one of them the data cannot be read by anyone."


class CredentialCannotRead(Denied):
    code = "credential-cannot-read"
    exit_code = 52
    default_hint = "This host holds a write-only credential. Use the passphrase or an identity file to read."


class StoreReadOnly(Denied):
    code = "store-read-only"
    exit_code = 53
    default_hint = "This replica was opened for reading only."


class SourceDenied(Denied):
    code = "source-denied"
    exit_code = 54
    default_hint = "Check the source's credentials and permissions."


class KeyMissing(Denied):
    code = "key-missing"
    exit_code = 55
    default_hint = "Set FARSHORE_PASSPHRASE, or passphrase, identity or credential under [repository]."


class LockDenied(Denied):
    code = "lock-denied"
    exit_code = 56
    default_hint = "The writer needs the right to lock objects; docs/immutability.md lists it for each provider."


class Corrupt(FarshoreError):
    """Data is wrong; stop, never retry, look for another copy."""


class ObjectCorrupt(Corrupt):
    code = "object-corrupt"
    exit_code = 60
    default_hint = "Run 'farshore verify' to see what it touches; another replica may hold a good copy."


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


class Unsupported(FarshoreError):
    """Made by a newer Farshore, or something needed is lacking, here or at a service."""


class FormatTooNew(Unsupported):
    code = "format-too-new"
    exit_code = 70
    default_hint = "It was made by a newer Farshore; upgrade to read it."


class FeatureMissing(Unsupported):
    code = "feature-missing"
    exit_code = 71
    default_hint = "This repository uses a feature that this Farshore does not know; upgrade to read it."


class SourceUnsupported(Unsupported):
    code = "source-unsupported"
    exit_code = 72
    default_hint = "See docs/sources.md for the versions and settings that are supported."


class SourceFileLeftOut(Unsupported):
    code = "source-file-left-out"
    exit_code = 77
    default_hint = "A database without one of its files is no backup; put the file back where its server looks for it."


class StoreUnsafe(Unsupported):
    code = "store-unsafe"
    exit_code = 73
    default_hint = "Do not keep a replica there: two writers of one name both won, so objects can be lost unnoticed."


class StoreUnfit(Unsupported):
    code = "store-unfit"
    exit_code = 74
    default_hint = "The replica fails checks that Farshore relies on; docs/probe.md explains each and what to change."


class LockUnsupported(Unsupported):
    code = "lock-unsupported"
    exit_code = 75
    default_hint = "Enable locks at the bucket (docs/immutability.md), or take 'lock' out of this replica."


class LifecycleDeletes(Unsupported):
    code = "lifecycle-deletes"
    exit_code = 76
    default_hint = "Take this replica's prefix out of the rule; rules that end unfinished uploads are fine."


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
    default_hint = "See 'farshore plan check' for what to change; docs/placement.md describes each rule."


class NothingLeft(PlanUnsound):
    code = "nothing-left"
    exit_code = 82
    default_hint = "Make the changes that 'farshore plan check' names, or accept the loss under placement.accepted."


class ReplicaNeeded(PlanUnsound):
    code = "replica-needed"
    exit_code = 83
    default_hint = "Heal the others, add a replica, or change the policy first; docs/heal.md tells how to retire one."


class ReplicaEmpty(FarshoreError):
    """A replica lists nothing where others list snapshots: it is new, was emptied, or its URL is wrong."""

    code = "replica-empty"
    exit_code = 84
    default_hint = "If it is new, fill it with 'farshore replica add NAME'; else find out who emptied it."


class SnapshotIncomplete(FarshoreError):
    """The newest snapshots of a source lack something, and its last complete one is older than allowed."""

    code = "snapshot-incomplete"
    exit_code = 85
    default_hint = "Back it up to see what cannot be stored; make that readable, or exclude it."


class Bug(FarshoreError):
    """An internal promise was broken."""

    code = "bug"
    exit_code = EXIT_BUG
    default_hint = "Please report this with the output of 'farshore version'."
