"""The audit rows of a verify: one of the run, one of each replica, one of each damaged object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from farshore import limits
from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, CheckRow, Operation, RunResult
from farshore.check_results import CheckedReplica, CheckMethod, CheckState, VerifyResult
from farshore.ops.verify.findings import ReplicaCheck
from farshore.ops.verify.proof_log import all_read_since
from farshore.repair.outcome import Repair, repair_rows
from farshore.replicas.repository import Repository
from farshore.results import UNREACHABLE
from farshore.run import Run

INCONCLUSIVE = "inconclusive"  # state of a check that saw too little, or nothing; nothing is concluded from it


def record_verify(
    repository: Repository,
    result: VerifyResult,
    checks: Sequence[ReplicaCheck],
    repairs: Sequence[Repair],
    run: Run,
) -> None:
    """Write the rows of a verify to every replica that can be reached; without the keys to sign them, none."""
    state = RunResult.COMPLETED if result.clean else RunResult.COMPLETED_WITH_WARNINGS
    rows: list[AuditRow] = [run_rows.run_row(run, Operation.VERIFY, finished_utc=result.finished_utc, state=state)]
    seen = {check.replica.name: check for check in checks}
    for outcome in result.checks:
        name = outcome.replica
        check = seen.get(name)
        bad = [one for one in result.damaged if one.replica == name]
        shared: dict[str, Any] = {
            "run_id": result.run_id, "check_id": result.run_id, "replica": name,
            "started_utc": result.started_utc, "finished_utc": result.finished_utc,
        }  # fmt: skip
        rows.append(
            CheckRow(
                state=check_row_state(outcome),
                detail=outcome.error,
                snapshot_ids=_snapshots_of(check) if check else (),
                objects_checked=check.objects if check else 0,
                damaged=len(bad),
                bytes_read=check.bytes_read if check else 0,
                read_data_percent=result.read_data_percent,
                method=CheckMethod.READ if result.read_data_percent else CheckMethod.LISTED,
                oldest_read_utc=all_read_since(check.reading) if check else None,
                **shared,
            )
        )
        for one in bad:
            paths = tuple(path.decode("utf-8", "backslashreplace") for path in one.paths)
            rows.append(
                CheckRow(
                    object=one.name, state=one.code, detail=one.detail, snapshot_ids=one.snapshots,
                    paths_total=one.paths_total, paths=paths, **shared,
                )
            )  # fmt: skip
    for repair in repairs:
        replica = repository.replicas[repair.replica]
        rows += repair_rows(repair, replica, result.finished_utc, run)
    run_rows.try_record(repository, result.run_id, rows)


def check_row_state(outcome: CheckedReplica) -> str:
    """Return the state of a replica's row. Only `ok` counts as a check that found nothing."""
    match outcome.state:
        case CheckState.DAMAGED:
            return "damaged"
        case CheckState.NOT_ASKED:
            return UNREACHABLE
        case CheckState.CLEAN | CheckState.BEHIND:
            return "ok"
        case _:
            return INCONCLUSIVE


def _snapshots_of(check: ReplicaCheck) -> tuple[str, ...]:
    return tuple(commit.snapshot for commit in check.commits[: limits.PROBLEMS_KEPT_MAX])
