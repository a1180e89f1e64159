"""The step that checks the objects of the replicas."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.unlock import Need
from farshore.check_results import VerifyResult
from farshore.clock import SystemClock
from farshore.ops.verify.remote.scrub import scrub_repository
from farshore.ops.verify.verify import verify_repository
from farshore.trust.actions import Right
from tasks.opening import open_config, start_run
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_passing
from tasks.sessions import SESSIONS


@task(
    name="verify",
    task_run_name="verify",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def verify_replicas(
    session_id: str, replica: str | None, read_data_percent: float, config_path: str | None, *, remote: bool = False
) -> VerifyResult:
    """Check every object of one replica or of all, and read part of the content. Safe to repeat: it changes nothing.

    With `remote` nothing is read: checksums of providers are compared with those sent, and no key is needed.

    Damage is a result and not an error: it is returned, and written to the audit table `checks`.

    Raises:
        Unavailable: Passing.
    """
    session = SESSIONS.get(session_id)
    clock = SystemClock()
    if remote:
        with open_repository(
            open_config(config_path),
            need=Need.ANY,
            right=Right.VERIFY,
            writes=Writes.ROWS,
            replica=replica,
            clock=clock,
        ) as repository:
            return scrub_repository(
                repository,
                replica=replica,
                run=start_run(clock, session.board.note),
            )
    with open_repository(
        open_config(config_path), need=Need.MOST, writes=Writes.ROWS, replica=replica, clock=clock
    ) as repository:
        return verify_repository(
            repository,
            replica=replica,
            read_data_percent=read_data_percent,
            run=start_run(clock, session.board.note),
        )
