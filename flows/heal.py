"""Bring replicas in sync with each other: after a backup that left one behind, and on a schedule.

`farshore heal` does the same without Prefect.
"""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from farshore.clock import Clock, SystemClock
from farshore.errors import Bug, Failure
from farshore.ops.heal.heal import HealOptions
from farshore.repair.outcome import HealResult, heal_error
from tasks.heal import heal_replicas
from tasks.naming import artifact_key, name_heal_run
from tasks.policy import ATTEMPTS_MAX, attempt_wait_s, thread_runner
from tasks.progress import ProgressReporter, run_logger
from tasks.report import failed, report_heal
from tasks.sessions import SESSIONS


@flow(
    name="heal",
    flow_run_name=name_heal_run,
    task_runner=thread_runner(),
    retries=0,
    persist_result=False,
)
def heal(
    replica: str | None = None,
    read_data: bool = False,  # noqa: FBT001, FBT002 - parameters of a flow come by name
    bandwidth: int = 0,
    config_path: str | None = None,
    attempts: int = ATTEMPTS_MAX,
) -> State[Any]:
    """Copy what one replica or all lack, and mend what is damaged; complete only when each of them is in sync.

    Args:
        replica: Heal this replica alone.
        read_data: Also read every object at the replicas that are healed, and hash it.
        bandwidth: Bytes a second through the worker; 0 does not limit it.
        config_path: farshore.toml on the worker; empty searches where the command line does.
        attempts: How often to start over while a replica does not answer, the first time included.
    """
    options = HealOptions(replica=replica, read_data=read_data, bandwidth=bandwidth)
    clock = SystemClock()
    attempt = 1
    while True:
        result: HealResult | None = None
        error: Failure | None
        try:
            result = _attempt(options, config_path, clock)
            error = None if result.in_sync else heal_error(result)
        except Failure as caught:
            error = caught
        if error is None or not error.retryable or attempt >= attempts:
            return report_heal(result, replica or "all") if result else failed(error or Bug("a heal had no result"))
        wait_s = attempt_wait_s(attempt, clock.jitter())
        run_logger().warning("attempt %d: %s; the next one in %.0f s", attempt, error, wait_s)
        clock.wait_s(wait_s)
        attempt += 1


def _attempt(options: HealOptions, config_path: str | None, clock: Clock) -> HealResult:
    with SESSIONS.enter(clock=clock) as session:
        key = artifact_key("progress-heal", options.replica or "all")
        reporter = ProgressReporter(board=session.board, key=key, clock=clock)
        healing = heal_replicas.submit(session.session_id, options, config_path)
        reporter.follow([healing])
        result = healing.result()
        reporter.finish()
        return result
