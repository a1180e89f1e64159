"""The step that writes a backup down."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from farshore.results import BackupResult
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_passing
from tasks.sessions import SESSIONS


@task(
    name="audit",
    task_run_name="audit",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def write_audit(session_id: str) -> BackupResult:
    """Write the audit rows of this run to every replica and return the result of the run. Safe to repeat."""
    return SESSIONS.get(session_id).require_backup().audit()
