"""The audit rows of a scrub: of its run, of each replica, of each damaged object, and of each state that changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, CheckRow, Operation, ProofRow, RunResult
from farshore.check_results import CheckMethod, ReplicaProof, VerifyResult
from farshore.ops.verify.audit_rows import check_row_state
from farshore.ops.verify.proof_log import ProofKeeper
from farshore.ops.verify.remote.judging import Verdict
from farshore.replicas.repository import Repository
from farshore.run import Run
from farshore.stores.base import ObjectInfo


class ScrubRows:
    """Writes the rows of one scrub in bounded batches; none where there is no key to sign them. One thread."""

    def __init__(self, repository: Repository, run: Run) -> None:
        self._repository = repository
        self._run = run
        self._keeper = ProofKeeper(lambda rows: run_rows.try_record(repository, run.run_id, rows))

    def keep(self, replica: str, name: str, verdict: Verdict, info: ObjectInfo | None, last: str) -> None:
        """Keep the row of one object whose state differs from its last one."""
        if verdict.state == last:
            return
        self._keeper.add(
            ProofRow(
                run_id=self._run.run_id,
                replica=replica,
                object=name,
                method=CheckMethod.REMOTE,
                state=verdict.state,
                against=verdict.against,
                checksum=info.checksum if info else "",
                bytes=info.size if info else 0,
                checked_utc=self._run.clock.now_utc(),
                detail=verdict.detail,
            )
        )

    def finish(self, result: VerifyResult) -> None:
        """Write the rest of the rows, and those of damage, of the replicas and of the run."""
        for row in self._rows(result):
            self._keeper.add(row)
        self._keeper.flush()

    def _rows(self, result: VerifyResult) -> Iterator[AuditRow]:
        run = self._run
        state = RunResult.COMPLETED if result.clean else RunResult.COMPLETED_WITH_WARNINGS
        yield run_rows.run_row(run, Operation.VERIFY, finished_utc=result.finished_utc, state=state)
        proofs = {one.replica: one for one in result.proofs}
        for outcome in result.checks:
            name = outcome.replica
            shared: dict[str, Any] = {
                "run_id": run.run_id, "check_id": run.run_id, "replica": name,
                "started_utc": result.started_utc, "finished_utc": result.finished_utc,
            }  # fmt: skip
            bad = [one for one in result.damaged if one.replica == name]
            proof = proofs.get(name)
            yield CheckRow(**shared, state=check_row_state(outcome), detail=outcome.error, **_figures(proof, len(bad)))
            for one in bad:
                yield CheckRow(object=one.name, state=one.code, detail=one.detail, snapshot_ids=one.snapshots, **shared)


def _figures(proof: ReplicaProof | None, damaged: int) -> dict[str, Any]:
    if proof is None:
        return {"damaged": damaged, "method": CheckMethod.REMOTE}
    return {
        "method": CheckMethod.REMOTE if proof.tells_checksums else CheckMethod.SIZES,
        "objects_checked": proof.objects,
        "damaged": max(proof.damaged, damaged),
        "proven": proof.proven,
        "unproven": proof.unproven + proof.audit_unproven,
        "unrecorded": proof.unrecorded,
        "foreign_objects": proof.foreign,
    }
