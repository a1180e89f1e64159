"""The result of one backup, and the rows of the audit tables that record it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from farshore import limits
from farshore.audit import run_rows
from farshore.audit.own_chain import MadeCommit
from farshore.audit.rows import AuditRow, Operation, RunResult, RunRow
from farshore.catalog.heads import remember_seen
from farshore.catalog.needs import objects_of, read_needs
from farshore.catalog.shrinking import counts_before, has_shrunken
from farshore.errors import CACHED_READ_ERRORS, Failure
from farshore.format.commit import Commit
from farshore.format.needs import Needs
from farshore.format.object_kinds import Kind
from farshore.model import dataclass
from farshore.ops.backup.attempt import Attempt
from farshore.ops.backup.pipeline.capture import CaptureResult
from farshore.ops.backup.prepare import RunState
from farshore.replicas.reader import open_reader
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

    def record_commit(self, state: RunState, commit: Commit, needs: Needs, result: BackupResult) -> None:
        """Write the rows of a committed snapshot and of its run. Raises as `record`."""
        before, since = self._recorded_before(state, commit)
        needed = frozenset(one.name for one in objects_of(commit, needs))
        reused = frozenset(one.name for one in state.committer.reused)
        rows = run_rows.backup_rows(
            repository=self.repository,
            commit=commit,
            outcomes=result.replicas,
            made=[*state.publisher.made, *state.committer.folded, state.committer.made],
            acknowledged={
                name: {item for item, _ in state.fanout.acknowledged(name)} | state.committer.put_at(name)
                for name in self.repository.replicas
                if name not in state.committer.unleased
            },
            checksums=state.committer.checksums,
            earlier=run_rows.EarlierObjects(reused, reused - before, before - needed),
            adopted=state.committer.adopted,
            sent={name: replica.meter.sent() for name, replica in self.repository.replicas.items()},
        )
        row = self.run_row(RunResult.COMPLETED_WITH_WARNINGS if result.warned else RunResult.COMPLETED)
        finished = run_rows.finished_run(
            row, commit=commit, outcomes=result.replicas, needs_since=since,
            shrunken=result.shrunken_from is not None,
        )  # fmt: skip
        # Before the seal, so that the seal names this snapshot, too.
        made = {commit.source_id: NewestSnapshot(commit.sequence, commit.snapshot, commit.hash, commit.signer)}
        remember_seen(self.repository, newest=made, own=made)
        recorded = MadeCommit(commit.hash, commit.source_id, commit.snapshot, since)
        run_rows.record(self.repository, self.attempt.run.run_id, [finished, *rows], commits=[recorded])

    def _recorded_before(self, state: RunState, commit: Commit) -> tuple[frozenset[str], int]:
        """Return what the snapshot before needs beside its commit, and the place of its source since which rows say so.

        Nothing and the place of this one, where rows of this host's chain do not say it.
        """
        recorded = run_rows.recorded_needs(self.repository, commit.source_id)
        parent = next((one for one in state.commits.ordered[::-1] if one.snapshot == commit.parent), None)
        if recorded is None or parent is None or recorded.snapshot_id != parent.snapshot:
            return frozenset(), commit.sequence
        try:
            needs = read_needs(self.repository, open_reader(self.repository), parent)
        except CACHED_READ_ERRORS:
            return frozenset(), commit.sequence
        return frozenset(one.name for one in objects_of(parent, needs) if one.kind is not Kind.COMMIT), recorded.since

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
