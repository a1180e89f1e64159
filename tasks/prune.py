"""The step that deletes what no kept snapshot needs."""

from __future__ import annotations

from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from farshore.access import open_repository
from farshore.access.read_prices import deletion_prices
from farshore.access.unlock import Need
from farshore.clock import SystemClock
from farshore.ops.prune.outcome import PruneOptions, PruneResult
from farshore.ops.prune.prune import prune_repository
from farshore.trust.actions import Right
from tasks.opening import open_config, start_run
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_passing
from tasks.sessions import SESSIONS


@task(
    name="prune",
    task_run_name="prune",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def prune_replicas(session_id: str, options: PruneOptions, config_path: str | None) -> PruneResult:
    """Prune one replica or all. Safe to repeat: a plan that is open is finished.

    The outcome of a replica is a result and not an error, also where it is refused.

    Raises:
        Unavailable: Passing.
        KeyMissing: The key of this worker may not maintain.
    """
    session = SESSIONS.get(session_id)
    clock = SystemClock()
    config = open_config(config_path)
    with open_repository(config, need=Need.MOST, right=Right.MAINTAIN, clock=clock) as repository:
        priced = replace(options, early_prices=deletion_prices(config))
        return prune_repository(repository, priced, start_run(clock, session.board.note))
