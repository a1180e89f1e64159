"""One backup, step by step: begin, seal, replicate (once per replica, beside seal), commit, audit.

The command line runs the steps with threads (see `backup`), a flow runs each as a task. A session is one attempt; the
backup's identity and its state are kept in the store, and every attempt first asks there whether it is done, alive or
dead.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from farshore import limits
from farshore.audit.rows import RunResult
from farshore.audit.run_rows import ask_ahead
from farshore.catalog.base_snapshot import remember_base
from farshore.catalog.commit_cache import keep_own_commit
from farshore.errors import Bug, Failure, FarshoreError, Unavailable
from farshore.format import names
from farshore.format.commit import Commit
from farshore.host_resources import CACHE, scratch_or_temporary
from farshore.model import SnapshotCounts
from farshore.ops.backup.attempt import Attempt, find_done
from farshore.ops.backup.audit_rows import RunRecorder
from farshore.ops.backup.clock_checks import check_clocks, next_moment
from farshore.ops.backup.commit_record import new_commit
from farshore.ops.backup.pipeline.capture import CaptureResult, seal_source
from farshore.ops.backup.prepare import RunState, dropped_outcome, prepare
from farshore.process_memory import tune_process_memory
from farshore.replicas.leases import note_settled
from farshore.replicas.repository import Repository
from farshore.results import BackupResult, Progress, ReplicaOutcome
from farshore.run import Run
from farshore.sources.base import Source


@dataclass(frozen=True, slots=True)
class StartedRun:
    """The result of a session's first step."""

    run_id: str
    snapshot_id: str
    source: str
    replicas: tuple[str, ...]  # at work; empty when an earlier attempt had done it
    already_done: bool = False


class BackupSession:
    """One attempt at one backup. `seal` and each `replicate` run at the same time, in threads of the caller.

    Args:
        identity: A scheduled moment or event id; an attempt whose identity is committed at a quorum does nothing.
        tags: Of the snapshot; words or key=value, as `model.is_tag` has them.
        allow_empty: Accept that nothing is kept of the source although it is the first time, or there was more before.
        accept_new: Accept that it is another source than that of the last snapshot: file system, host, cluster.
    """

    def __init__(
        self,
        repository: Repository,
        source: Source,
        *,
        identity: str = "",
        tags: Sequence[str] = (),
        allow_empty: bool = False,
        accept_new: bool = False,
        run: Run,
    ) -> None:
        self._repository = repository
        self._source = source
        self._run = run
        source_id = repository.source_id(source.name)
        self._attempt = Attempt(run, source_id, identity, tuple(tags))
        self._recorder = RunRecorder(repository, self._attempt, source.name)
        self._allow_empty = allow_empty
        self._accept_new = accept_new
        self._spools = ExitStack()
        self._state: RunState | None = None
        self._done: BackupResult | None = None  # that an earlier attempt reached
        self._captured: CaptureResult | None = None
        self._commit: Commit | None = None
        self._stored = b""  # the commit as it is signed
        self._outcomes: tuple[ReplicaOutcome, ...] = ()
        self._recorded = False
        self._closing = threading.Lock()

    def begin(self) -> StartedRun:
        """Check the source, look for earlier attempts, lease the replicas, and list their objects.

        Repeatable until `seal`. Replicas that cannot be leased or listed are dropped from this run.

        Raises:
            SourceMissing, SourceUnavailable, SourceUnsupported, Denied: The source cannot be backed up.
            QuorumNotReached: Too few replicas can be reached.
            BackupRunning: Another attempt at the same identity is at work.
            ClockWrong: This host's clock is off.
        """
        if self._state is None:
            tune_process_memory()
            self._source.check()
            self._repository.require_quorum()
            commits, done = find_done(self._repository, self._attempt)
            if done is not None:
                self._done = self._recorder.result(done.commit, done.outcomes, state=None, captured=None)
                return StartedRun(self._run.run_id, done.commit.snapshot, self._source.name, (), already_done=True)
            now_utc = self._run.clock.now_utc()
            next_moment(commits.last_dated, now_utc)  # a wrong clock ends the run before the source is read
            spool = self._spools.enter_context(
                scratch_or_temporary("run-", CACHE, self._repository.cache_dir / "spool")
            )
            self._state = prepare(self._repository, self._attempt, commits, spool)
        return StartedRun(self._run.run_id, self._state.snapshot_id, self._source.name, self._state.fanout.at_work)

    def seal(self) -> SnapshotCounts:
        """Read the source once and offer every sealed object to every replica; then end the queues.

        Blocks with back-pressure from the replicas at work, so their `replicate` must run meanwhile. Not repeatable:
        after an error the session is over, nothing is committed, and a new attempt finds what was uploaded.

        Raises:
            SourceMissing, SourceCorrupt, SourceUnavailable: The source failed; there is no snapshot.
            SourceMoved: It is another one than that of the last snapshot.
            QuorumNotReached: Too few replicas are left to go on.
        """
        state = self._require_state()
        try:
            self._captured = seal_source(
                self._repository, self._source, state, allow_empty=self._allow_empty, accept_new=self._accept_new,
                progress=self._run.progress,
            )  # fmt: skip
        except BaseException:
            state.fanout.abort()
            raise
        state.fanout.end()
        return self._captured.counts

    def replicate(self, replica: str) -> ReplicaOutcome:
        """Send one replica everything that is sealed, until the end; copy to it what the snapshot reuses and it lacks.

        May be called again after `Unavailable`: it continues where it stopped. Give up with `drop`.

        Raises:
            FarshoreError: This replica failed; the others do not notice.
            Bug: The run is over.
        """
        state = self._require_state()
        store = self._repository.replica(replica).store
        if replica not in state.fanout.at_work:
            return dropped_outcome(state, replica)
        stage = f"replicate:{replica}"
        state.fanout.drain(replica, store, lambda done: self._run.progress(Progress(stage, bytes_done=done)))
        if not state.fanout.finished(replica):
            return dropped_outcome(state, replica)
        sent = state.fanout.acknowledged(replica)
        return ReplicaOutcome(
            replica, committed=False, bytes_sent=sum(size for _, size in sent), objects_sent=len(sent)
        )

    def backoff(self, replica: str, error: FarshoreError) -> bool:
        """Wait before `replicate` is called again after a passing failure; return False when to drop the replica.

        It waits as long as the service or its breaker asked for, about `REPLICA_RETRY_S` where neither did.
        """
        asked_s = error.wait_s if isinstance(error, Unavailable) else 0.0
        wait_s = max(
            min(asked_s, limits.RETRY_AFTER_S_MAX), limits.REPLICA_RETRY_S * (1 + self._run.clock.jitter()) / 2
        )
        return self._require_state().fanout.backoff(replica, wait_s)

    def should_give_up(self, replica: str) -> bool:
        """Whether a replica that failed is not tried again in this run, because others would wait for it."""
        return not self._require_state().fanout.backoff(replica, 0.0)

    def drop(self, replica: str, error: Failure) -> None:
        """Give one replica up for this run; its error will be named in the result."""
        self._require_state().fanout.drop(replica, error)

    def commit(self) -> tuple[ReplicaOutcome, ...]:
        """Make the snapshot exist: at each replica that has everything, one small conditional write, read back.

        Repeatable. No replica gets a commit unless a quorum can.

        Raises:
            QuorumNotReached: Too few replicas hold everything; what they hold is kept for the next attempt.
            LeaseLost: The run was suspended for too long.
            ClockWrong: This host's clock is off, or was set during the run.
        """
        state = self._require_state()
        if self._captured is None:
            raise Bug("a session was committed before it was sealed")
        self._run.progress(Progress("commit"))
        if self._commit is None:
            check_clocks(self._repository)
            ask_ahead(self._repository)
            made = new_commit(self._repository, self._source, self._attempt, state, self._captured)
            self._commit, self._stored = made
        self._outcomes = state.committer.commit(
            self._commit, self._stored, state.publisher.needs, state.publisher.made, state.publisher.kept_files
        )
        return self._outcomes

    def audit(self) -> BackupResult:
        """Write the audit rows, keep the base for the next run, end the lease, and return the result."""
        if self._done is not None:
            self._recorder.record([self._recorder.run_row(RunResult.COMPLETED)])
            self._recorded = True
            return replace(self._done, requests=self._repository.drain_requests())
        state = self._require_state()
        if self._commit is None:
            raise Bug("a session was audited before it was committed")
        made = state.publisher.made_base()
        remember_base(self._repository, state.source_id, self._commit, made)
        keep_own_commit(self._repository, self._commit.name, self._stored)
        if state.publisher.needs_body:
            self._repository.cache.put(state.publisher.runs[names.NEEDS][-1].name, state.publisher.needs_body)
        result = self._recorder.result(self._commit, self._outcomes, state=state, captured=self._captured)
        self._recorder.record_commit(state, self._commit, state.publisher.needs, result)
        self._recorded = True
        state.lease.end()
        for name in (one.replica for one in self._outcomes if one.committed):
            note_settled(self._repository, self._repository.replica(name), [state.lease.lease.lease])
        return replace(result, requests=self._repository.drain_requests())

    def stop(self) -> None:
        """Have `seal` and every `replicate` that is at work end soon, with `StoreUnavailable`. Safe from any thread."""
        if self._state is not None:
            self._state.fanout.abort()

    def fail(self, error: Failure) -> None:
        """Record a run that failed, as far as replicas can be reached. Never raises."""
        self.stop()
        try:
            if not self._recorded:
                self._recorder.record([self._recorder.run_row(RunResult.FAILED, error)])
                self._recorded = True
        except FarshoreError as trouble:  # the caller reports the error that ended the run
            error.add_note(f"the run was not recorded as failed: {trouble}")
        finally:
            self._repository.drain_requests()  # or the next run of this process would report them as its own

    def close(self) -> None:
        """End the lease and remove temporary files. Safe to repeat."""
        with self._closing:
            self.stop()
            if self._state is not None:
                self._state.lease.end()
            self._spools.close()

    def _require_state(self) -> RunState:
        if self._state is None:
            raise Bug("a session's step was called before begin, or after it found the backup done")
        return self._state
