"""The two steps that touch the source: begin a snapshot, and read and seal it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled
from prefect.tasks import exponential_backoff

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.clock import SystemClock
from farshore.config import checked_tags
from farshore.errors import Failure
from farshore.model import SnapshotCounts
from farshore.ops.backup.session import BackupSession, StartedRun
from tasks.opening import open_config, start_run
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_last_try, is_passing
from tasks.sessions import SESSIONS, STOPPED


@task(
    name="snapshot",
    task_run_name="snapshot-{source}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def begin_snapshot(
    session_id: str,
    source: str,
    config_path: str | None,
    identity: str,
    *,
    allow_empty: bool = False,
    accept_new: bool = False,
    tags: Sequence[str] = (),
) -> StartedRun:
    """Open repository and source, ask whether this backup is done already, and begin it.

    Safe to repeat: nothing but a lease is written, and a failed try closes what it opened.

    Raises:
        BackupRunning: Another attempt at the same identity is alive.
        UserError, Denied: The configuration, the keys or the replicas must change first.
        Unavailable: Passing.
    """
    session = SESSIONS.get(session_id)
    clock = SystemClock()
    config = open_config(config_path)
    with ExitStack() as opened:
        repository = opened.enter_context(open_repository(config, need=Need.WRITE, clock=clock))
        backup = BackupSession(
            repository,
            open_source(config, source, clock=clock),
            identity=identity,
            tags=checked_tags(tags),
            allow_empty=allow_empty,
            accept_new=accept_new,
            run=start_run(clock, session.board.note),
        )
        opened.callback(backup.close)
        try:
            started = backup.begin()
        except Failure as error:
            if is_last_try(error):
                backup.fail(error)
            raise
        session.hold(backup, opened.pop_all())
    absent = [] if started.already_done else [name for name in config.replicas if name not in started.replicas]
    unreachable = repository.unreachable
    session.left_behind = {name: str(unreachable.get(name, "it could not be leased or listed")) for name in absent}
    return started


@task(name="seal", task_run_name="seal", cache_policy=NO_CACHE, persist_result=False, retries=0)
def seal_source(session_id: str) -> SnapshotCounts | State[Any]:
    """Read the source once, compare, cut, compress, encrypt, and hand every pack to every replica.

    Not repeatable, because a source may be readable only once; the flow makes a new attempt instead, which uploads only
    missing objects. Blocks while the replicas are behind, so their tasks must run beside this one.
    """
    session = SESSIONS.get(session_id)
    with session.sealing:
        try:
            return session.require_backup().seal()
        except BaseException:
            if session.stopped.is_set():
                return Cancelled(message=STOPPED)
            session.stopped.set()
            raise
