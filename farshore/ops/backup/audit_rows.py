"""The result of one backup, and the rows of the audit tables that record it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farshore import limits
from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, Operation, RunResult, RunRow
from farshore.catalog.heads import remember_seen
from farshore.catalog.shrinking import counts_before, has_shrunken
from farshore.errors import Failure
from farshore.format.commit import Commit
from farshore.ops.backup.attempt import Attempt
from farshore.ops.backup.pipeline.capture import CaptureResult
from farshore.ops.backup.prepare import RunState
from farshore.replicas.repository import Repository
from farshore.results import BackupResult, ReplicaOutcome, RunWarning, WarningCode
from farshore.trust.memory import NewestSnapshot


@dataclass(frozen=True, slots=True)
class RunRecorder:
    """Makes the rows of one attempt and writes them. One thread."""

    repository: Repository
    attempt: Attempt
    source: str

    def result(
        self,
        commit: Commit,
        outcomes: tuple[ReplicaOutcome, ...],
        *,
        state: RunState | None,
        captured: CaptureResult | None,
    ) -> BackupResult:
        """Return the result of the attempt; without `state` that of an earlier attempt that had done it."""
        run = self.attempt.run
        before = counts_before(state.commits.ordered) if state is not None else None
        lossy = state.inventory.incomplete if state is not None else {}
        return BackupResult(
            snapshot_id=commit.snapshot,
            source=commit.source,
            run_id=run.run_id,
            quorum=self.repository.quorum,
            started_utc=run.started_utc,
            finished_utc=run.clock.now_utc(),
            counts=commit.counts,
            replicas=outcomes,
            problems=tuple(captured.problems[: limits.PROBLEMS_KEPT_MAX] if captured else ()),
            notes=captured.notes if captured else (),
            already_done=state is None,
            # Replicas that lost objects and took part all the same, because the quorum needed them.
            lossy=tuple(
                RunWarning(WarningCode.OBJECTS_LOST, one.replica, lossy[one.replica].message, "objects-lost")
                for one in outcomes
                if one.committed and one.replica in lossy
            ),
            lost=tuple(one for one in self.repository.lost.values() if one.source_id == self.attempt.source_id),
            shrunken_from=before if has_shrunken(commit.counts, before) else None,
        )

    def record_commit(self, state: RunState, commit: Commit, result: BackupResult) -> None:
        """Write the rows of a committed snapshot and of its run. Raises as `record`."""
        rows = run_rows.backup_rows(
            repository=self.repository,
            engine=self.attempt.run.engine,
            commit=commit,
            outcomes=result.replicas,
            made=[*state.publisher.made, *state.committer.folded, state.committer.made],
            acknowledged={
                name: {item for item, _ in state.fanout.acknowledged(name)} | state.committer.put_at(name)
                for name in self.repository.replicas
                if name not in state.committer.unleased
            },
            checksums=state.committer.checksums,
            reused=state.committer.reused,
            adopted=state.committer.adopted,
            sent={name: replica.meter.sent() for name, replica in self.repository.replicas.items()},
        )
        if result.shrunken_from is not None:
            rows = run_rows.mark_shrunken(rows)
        row = self.run_row(RunResult.COMPLETED_WITH_WARNINGS if result.warned else RunResult.COMPLETED)
        rows = [run_rows.finished_run(row, commit=commit, outcomes=result.replicas), *rows]
        # Before the seal, so that the seal names this snapshot, too.
        made = {commit.source_id: NewestSnapshot(commit.sequence, commit.snapshot, commit.hash, commit.signer)}
        remember_seen(self.repository, newest=made, own=made)
        run_rows.record(self.repository, self.attempt.run.run_id, rows, commits=[commit.hash])

    def run_row(self, state: RunResult, error: Failure | None = None) -> RunRow:
        """Return the row of this attempt, finished now."""
        run = self.attempt.run
        row = run_rows.run_row(run, Operation.BACKUP, finished_utc=run.clock.now_utc(), state=state, error=error)
        return replace(row, source=self.source, source_id=self.attempt.source_id, identity=self.attempt.identity)

    def record(self, rows: Sequence[AuditRow]) -> None:
        """Write rows at every replica.

        Raises:
            StoreUnavailable: The host has no record of its audit chain, and no replica has one.
        """
        run_rows.record(self.repository, self.attempt.run.run_id, rows)
