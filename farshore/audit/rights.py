"""Which right of a certificate lets its holder speak in which audit table. Pure; the only place that says so.

Any certificate that a signer ever had counts, so that a narrower one changes nothing about rows that are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from farshore.audit import names
from farshore.audit.rows import AuditRow, Operation, RunRow
from farshore.trust.actions import Right

ANY = frozenset(right.value for right in Right)
_BACKUP = frozenset({Right.BACKUP.value})

# One of these rights suffices.
RIGHTS_OF_TABLE: Mapping[str, frozenset[str]] = {
    "runs": ANY,  # and that of the operation of each row
    "snapshots": _BACKUP,
    "objects": _BACKUP,
    "lineage": _BACKUP,
    "copies": _BACKUP | {Right.HEAL.value},
    "restores": frozenset({Right.RESTORE.value}),
    "checks": frozenset({Right.VERIFY.value}),
    "proofs": frozenset({Right.VERIFY.value}),
    "repairs": frozenset({Right.HEAL.value}),
    "locks": _BACKUP | {Right.MAINTAIN.value},
}
RIGHTS_OF_OPERATION: Mapping[str, frozenset[str]] = {
    Operation.INIT: _BACKUP | {Right.MAINTAIN.value},
    Operation.BACKUP: _BACKUP,
    Operation.RESTORE: frozenset({Right.RESTORE.value}),
    Operation.VERIFY: frozenset({Right.VERIFY.value}),
    Operation.HEAL: frozenset({Right.HEAL.value}),
    Operation.RETIRE: frozenset({Right.HEAL.value, Right.MAINTAIN.value}),
}


def may_speak(rights: frozenset[str], name: str) -> bool:
    """Whether rows of the file of this name may count on the word of somebody with these rights."""
    needed = RIGHTS_OF_TABLE.get(names.table_of(name) or "", frozenset())
    return bool(needed & rights)


def may_report(rights: frozenset[str], operations: Iterable[str]) -> bool:
    """Whether rows of `runs` of these operations may count on the word of somebody with these rights."""
    return all(RIGHTS_OF_OPERATION.get(one, frozenset()) & rights for one in operations)


def may_write(rights: frozenset[str], table: str, row: AuditRow) -> bool:
    """Whether a reader will count this row of this signer."""
    if not RIGHTS_OF_TABLE[table] & rights:
        return False
    return not isinstance(row, RunRow) or may_report(rights, [row.operation])
