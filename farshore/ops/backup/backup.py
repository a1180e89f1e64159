"""One backup, step by step: begin, seal, replicate (once per replica, beside seal), commit, audit.

The command line runs the steps with threads, a flow runs each as a task. A session is one attempt; the backup's
identity and its state live in the store, and every attempt first asks there whether it is done, alive or dead.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

from farshore import __version__, limits
from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, RunRow
from farshore.catalog.base_snapshot import remember_base
from farshore.catalog.shrinking import counts_before, has_shrunken
from farshore.clock import Clock
from farshore.errors import Bug, Failure, FarshoreError, Unavailable
from farshore.format import names
from farshore.format.records import Commit
from farshore.host_places import CACHE
from farshore.model import (
    BackupResult,
    Progress,
    ProgressCallback,
    ReplicaOutcome,
    RunWarning,
    SnapshotCounts,
    SnapshotState,
    no_progress,
)
from farshore.ops.backup.attempt import find_done
from farshore.ops.backup.clock_checks import check_clocks, next_moment
from farshore.ops.backup.pipeline.capture import CaptureResult, seal_source
from farshore.ops.backup.session import Attempt, RunState, left_behind, prepare
from farshore.process_memory import tune_process_memory
from farshore.replicas.repository import Repository
from farshore.scratch import scratch_or_temporary
from farshore.sources.base import Source


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What a session knows after its first step."""

    run_id: str
    snapshot_id: str
    source: str
    replicas: tuple[str, ...]  # at work; empty when an earlier attempt had done it
    already_done: bool = False


class BackupSession:
    """One attempt at one backup. `seal` and each `replicate` run at the same time, in threads of the caller.

    Args:
        identity: A scheduled moment or event id; an attempt whose identity is committed at a quorum does nothing.
        engine: `cli` or `prefect`, for the audit rows.
        allow_empty: Accept that nothing is kept of the source although it is the first time, or there was more before.
        accept_new: Accept that it is another source than that of the last snapshot: file system, host, cluster.
    """

    def __init__(
        self,
        repository: Repository,
        source: Source,
        *,
        identity: str = "",
        run_id: str = "",
        engine: str = "cli",
        flow_run_id: str = "",
        allow_empty: bool = False,
        accept_new: bool = False,
        progress: ProgressCallback = no_progress,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._source = source
        self._identity = identity
        self.run_id = run_id or clock.random_bytes(16).hex()
        self._engine = engine
        self._flow_run_id = flow_run_id
        self._allow_empty = allow_empty
        self._accept_new = accept_new
        self._progress = progress
        self._clock = clock
        self._started_utc = clock.now_utc()
        self._held = ExitStack()
        self._work: RunState | None = None
        self._done: BackupResult | None = None
        self._commit: Commit | None = None
        self._outcomes: tuple[ReplicaOutcome, ...] = ()
        self._sealed: CaptureResult | None = None
        self._recorded = False
        self._closed = threading.Lock()

    def begin(self) -> StartedRun:
        """Check the source, ask the store for earlier attempts, take a lease, and learn what the replicas hold.

        Repeatable until `seal`. Replicas that cannot be leased or listed are left behind for this run.

        Raises:
            SourceMissing, SourceUnavailable, SourceUnsupported, Denied: The source cannot be backed up.
            QuorumNotReached: Too few replicas can be reached.
            BackupRunning: Another attempt at the same identity is at work.
            ClockWrong: This host's clock is off.
        """
        if self._work is not None:
            return StartedRun(self.run_id, self._work.snapshot_id, self._source.name, self._work.fanout.at_work)
        tune_process_memory()
        self._source.check()
        self._repository.require_quorum()
        source_id = self._source_id()
        commits, done = find_done(self._repository, source_id, self._identity)
        if done is not None:
            self._done = self._result_of(done.commit, done.outcomes, already_done=True)
            return StartedRun(self.run_id, done.commit.snapshot, self._source.name, (), already_done=True)
        next_moment(commits.newest, self._clock.now_utc())  # a wrong clock is told before the source is read
        attempt = Attempt(self.run_id, source_id, self._identity, self._started_utc)
        spool = self._held.enter_context(scratch_or_temporary("run-", CACHE, self._repository.cache_dir / "spool"))
        self._work = prepare(self._repository, attempt, commits, spool)
        return StartedRun(self.run_id, self._work.snapshot_id, self._source.name, self._work.fanout.at_work)

    def seal(self) -> SnapshotCounts:
        """Read the source once and offer every sealed object to every replica; then end the queues.

        Blocks with back-pressure from the replicas at work, so their `replicate` must run meanwhile. Not repeatable:
        after an error the session is over, nothing is committed, and a new attempt finds what was uploaded.

        Raises:
            SourceMissing, SourceCorrupt, SourceUnavailable: The source failed; there is no snapshot.
            SourceMoved: It is another one than that of the last snapshot.
            QuorumNotReached: So many replicas were left behind that going on is pointless.
        """
        work = self._begun()
        try:
            self._sealed = seal_source(
                self._repository, self._source, work, allow_empty=self._allow_empty, accept_new=self._accept_new,
                progress=self._progress,
            )  # fmt: skip
        except BaseException:
            work.fanout.abort()
            raise
        work.fanout.end()
        return self._sealed.counts

    def replicate(self, replica: str) -> ReplicaOutcome:
        """Send one replica everything that is sealed, until the end; copy to it what the snapshot reuses and it lacks.

        May be called again after `Unavailable`: it continues where it stopped. Give up with `leave_behind`.

        Raises:
            FarshoreError: This replica failed; the others do not notice.
            Bug: The run is to end.
        """
        work = self._begun()
        store = self._repository.replica(replica).store
        if replica not in work.fanout.at_work:
            return left_behind(work, replica)
        stage = f"replicate:{replica}"
        work.fanout.drain(replica, store, lambda done: self._progress(Progress(stage, bytes_done=done)))
        if not work.fanout.finished(replica):
            return left_behind(work, replica)
        sent = work.fanout.acknowledged(replica)
        return ReplicaOutcome(
            replica, committed=False, bytes_sent=sum(size for _, size in sent), objects_sent=len(sent)
        )

    def rest(self, replica: str, error: FarshoreError) -> bool:
        """Wait before `replicate` is called again after a passing failure; return False when the replica is to be left.

        It waits as long as the service or its breaker told, about `LANE_RETRY_S` where neither did.
        """
        told_s = error.wait_s if isinstance(error, Unavailable) else 0.0
        wait_s = max(min(told_s, limits.RETRY_AFTER_S_MAX), limits.LANE_RETRY_S * (1 + self._clock.jitter()) / 2)
        return self._begun().fanout.rest(replica, wait_s)

    def should_give_up(self, replica: str) -> bool:
        """Whether a replica that failed is not to be tried again in this run, because somebody would wait for it."""
        return not self._begun().fanout.rest(replica, 0.0)

    def leave_behind(self, replica: str, error: Failure) -> None:
        """Give one replica up for this run; its error will be named in the result."""
        self._begun().fanout.leave_behind(replica, error)

    def commit(self) -> tuple[ReplicaOutcome, ...]:
        """Make the snapshot exist: at each replica that has everything, one small conditional write, read back.

        Repeatable. No replica gets a commit record unless a quorum can.

        Raises:
            QuorumNotReached: Too few replicas hold everything; what they hold is kept for the next attempt.
            LeaseLost: The run was suspended for too long.
            ClockWrong: This host's clock is off, or was set during the run.
        """
        work = self._begun()
        if self._sealed is None:
            raise Bug("a session was committed before it was sealed")
        self._progress(Progress("commit"))
        if self._commit is None:
            check_clocks(self._repository)
            self._commit = self._commit_record(work, self._sealed)
        self._outcomes = work.committer.commit(
            self._commit, work.outgoing.needs, work.outgoing.made, work.outgoing.pages_base
        )
        return self._outcomes

    def audit(self) -> BackupResult:
        """Write the audit rows, keep what the next run compares with, end the lease, and return the result."""
        if self._done is not None:
            self._record([self._run_row("completed", None)])
            return replace(self._done, requests=self._repository.take_requests())
        work = self._begun()
        if self._commit is None:
            raise Bug("a session was audited before it was committed")
        remember_base(
            self._repository, source_id=work.source_id, data_key=work.data_key, commit=self._commit,
            files=work.outgoing.files, pages_base=work.outgoing.pages_base,
        )  # fmt: skip
        self._repository.cache.put(work.outgoing.refs[names.NEEDS].name, work.outgoing.needs_body)
        result = self._result_of(self._commit, self._outcomes)
        acknowledged = {
            name: {item for item, _ in work.fanout.acknowledged(name)} | work.committer.put_at(name)
            for name in self._repository.replicas
            if name not in work.committer.unleased
        }
        rows = run_rows.backup_rows(
            repository=self._repository,
            engine=self._engine,
            commit=self._commit,
            outcomes=self._outcomes,
            made=[*work.outgoing.made, work.committer.made],
            acknowledged=acknowledged,
            checksums=work.committer.checksums,
            reused=work.committer.reused,
            adopted=work.committer.adopted,
            sent={name: replica.meter.sent() for name, replica in self._repository.replicas.items()},
        )
        if result.shrunken_from is not None:
            rows = run_rows.mark_shrunken(rows)
        state = "completed-with-warnings" if result.warned else "completed"
        run = run_rows.finished_run(self._run_row(state, None), commit=self._commit, outcomes=self._outcomes)
        self._record([run, *rows])
        work.holder.end()
        return replace(result, requests=self._repository.take_requests())

    def stop(self) -> None:
        """Have `seal` and every `replicate` that is at work end soon, with `StoreUnavailable`. Safe from any thread."""
        if self._work is not None:
            self._work.fanout.abort()

    def fail(self, error: Failure) -> None:
        """Record a run that failed, as far as replicas can be reached. Never raises."""
        if self._work is not None:
            self._work.fanout.abort()
        try:
            if not self._recorded:
                self._record([self._run_row("failed", error)])
        except FarshoreError:
            return  # the error that ended the run is the one to tell
        finally:
            self._repository.take_requests()  # or the next run of this process would tell them as its own

    def close(self) -> None:
        """End the lease and remove temporary files. Safe to repeat."""
        with self._closed:
            if self._work is not None:
                self._work.fanout.abort()
                self._work.holder.end()
            self._held.close()

    def _commit_record(self, work: RunState, sealed: CaptureResult) -> Commit:
        newest = work.found.newest
        committed_utc = next_moment(newest, self._clock.now_utc())
        parent = newest.snapshot if newest else work.base.snapshot_id if work.base else ""
        return Commit(
            snapshot=work.snapshot_id,
            source_id=work.source_id,
            source=self._source.name,
            kind=self._source.kind,
            identity=self._identity,
            run=self.run_id,
            parent=parent,
            started_utc=self._started_utc,
            committed_utc=committed_utc,
            farshore=__version__,
            data_key=work.data_key.key_id.hex(),
            objects=work.outgoing.refs,
            counts=sealed.counts,
            facts=sealed.facts,
            quorum=self._repository.quorum,
            locks=work.locks.promised(committed_utc),
            state=SnapshotState.INCOMPLETE if sealed.counts.lacking else SnapshotState.COMPLETE,
            sequence=work.found.next_sequence,
            marks=sealed.marks,
        )

    def _result_of(
        self, commit: Commit, outcomes: tuple[ReplicaOutcome, ...], *, already_done: bool = False
    ) -> BackupResult:
        problems = self._sealed.problems[: limits.PROBLEMS_KEPT_MAX] if self._sealed else []
        return BackupResult(
            snapshot_id=commit.snapshot,
            source=commit.source,
            run_id=self.run_id,
            quorum=self._repository.quorum,
            started_utc=self._started_utc,
            finished_utc=self._clock.now_utc(),
            counts=commit.counts,
            replicas=outcomes,
            problems=tuple(problems),
            notes=self._sealed.notes if self._sealed else (),
            already_done=already_done,
            lossy=self._lossy(outcomes),
            shrunken_from=self._shrunken_from(commit),
        )

    def _shrunken_from(self, commit: Commit) -> SnapshotCounts | None:
        """Return the counts of the last complete snapshot before, where less than half of that is left."""
        before = counts_before(self._work.found.ordered) if self._work is not None else None
        return before if has_shrunken(commit.counts, before) else None

    def _lossy(self, outcomes: tuple[ReplicaOutcome, ...]) -> tuple[RunWarning, ...]:
        """Tell of replicas that lost objects and took part all the same, because the quorum needed them."""
        lossy = self._work.presence.lossy if self._work is not None else {}
        return tuple(
            RunWarning("objects-lost", one.replica, lossy[one.replica].message, "objects-lost")
            for one in outcomes
            if one.committed and one.replica in lossy
        )

    def _run_row(self, state: str, error: Failure | None) -> RunRow:
        row = run_rows.run_row(
            run_id=self.run_id, engine=self._engine, operation="backup", started_utc=self._started_utc,
            finished_utc=self._clock.now_utc(), state=state, error=error, flow_run_id=self._flow_run_id,
        )  # fmt: skip
        return replace(row, source=self._source.name, source_id=self._source_id(), identity=self._identity)

    def _source_id(self) -> str:
        return self._repository.writing_keys().source_id(self._source.name)

    def _record(self, rows: Sequence[AuditRow]) -> None:
        run_rows.record(self._repository, self.run_id, rows)
        self._recorded = True

    def _begun(self) -> RunState:
        if self._work is None:
            raise Bug("a session's step was called before begin, or after it found the backup done")
        return self._work


def run_backup(
    repository: Repository,
    source: Source,
    *,
    identity: str = "",
    engine: str = "cli",
    allow_empty: bool = False,
    accept_new: bool = False,
    progress: ProgressCallback = no_progress,
    clock: Clock,
) -> BackupResult:
    """Back one source up, with one thread per replica. Green means the commit was read back at a quorum.

    Raises:
        FarshoreError: As the steps of `BackupSession` do; the run is recorded as failed and nothing is half committed.
    """
    session = BackupSession(
        repository, source, identity=identity, engine=engine, allow_empty=allow_empty, accept_new=accept_new,
        progress=progress, clock=clock,
    )  # fmt: skip
    try:
        begun = session.begin()
        if begun.already_done:
            return session.audit()
        with ThreadPoolExecutor(len(begun.replicas), thread_name_prefix="replicate") as pool:
            futures: list[Future[None]] = []
            try:
                futures.extend(pool.submit(_replicate, session, name) for name in begun.replicas)
                session.seal()
                for future in futures:
                    future.result()
            except BaseException as error:
                session.stop()  # or an interrupt would wait until every queue is empty
                if isinstance(error, FarshoreError) and (cause := _unforeseen(futures)):
                    raise cause from error
                raise
        session.commit()
        return session.audit()
    except Failure as error:
        session.fail(error)
        raise
    finally:
        session.close()


def _replicate(session: BackupSession, replica: str) -> None:
    """Send one replica everything, through failures that pass, for as long as nobody has to wait for it."""
    while True:
        try:
            session.replicate(replica)
            return
        except FarshoreError as error:
            if not error.retryable or not session.rest(replica, error):
                session.leave_behind(replica, error)
                return
        except BaseException as error:  # no replica's fault; but sealing must not wait for a queue that nobody empties
            session.leave_behind(replica, error if isinstance(error, Failure) else Bug(repr(error)))
            raise


def _unforeseen(futures: Sequence[Future[None]]) -> BaseException | None:
    """Wait for lanes of a run that was stopped, and return what one of them failed with that no replica fails with."""
    return next((error for one in futures if (error := one.exception())), None)
