"""One backup, step by step: begin, seal, replicate (once per replica, beside seal), commit, audit.

The command line runs the steps with threads, a flow runs each as a task. A session is one attempt; the backup's
identity and its state live in the store, and every attempt first asks there whether it is done, alive or dead.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from farshore import __version__, limits
from farshore.audit.rows import AuditRow, RunRow
from farshore.clock import Clock
from farshore.errors import Bug, FarshoreError, QuorumNotReached, StateUnknown, StoreUnavailable
from farshore.format.manifest import ManifestWriter, PagesWriter
from farshore.format.records import Commit, Lease
from farshore.index import ChunkIndex
from farshore.model import (
    BackupResult,
    Progress,
    ProgressCallback,
    ReplicaOutcome,
    SnapshotCounts,
    no_progress,
)
from farshore.ops import auditing
from farshore.ops.attempts import find_done, refuse_if_running
from farshore.ops.base_snapshot import BaseSnapshot, find_base, remember_base
from farshore.ops.committing import Committer
from farshore.ops.comparing import PreviousManifest
from farshore.ops.gathering import Gatherer
from farshore.ops.host import describe_process
from farshore.ops.outgoing import Outgoing
from farshore.ops.reading import ContentReader
from farshore.ops.sealing import Sealer
from farshore.repository.fanout import Fanout
from farshore.repository.keys import DataKey, generate_data_key
from farshore.repository.leases import LeaseHolder
from farshore.repository.packs import SealedPack
from farshore.repository.presence import Presence, survey
from farshore.repository.repository import Repository
from farshore.sources.base import Source


@dataclass(frozen=True, slots=True)
class Begun:
    """What a session knows after its first step."""

    run_id: str
    snapshot_id: str
    source: str
    replicas: tuple[str, ...]  # at work; empty when an earlier attempt had done it
    already_done: bool = False


@dataclass
class _Work:
    """What `begin` prepares and the later steps use."""

    snapshot_id: str
    source_id: str
    data_key: DataKey
    holder: LeaseHolder
    fanout: Fanout
    presence: Presence
    base: BaseSnapshot | None
    entries_before: int  # of the newest snapshot of this source
    outgoing: Outgoing
    committer: Committer


class BackupSession:
    """One attempt at one backup. `seal` and each `replicate` run at the same time, in threads of the caller.

    Args:
        identity: A scheduled moment or event id; an attempt whose identity is committed at a quorum does nothing.
        engine: `cli` or `prefect`, for the audit rows.
        allow_empty: Accept a source that is empty now although its last snapshot was not.
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
        self._progress = progress
        self._clock = clock
        self._started_utc = clock.now_utc()
        self._spool = tempfile.TemporaryDirectory(prefix="farshore-", dir=_spool_root(repository))
        self._work: _Work | None = None
        self._done: BackupResult | None = None
        self._commit: Commit | None = None
        self._outcomes: tuple[ReplicaOutcome, ...] = ()
        self._sealer: Sealer | None = None
        self._facts: dict[str, str] = {}
        self._recorded = False
        self._closed = threading.Lock()

    def begin(self) -> Begun:
        """Check the source, ask the store for earlier attempts, take a lease, and learn what the replicas hold.

        Repeatable until `seal`. Replicas that cannot be leased or listed are left behind for this run.

        Raises:
            SourceMissing, SourceUnavailable, SourceUnsupported, Denied: The source cannot be backed up.
            QuorumNotReached: Too few replicas can be reached.
            BackupRunning: Another attempt at the same identity is at work.
        """
        if self._work is not None:
            return Begun(self.run_id, self._work.snapshot_id, self._source.name, self._work.fanout.at_work)
        repository, keys = self._repository, self._repository.writing_keys()
        self._source.check()
        repository.require_quorum()
        source_id = keys.source_id(self._source.name)
        snapshot_id = self._clock.random_bytes(16).hex()
        commits, done = find_done(repository, source_id, self._identity)
        if done is not None:
            self._done = self._result_of(done.commit, done.outcomes, already_done=True)
            return Begun(self.run_id, done.commit.snapshot, self._source.name, (), already_done=True)
        holder = LeaseHolder(
            stores={name: replica.store for name, replica in repository.replicas.items()},
            keys=keys,
            clock=self._clock,
            lease=Lease(
                lease=self._clock.random_bytes(16).hex(), run=self.run_id, source_id=source_id, identity=self._identity,
                snapshot=snapshot_id, host=describe_process(), beat=0, started_utc=self._started_utc,
                expires_utc=self._started_utc,
            ),
        )  # fmt: skip
        try:
            failed = holder.take()
            refuse_if_running(repository, holder.lease)
            leased = [replica for name, replica in repository.replicas.items() if name not in failed]
            presence = survey(repository, leased)
            fanout = Fanout(replicas=[replica.name for replica in leased], clock=self._clock)
            for name, error in presence.failed.items():
                fanout.leave_behind(name, error)
            self._require_quorum(fanout, {**failed, **presence.failed})
        except BaseException:
            holder.end()
            raise
        data_key = generate_data_key(self._clock)
        outgoing = Outgoing(
            fanout=fanout, keys=keys, data_key=data_key, clock=self._clock, spool=Path(self._spool.name)
        )
        committer = Committer(
            repository=repository, fanout=fanout, presence=presence, holder=holder, unleased=failed, clock=self._clock
        )
        base = find_base(repository, source_id, commits)
        before = commits[-1].counts.entries if commits else base.manifest.entries if base else 0
        self._work = _Work(
            snapshot_id, source_id, data_key, holder, fanout, presence, base, before, outgoing, committer
        )
        return Begun(self.run_id, snapshot_id, self._source.name, fanout.at_work)

    def seal(self) -> SnapshotCounts:
        """Read the source once and offer every sealed object to every replica; then end the queues.

        Blocks with back-pressure from the replicas at work, so their `replicate` must run meanwhile. Not repeatable:
        after an error the session is over, nothing is committed, and a new attempt finds what was uploaded.

        Raises:
            SourceMissing, SourceCorrupt, SourceUnavailable: The source failed; there is no snapshot.
            QuorumNotReached: So many replicas were left behind that going on is pointless.
        """
        work = self._begun()
        try:
            counts = self._seal(work)
        except BaseException:
            work.fanout.abort()
            raise
        work.fanout.end()
        return counts

    def replicate(self, replica: str) -> ReplicaOutcome:
        """Send one replica everything that is sealed, until the end; copy to it what the snapshot reuses and it lacks.

        May be called again after `Unavailable`: it continues where it stopped. Give up with `leave_behind`.

        Raises:
            FarshoreError: This replica failed; the others do not notice.
        """
        work = self._begun()
        store = self._repository.replica(replica).store
        if replica not in work.fanout.at_work:
            return self._left_behind(work, replica)
        stage = f"replicate:{replica}"
        work.fanout.drain(replica, store, lambda done: self._progress(Progress(stage, bytes_done=done)))
        if not work.fanout.finished(replica):
            return self._left_behind(work, replica)
        sent = work.fanout.acknowledged(replica)
        return ReplicaOutcome(
            replica, committed=False, bytes_sent=sum(size for _, size in sent), objects_sent=len(sent)
        )

    def leave_behind(self, replica: str, error: FarshoreError) -> None:
        """Give one replica up for this run; its error will be named in the result."""
        self._begun().fanout.leave_behind(replica, error)

    def commit(self) -> tuple[ReplicaOutcome, ...]:
        """Make the snapshot exist: at each replica that has everything, one small conditional write, read back.

        Repeatable. No replica gets a commit record unless a quorum can.

        Raises:
            QuorumNotReached: Too few replicas hold everything; what they hold is kept for the next attempt.
            LeaseLost: The run was suspended for too long.
        """
        work = self._begun()
        if self._sealer is None:
            raise Bug("a session was committed before it was sealed")
        self._progress(Progress("commit"))
        if self._commit is None:
            self._commit = self._commit_record(work)
        self._outcomes = work.committer.commit(self._commit, work.outgoing.needs, work.outgoing.made)
        return self._outcomes

    def audit(self) -> BackupResult:
        """Write the audit rows, keep what the next run compares with, end the lease, and return the result."""
        if self._done is not None:
            self._record([self._run_row("completed", None)])
            return self._done
        work = self._begun()
        if self._commit is None:
            raise Bug("a session was audited before it was committed")
        remember_base(
            self._repository, source_id=work.source_id, data_key=work.data_key, commit=self._commit,
            files=work.outgoing.files,
        )  # fmt: skip
        result = self._result_of(self._commit, self._outcomes)
        acknowledged = {
            name: {item for item, _ in work.fanout.acknowledged(name)} | work.committer.put_at(name)
            for name in self._repository.replicas
            if name not in work.committer.unleased
        }
        rows = auditing.backup_rows(
            repository=self._repository,
            engine=self._engine,
            commit=self._commit,
            outcomes=self._outcomes,
            made=[*work.outgoing.made, work.committer.made],
            acknowledged=acknowledged,
            reused=work.committer.reused,
        )
        state = "completed-with-warnings" if result.warned else "completed"
        run = auditing.finished_run(self._run_row(state, None), commit=self._commit, outcomes=self._outcomes)
        self._record([run, *rows])
        work.holder.end()
        return result

    def stop(self) -> None:
        """Have `seal` and every `replicate` that is at work end soon, with `StoreUnavailable`. Safe from any thread."""
        if self._work is not None:
            self._work.fanout.abort()

    def fail(self, error: FarshoreError) -> None:
        """Record a run that failed, as far as replicas can be reached. Never raises."""
        if self._work is not None:
            self._work.fanout.abort()
        if self._recorded:
            return
        try:
            self._record([self._run_row("failed", error)])
        except FarshoreError:
            return  # the error that ended the run is the one to tell

    def close(self) -> None:
        """End the lease and remove temporary files. Safe to repeat."""
        with self._closed:
            if self._work is not None:
                self._work.fanout.abort()
                self._work.holder.end()
            self._spool.cleanup()

    def _seal(self, work: _Work) -> SnapshotCounts:
        repository, keys = self._repository, self._repository.writing_keys()
        index = ChunkIndex(work.presence.footers.values())
        work.outgoing.start()
        gatherer = Gatherer(
            index=index, keys=keys, data_key=work.data_key, clock=self._clock, deliver=self._deliver(work)
        )
        try:
            with work.outgoing.open_files(work.source_id, work.snapshot_id) as (manifest_file, pages_file):
                manifest, page_map = ManifestWriter(manifest_file), PagesWriter(pages_file)
                previous = pages_before = None
                if work.base is not None:
                    started_ns = int(work.base.started_utc.timestamp() * 1e9)
                    previous = PreviousManifest(reader=work.base.manifest, index=index, started_ns=started_ns)
                    pages_before = work.base.pages
                sealer = Sealer(
                    reader=ContentReader(keys=keys, sizes=repository.sizes),
                    gatherer=gatherer,
                    manifest=manifest,
                    page_map=page_map,
                    previous=previous,
                    previous_pages=pages_before,
                    entries_before=work.entries_before,
                    progress=self._progress,
                )
                with self._source.capture() as capture:
                    if not capture.ordered and work.base is not None and pages_before is not None:
                        sealer.load_earlier(work.base.manifest)
                    facts = sealer.run(capture, allow_empty=self._allow_empty)
                manifest.close()
                page_map.close()
            gatherer.finish()
        finally:
            gatherer.close()
        work.outgoing.finish(has_pages=page_map.rows > 0)
        work.outgoing.write_needs(work.presence, gatherer.reused_packs)
        self._sealer, self._facts = sealer, facts
        return self._counts(work)

    def _deliver(self, work: _Work) -> Callable[[SealedPack], None]:
        def deliver(pack: SealedPack) -> None:
            self._require_quorum(work.fanout, {})
            work.outgoing.send_pack(pack)

        return deliver

    def _counts(self, work: _Work) -> SnapshotCounts:
        if self._sealer is None:
            raise Bug("counts were asked for before sealing")
        stored = sum(item.bytes for item in work.outgoing.made)
        packs = sum(item.kind == "pack" for item in work.outgoing.made)
        return replace(self._sealer.counts, bytes_stored=stored, packs_new=packs)

    def _commit_record(self, work: _Work) -> Commit:
        return Commit(
            snapshot=work.snapshot_id,
            source_id=work.source_id,
            source=self._source.name,
            kind=self._source.kind,
            identity=self._identity,
            run=self.run_id,
            parent=work.base.snapshot_id if work.base else "",
            started_utc=self._started_utc,
            committed_utc=self._clock.now_utc(),
            farshore=__version__,
            data_key=work.data_key.key_id.hex(),
            objects=work.outgoing.refs,
            counts=self._counts(work),
            facts=self._facts,
            quorum=self._repository.quorum,
        )

    def _require_quorum(self, fanout: Fanout, failed: dict[str, FarshoreError]) -> None:
        at_work = fanout.at_work
        if len(at_work) >= self._repository.quorum:
            return
        errors = {**self._repository.unreachable, **failed}
        for name in self._repository.replicas:
            if name not in at_work and name not in errors:
                errors[name] = fanout.error_of(name) or StoreUnavailable("left behind")
        reasons = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise QuorumNotReached(
            f"{len(at_work)} of {len(self._repository.configured)} replicas take this backup, "
            f"{self._repository.quorum} are needed ({reasons})"
        )

    def _left_behind(self, work: _Work, replica: str) -> ReplicaOutcome:
        error = work.fanout.error_of(replica) or StateUnknown(f"{replica} did not finish")
        return ReplicaOutcome(replica, committed=False, error_code=error.code, error=error.message)

    def _result_of(
        self, commit: Commit, outcomes: tuple[ReplicaOutcome, ...], *, already_done: bool = False
    ) -> BackupResult:
        problems = self._sealer.problems[: limits.PROBLEMS_KEPT_MAX] if self._sealer else []
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
            already_done=already_done,
        )

    def _run_row(self, state: str, error: FarshoreError | None) -> RunRow:
        row = auditing.run_row(
            run_id=self.run_id, engine=self._engine, operation="backup", started_utc=self._started_utc,
            finished_utc=self._clock.now_utc(), state=state, error=error, flow_run_id=self._flow_run_id,
        )  # fmt: skip
        source_id = self._repository.writing_keys().source_id(self._source.name)
        return replace(row, source=self._source.name, source_id=source_id, identity=self._identity)

    def _record(self, rows: Sequence[AuditRow]) -> None:
        auditing.record(self._repository, self.run_id, rows)
        self._recorded = True

    def _begun(self) -> _Work:
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
    progress: ProgressCallback = no_progress,
    clock: Clock,
) -> BackupResult:
    """Back one source up, with one thread per replica. Green means the commit was read back at a quorum.

    Raises:
        FarshoreError: As the steps of `BackupSession` do; the run is recorded as failed and nothing is half committed.
    """
    session = BackupSession(
        repository, source, identity=identity, engine=engine, allow_empty=allow_empty, progress=progress, clock=clock
    )
    try:
        begun = session.begin()
        if begun.already_done:
            return session.audit()
        with ThreadPoolExecutor(len(begun.replicas), thread_name_prefix="replicate") as pool:
            futures = [pool.submit(_replicate, session, name) for name in begun.replicas]
            try:
                session.seal()
                for future in futures:
                    future.result()
            except BaseException:
                session.stop()  # or an interrupt would wait until every queue is empty
                raise
        session.commit()
        return session.audit()
    except FarshoreError as error:
        session.fail(error)
        raise
    finally:
        session.close()


def _replicate(session: BackupSession, replica: str) -> None:
    try:
        session.replicate(replica)
    except FarshoreError as error:
        session.leave_behind(replica, error)


def _spool_root(repository: Repository) -> Path:
    root = repository.cache_dir / "spool"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root
