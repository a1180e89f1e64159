"""Which rows of the audit tables their signer may say, by the certificates that it ever had. Pure; the only such place.

Any certificate that a signer ever had counts, so that a narrower one changes nothing about rows that are stored. Who
may only back up speaks of the sources of its certificate; who verifies, heals, restores or maintains, of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from farshore.audit import names
from farshore.audit.rows import AuditRow, Claim, Operation
from farshore.audit.schema import TABLES
from farshore.trust.actions import Certificate, Right

ANY = frozenset(right.value for right in Right)
_BACKUP = frozenset({Right.BACKUP.value})

# One of these rights suffices.
RIGHTS_OF_TABLE: Mapping[str, frozenset[str]] = {
    "runs": ANY,  # and that of the operation of each row
    "needs": _BACKUP,
    "copies": _BACKUP | {Right.HEAL.value},
    "restores": frozenset({Right.RESTORE.value}),
    "checks": frozenset({Right.VERIFY.value}),
    "proofs": frozenset({Right.VERIFY.value}),
    "repairs": frozenset({Right.HEAL.value}),
    "locks": _BACKUP | {Right.MAINTAIN.value},
    "deletions": frozenset({Right.MAINTAIN.value}),
}
RIGHTS_OF_OPERATION: Mapping[str, frozenset[str]] = {
    Operation.INIT: _BACKUP | {Right.MAINTAIN.value},
    Operation.BACKUP: _BACKUP,
    Operation.RESTORE: frozenset({Right.RESTORE.value}),
    Operation.VERIFY: frozenset({Right.VERIFY.value}),
    Operation.HEAL: frozenset({Right.HEAL.value}),
    Operation.PRUNE: frozenset({Right.MAINTAIN.value}),
    Operation.FOLD: frozenset({Right.MAINTAIN.value}),
    Operation.REWRITE: frozenset({Right.MAINTAIN.value}),
    Operation.RETIRE: frozenset({Right.HEAL.value, Right.MAINTAIN.value}),
}
_NO_SOURCE = ("", "")


def claim_columns(table: str) -> tuple[str, ...]:
    """Return the columns of a table that make the claims of its rows."""
    return tuple(column.name for column in TABLES[table].columns if column.name in Claim._fields)


def may_speak(certificates: Sequence[Certificate], name: str) -> bool:
    """Whether rows of the file of this name may count on the word of a signer with these certificates."""
    needed = RIGHTS_OF_TABLE.get(names.table_of(name) or "", frozenset())
    return any(needed & one.rights for one in certificates)


def may_claim(certificates: Sequence[Certificate], table: str, claims: Iterable[Claim]) -> bool:
    """Whether rows with these claims may count on the word of a signer with these certificates."""
    return all(any(_allows(one, table, claim) for one in certificates) for claim in claims)


def may_write(certificates: Sequence[Certificate], table: str, row: AuditRow) -> bool:
    """Whether a reader will count this row of this signer."""
    return may_claim(certificates, table, [Claim.of(row)])


def _allows(certificate: Certificate, table: str, claim: Claim) -> bool:
    rights = certificate.rights & RIGHTS_OF_TABLE[table]
    if table == "runs":
        rights &= RIGHTS_OF_OPERATION.get(claim.operation, frozenset())
    if rights - _BACKUP or not rights:
        return bool(rights)
    about = (claim.source_id, claim.source)
    columns = claim_columns(table)
    if "source_id" not in columns or (table == "runs" and about == _NO_SOURCE):
        return True
    # By id and name: a name of another source would be as good a lie to whoever reads the table.
    is_its_name = "source" not in columns or certificate.source_id(claim.source) == claim.source_id
    return is_its_name and certificate.allows_source(claim.source_id)
