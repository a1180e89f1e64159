"""The step that brings replicas in sync."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from farshore.clock import SystemClock
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.heal.provider_copies import ProviderCopies
from farshore.repair.outcome import HealResult
from tasks.opening import open_config, start_run
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_passing
from tasks.sessions import SESSIONS


@task(
    name="heal",
    task_run_name="heal",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def heal_replicas(session_id: str, options: HealOptions, config_path: str | None) -> HealResult:
    """Copy objects that a replica lacks, and mend damaged ones. Safe to repeat: whole objects are left alone.

    Damage that cannot be mended is a result and not an error: it is returned, and written to the audit table `repairs`.

    Raises:
        Unavailable: Passing.
        ReplicaEmpty: The replica that was named lists nothing; only `farshore replica add` fills a new one.
    """
    session = SESSIONS.get(session_id)
    clock = SystemClock()
    config = open_config(config_path)
    with open_context(config, clock=clock) as context, ProviderCopies(config, clock) as copy_within:
        return heal_repository(
            context,
            options,
            copy_within=copy_within,
            run=start_run(clock, session.board.note),
        )
