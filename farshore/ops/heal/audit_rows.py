"""The audit rows that heal reads and writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from farshore.audit import questions, run_rows
from farshore.audit.cached_query import query_first
from farshore.audit.rows import AuditRow, Operation, PartState, ReplicaPart, RunResult
from farshore.errors import FarshoreError, HeaderDamaged
from farshore.format import names
from farshore.ops.heal.context import HealContext
from farshore.repair.outcome import HealedState, HealResult, Repair, repair_rows
from farshore.replicas.repository import Repository
from farshore.run import Run


def known_damage(repository: Repository, missing_header: Mapping[str, FarshoreError]) -> dict[str, set[str]]:
    """Return by replica the objects found damaged by earlier checks and repairs, from the first tables that answer."""
    known: dict[str, set[str]] = defaultdict(set)
    asked = query_first(repository, repository.replicas, [questions.DAMAGE_FOUND])
    for damaged_at, damaged in asked[1][0].rows if asked else ():
        known[str(damaged_at)].add(str(damaged))
    for name, error in missing_header.items():
        if isinstance(error, HeaderDamaged):
            known[name].add(names.HEADER)
    return known


def record_heal(context: HealContext, result: HealResult, repairs: Sequence[Repair], run: Run) -> None:
    """Write the rows of a heal to `runs`, `repairs` and `copies`; none without a key to sign them."""
    repository = context.repository
    if repository.keys is None:
        return
    in_sync = {one.replica for one in result.replicas if one.state is HealedState.IN_SYNC}
    for name in context.missing_header:
        if name in in_sync:  # it has its header now, and all rows of before
            repository.replicas = {**repository.replicas, name: context.replicas[name]}
    run_rows.record(repository, run.run_id, _rows(context, result, repairs, run))


def _rows(context: HealContext, result: HealResult, repairs: Sequence[Repair], run: Run) -> Iterator[AuditRow]:
    state = RunResult.COMPLETED if result.in_sync else RunResult.COMPLETED_WITH_WARNINGS
    row = run_rows.run_row(run, Operation.HEAL, finished_utc=result.finished_utc, state=state)
    parts = tuple(
        ReplicaPart(
            replica=one.replica, state=PartState(one.state), bytes_sent=one.bytes_copied,
            objects_sent=one.copied + one.replaced,
            error_code=one.error_code, error=one.error,
        )
        for one in result.replicas
    )  # fmt: skip
    yield replace(row, replicas=parts, problems=result.open)
    for one in repairs:
        yield from repair_rows(one, context.replicas[one.replica], result.finished_utc, run)
