"""The audit rows of a prune: one of the run, and one in `deletions` for each object that went or could not go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, DeletionRow, Operation, PartState, ReplicaPart, RunResult
from farshore.ops.prune.outcome import PrunedReplica, PruneResult, PruneState
from farshore.ops.prune.sweep import Deletions
from farshore.replicas.repository import Repository
from farshore.run import Run

_PARTS = {
    PruneState.PRUNED: PartState.PRUNED,
    PruneState.CLEAN: PartState.PRUNED,
    PruneState.WAITING: PartState.WAITING,
    PruneState.STOPPED: PartState.WAITING,
}


def record_prune(repository: Repository, result: PruneResult, deletions: Mapping[str, Deletions], run: Run) -> None:
    """Write the rows of a prune, however it ended; none where it changed nothing and met no trouble."""
    if any(one.freed.objects or one.failed for one in deletions.values()) or not result.done:
        run_rows.record(repository, run.run_id, _rows(repository, result, deletions, run))


def _rows(
    repository: Repository, result: PruneResult, deletions: Mapping[str, Deletions], run: Run
) -> Iterator[AuditRow]:
    state = RunResult.COMPLETED if result.done else RunResult.COMPLETED_WITH_WARNINGS
    row = run_rows.run_row(run, Operation.PRUNE, finished_utc=result.finished_utc, state=state)
    yield replace(row, replicas=tuple(map(_part, result.replicas)), problems=sum(one.failed for one in result.replicas))
    for pruned in result.replicas:
        replica = repository.replicas.get(pruned.replica)
        for one in deletions[pruned.replica].objects() if pruned.replica in deletions and replica else ():
            yield DeletionRow(
                run_id=run.run_id, replica=pruned.replica,
                provider=replica.store.capabilities.kind if replica else "",
                object=one.name, kind=one.kind.value if one.kind else "", bytes=one.bytes, plan=pruned.plan,
                rule=pruned.rule, approvals=pruned.approvals, error_code=one.error_code,
                deleted_utc=result.finished_utc,
            )  # fmt: skip


def _part(one: PrunedReplica) -> ReplicaPart:
    return ReplicaPart(
        replica=one.replica, state=_PARTS.get(one.state, PartState.FAILED), error_code=one.error_code, error=one.error
    )
