"""The outcome of a check for each replica: clean, damaged, behind, empty, or not asked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from farshore.audit.coverage import doubt_errors
from farshore.audit.rows import ProofState
from farshore.check_results import CheckedReplica, CheckState, VerifyResult
from farshore.errors import (
    CheckInconclusive,
    FarshoreError,
    HeaderDamaged,
    HistoryCut,
    ReplicaEmpty,
    RepositoryMissing,
    StoreUnavailable,
    VerifyFailed,
)
from farshore.format import names
from farshore.model import DamagedObject, dataclass

_NOT_ASKED_HINT = "Mend what keeps these from answering, then verify again; what the others hold was checked."
_NOTHING_HINT = (
    "In a new repository, back up first. If there were snapshots, somebody deleted them: 'farshore sql' over the audit "
    "tables lists them, and a versioned bucket may still have them."
)


@dataclass(frozen=True, slots=True)
class SeenReplica:
    """One replica as a check saw it. `error`: why no more was."""

    snapshots: Collection[str] = field(default_factory=frozenset)  # that it lists
    objects: int = 0  # 0 where it was not listed
    damaged: int = 0
    conclusive: bool = True
    error: FarshoreError | None = None


def judge_replicas(seen: Mapping[str, SeenReplica]) -> tuple[CheckedReplica, ...]:
    """Return the outcome of each replica, in the order given.

    A replica that could not be asked is neither clean nor damaged. One that lists no snapshot is not clean: nothing of
    it was checked.
    """
    everything = {snapshot for one in seen.values() for snapshot in one.snapshots}
    return tuple(
        CheckedReplica(
            replica=name,
            state=_state(one, everything),
            snapshots=len(one.snapshots),
            behind=len(everything) - len(one.snapshots) if one.objects and not one.error else 0,
            objects=one.objects,
            damaged=one.damaged,
            error_code=one.error.code if one.error else "",
            error=one.error.message if one.error else "",
        )
        for name, one in seen.items()
    )


def _state(seen: SeenReplica, everything: Collection[str]) -> CheckState:
    if seen.damaged:
        return CheckState.DAMAGED
    if seen.error:
        return CheckState.NOT_ASKED
    if not seen.snapshots:
        return CheckState.EMPTY
    if not seen.conclusive:
        return CheckState.INCONCLUSIVE
    return CheckState.BEHIND if len(seen.snapshots) < len(everything) else CheckState.CLEAN


def damaged_header(name: str, error: FarshoreError, snapshots: tuple[str, ...]) -> DamagedObject | None:
    """Return the finding for a replica that answered and whose header is gone or damaged; None where it did not answer.

    It touches every snapshot that the other replicas list, because this copy of each may be gone.
    """
    if isinstance(error, RepositoryMissing):
        return DamagedObject(name, names.HEADER, ProofState.MISSING, error.message, snapshots)
    if isinstance(error, HeaderDamaged):
        return DamagedObject(name, names.HEADER, ProofState.ALTERED, error.message, snapshots)
    return None


def check_errors(result: VerifyResult) -> list[FarshoreError]:
    """Return the errors graver than a warning, the gravest first: its exit code is that of the check."""
    errors: list[FarshoreError] = []
    if result.cut:
        more = f"; {len(result.cut) - 1} more likewise" if len(result.cut) > 1 else ""
        said = next(one.detail for one in result.damaged if one.name == result.cut[0])
        errors.append(HistoryCut(f"{result.cut[0]} is gone: {said}{more}"))
    damaged = [one for one in result.damaged if one.name not in result.cut]
    if damaged and not result.mended:
        where = sorted({one.replica for one in damaged})
        number = max(len(damaged), sum(proof.damaged for proof in result.proofs))
        errors.append(VerifyFailed(f"{number:,} {_objects(number)} damaged or missing at {', '.join(where)}"))
    errors += [
        ReplicaEmpty(f"{one.replica} lists no snapshot, and other replicas list {one.behind:,}")
        for one in result.checks
        if one.state is CheckState.EMPTY and one.behind
    ]
    away = [one for one in result.checks if one.error_code]
    if away:
        named = ", ".join(f"{one.replica} ({one.error_code})" for one in away)
        errors.append(StoreUnavailable(f"not every replica could be asked: {named}", _NOT_ASKED_HINT))
    if result.inconclusive:
        errors.append(CheckInconclusive(f"too little was seen at {', '.join(result.inconclusive)} to call it sound"))
    elif not result.snapshots and not errors:
        errors.append(CheckInconclusive("no replica lists a snapshot, so nothing was proven", _NOTHING_HINT))
    return errors + doubt_errors(result.doubts)


def _objects(count: int) -> str:
    return "object" if count == 1 else "objects"
