"""Errors that a person mends: the input or the configuration must change."""

from __future__ import annotations

from farshore.errors.base import FarshoreError


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
