"""The step that makes a snapshot exist."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from farshore.results import ReplicaOutcome
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_passing
from tasks.sessions import SESSIONS


@task(
    name="commit",
    task_run_name="commit",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def commit_snapshot(session_id: str) -> tuple[ReplicaOutcome, ...]:
    """Write the commit record at every replica that has acknowledged everything, and read it back.

    Atomic at each replica, and safe to repeat.

    Raises:
        QuorumNotReached: Too few replicas hold it; what was sent is kept for the next attempt.
        LeaseLost: The run slept for longer than its lease, so it may not commit.
    """
    return SESSIONS.get(session_id).require_backup().commit()
