"""Check the objects of the replicas, and fail when anything is damaged or missing."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from farshore.clock import SystemClock
from farshore.errors import Failure
from tasks.naming import artifact_key, name_verify_run
from tasks.policy import thread_runner
from tasks.progress import ProgressReporter
from tasks.report import failed, report_verify
from tasks.sessions import SESSIONS
from tasks.verify import verify_replicas


@flow(
    name="verify",
    flow_run_name=name_verify_run,
    task_runner=thread_runner(),
    retries=0,
    persist_result=False,
)
def verify(
    replica: str | None = None,
    read_data_percent: float = 0.0,
    config_path: str | None = None,
    *,
    remote: bool = False,
) -> State[Any]:
    """Check every object of one replica or of all; complete only when nothing is damaged or missing.

    Args:
        replica: Check this replica alone.
        read_data_percent: How much of the content to read and check as well, from 0 to 100; what is read rotates.
        remote: Read nothing, compare the checksums of providers with those sent; needs no key.
        config_path: farshore.toml on the worker; empty searches where the command line does.
    """
    clock = SystemClock()
    subject = replica or "all"
    try:
        with SESSIONS.enter(clock=clock) as session:
            reporter = ProgressReporter(board=session.board, key=artifact_key("progress-verify", subject), clock=clock)
            checking = verify_replicas.submit(
                session.session_id, replica, read_data_percent, config_path, remote=remote
            )
            reporter.follow([checking])
            result = checking.result()
            reporter.finish()
        return report_verify(result, subject)
    except Failure as error:
        return failed(error)
