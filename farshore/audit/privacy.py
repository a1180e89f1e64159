"""Keeps the names of a source's files out of the audit tables. Pure."""

from __future__ import annotations

from dataclasses import replace

from farshore.audit.rows import AuditRow, CheckRow, RunRow

# Errors whose message names stores, objects and settings only. Any other may quote a file of a source.
_CODES_WITHOUT_PATHS = (
    "backup-running",
    "bucket-",
    "config-",
    "credential-",
    "feature-",
    "format-",
    "header-",
    "lease-",
    "object-not-found",
    "quorum-",
    "repository-",
    "secret-",
    "snapshot-",
    "store-",
    "tool-",
    "wrong-",
)


def without_paths(row: AuditRow) -> AuditRow:
    """Return the row without anything that may name a file; codes of errors stay, messages only where none can."""
    if isinstance(row, CheckRow):
        return row if row.paths is None else replace(row, paths=None)
    if isinstance(row, RunRow):
        parts = tuple(part if _is_free_of_paths(part.error_code) else replace(part, error="") for part in row.replicas)
        return replace(row, error=row.error if _is_free_of_paths(row.error_code) else "", replicas=parts)
    return row


def _is_free_of_paths(error_code: str) -> bool:
    return error_code.startswith(_CODES_WITHOUT_PATHS)
