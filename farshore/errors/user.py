"""The root of the tree, a broken promise, and what a person mends: input, configuration, access, this installation.

First the fields of every failure, and the exit codes of the command line.
"""

from __future__ import annotations

from typing import Any, ClassVar

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_WARNINGS = 3
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """Ends a command or a flow; only they catch it, and code that records the failure and goes on.

    Args:
        message: The failure with the names involved; lower case, no full stop.
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

    def __reduce__(self) -> tuple[type[Failure], tuple[Any, ...]]:
        return type(self), (self.message, self.hint)

    def __str__(self) -> str:
        return self.message


class FarshoreError(Failure):
    """Base of the tree of what can go wrong with everything as it was designed."""


class Bug(Failure):
    """An internal promise was broken. No `FarshoreError`: a fallback for trouble must not hide it."""

    code = "bug"
    exit_code = EXIT_BUG
    default_hint = "Please report this with the output of 'farshore version'."


class UserError(FarshoreError):
    """The input or the configuration must change before a retry makes sense."""


class ConfigInvalid(UserError):
    code = "config-invalid"
    exit_code = 10
    default_hint = "Correct farshore.toml; every key is described in docs/reference/configuration.md."


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
    default_hint = "The tables and their columns are described in docs/reference/audit.md."


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


class SnapshotProtected(UserError):
    code = "snapshot-protected"
    exit_code = 94
    default_hint = "Nothing was forgotten. Leave it out, or say --even-last if nothing of the source is to stay."


class ApprovalMissing(UserError):
    code = "approval-missing"
    exit_code = 96
    default_hint = "Ask the approvers that the message names, then run this again."


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


class KeyRevoked(Denied):
    code = "key-revoked"
    exit_code = 57
    default_hint = "The owner took this key back, or never certified it. Enroll this host with 'farshore key enroll'."


class FingerprintUnknown(Denied):
    code = "fingerprint-unknown"
    exit_code = 58
    default_hint = "Give the fingerprint that 'farshore init' printed, with --fingerprint or 'farshore key trust'."


class SourceNotEnrolled(Denied):
    code = "source-not-enrolled"
    exit_code = 59
    default_hint = "Let the owner allow it: 'farshore key enroll HOST --sources NAME'."


class LockDenied(Denied):
    code = "lock-denied"
    exit_code = 56
    default_hint = "The writer needs the right to lock objects; docs/stores/immutability.md lists it for each provider."


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
    default_hint = "See docs/sources/README.md: the page of each kind has the versions and settings that are supported."


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
    default_hint = "The replica fails checks that Farshore relies on; docs/stores/probe.md explains what to change."


class LockUnsupported(Unsupported):
    code = "lock-unsupported"
    exit_code = 75
    default_hint = "Enable locks at the bucket (docs/stores/immutability.md), or take 'lock' out of this replica."


class DeleteUnsupported(Unsupported):
    """The store cannot say which object it would delete, so nothing was deleted."""

    code = "delete-unsupported"
    exit_code = 79
    default_hint = "Turn on versions at the bucket, or keep this replica where objects have versions or generations."


class LifecycleDeletes(Unsupported):
    code = "lifecycle-deletes"
    exit_code = 76
    default_hint = "Take this replica's prefix out of the rule; rules that end unfinished uploads are fine."


class ExtraMissing(Unsupported):
    """Packages that only some replicas, sources or commands need are not installed on this host."""

    code = "extra-missing"
    exit_code = 78
    default_hint = "Run the pip command of the message in the environment that runs farshore; nothing else is wrong."
