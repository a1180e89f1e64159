"""Delete what no kept snapshot needs, on a schedule, after `farshore retain` has forgotten what no rule keeps.

`farshore prune` does the same without Prefect.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from farshore.clock import Clock, SystemClock
from farshore.errors import ConfigInvalid, Failure
from farshore.ops.prune.outcome import DeleteMax, PruneOptions, PruneResult
from tasks.naming import artifact_key, name_prune_run
from tasks.policy import thread_runner
from tasks.progress import ProgressReporter
from tasks.prune import prune_replicas
from tasks.report import failed, report_prune
from tasks.sessions import SESSIONS


@flow(
    name="prune",
    flow_run_name=name_prune_run,
    task_runner=thread_runner(),
    retries=0,
    persist_result=False,
)
def prune(
    replica: str | None = None,
    max_delete: str | None = None,
    max_hours: float | None = None,
    dry_run: bool = False,  # noqa: FBT001, FBT002 - parameters of a flow come by name
    config_path: str | None = None,
) -> State[Any]:
    """Prune one replica or all; ends as Warning where a plan is not finished: the next run goes on with it.

    Args:
        replica: Prune this replica alone.
        max_delete: How many packs may go at a replica, or which share of the bytes, such as `80%`.
        max_hours: No deletion begins, and no writer is waited for, after these.
        dry_run: Say what would go, and change nothing.
        config_path: farshore.toml on the worker; empty searches where the command line does.
    """
    try:
        options = PruneOptions(
            replica=replica,
            dry_run=dry_run,
            delete_max=DeleteMax.parse(max_delete) if max_delete else None,
            max_time=timedelta(hours=max_hours) if max_hours is not None else None,
        )
    except ValueError as error:
        return failed(ConfigInvalid(f"max_delete {error}"))
    try:
        return report_prune(_attempt(options, config_path, SystemClock()), replica or "all")
    except Failure as error:
        return failed(error)


def _attempt(options: PruneOptions, config_path: str | None, clock: Clock) -> PruneResult:
    with SESSIONS.enter(clock=clock) as session:
        key = artifact_key("progress-prune", options.replica or "all")
        reporter = ProgressReporter(board=session.board, key=key, clock=clock)
        pruning = prune_replicas.submit(session.session_id, options, config_path)
        reporter.follow([pruning])
        result = pruning.result()
        reporter.finish()
        return result
