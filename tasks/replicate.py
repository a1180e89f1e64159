"""The step that brings one replica its objects, beside those of all other replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Cancelled, Failed
from prefect.tasks import exponential_backoff

from farshore.errors import Bug, Failure
from farshore.results import ReplicaOutcome
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, SEND_RETRIES, is_last_try, is_passing
from tasks.sessions import SESSIONS, STOPPED

STOP_NOTICE_S = 0.5  # queues close a moment before it is known that sealing failed


@task(
    name="replicate",
    task_run_name="replicate-{replica}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=SEND_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def replicate_packs(session_id: str, replica: str) -> ReplicaOutcome | State[Any]:
    """Send one replica everything that is sealed, until sealing has ended and all of it is acknowledged there.

    Safe to repeat: it goes on with the first object that was not acknowledged. A replica that fails for good is left
    behind and named in the result; the backup fails only if no quorum is left.

    Returns:
        The outcome of the upload; or the state Failed when the replica left this run, Cancelled when the run stopped.
    """
    session = SESSIONS.get(session_id)
    if reason := session.left_behind.get(replica):
        return Failed(message=f"{replica} takes no part in this run: {reason}")
    backup = session.require_backup()
    try:
        outcome = backup.replicate(replica)
    except Exception as error:
        if session.stopped.wait(STOP_NOTICE_S):
            return Cancelled(message=STOPPED)
        should_give_up = backup.should_give_up(
            replica
        )  # a quorum has everything, and nobody waits for the one that fails
        if should_give_up or is_last_try(error):
            backup.drop(replica, error if isinstance(error, Failure) else Bug(repr(error)))
        if should_give_up and not isinstance(error, Bug):
            return Failed(message=f"{replica} was left behind: {error}")
        raise
    return Failed(message=f"{replica} was left behind: {outcome.error}") if outcome.error_code else outcome


def require_no_bug(sending: Sequence[PrefectFuture[Any]]) -> None:
    """Wait for steps, and raise the `Bug` that ended one of them: the result names the trouble of a replica, no bug."""
    for one in sending:
        failure: Any = one.result(raise_on_failure=False)
        if isinstance(failure, Bug):
            raise failure
