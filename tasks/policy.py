"""How tasks retry and how many run at once.

A task is one whole step. The retrying store wrapper repeats single requests; a task repeats its step only after the
wrapper has given up, and only when the error says that a retry may succeed. A step that has read part of a source is
never repeated: the flow makes a new attempt at the whole backup instead.
"""

from __future__ import annotations

from typing import Any, cast

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from farshore.errors import FarshoreError

STEP_RETRIES = 2  # a quick second and third try; longer outages are for the next attempt
SEND_RETRIES = 4  # 2, 4, 8, 16 s: meanwhile its packs go to the spool, so one that comes back is not left behind
RETRY_BASE_S = 2.0
RETRY_JITTER = 0.5  # replicas that failed together are not retried together

ATTEMPTS_MAX = 3  # whole backups made in one flow run
ATTEMPT_WAIT_BASE_S = 30.0  # 30, 60: longer than a server's restart, shorter than any sensible schedule

TASKS_AT_ONCE_MAX = 34  # 32 replicas, sealing, and one to spare: sealing waits for every replica, so all must run


def thread_runner() -> TaskRunner[PrefectFuture[Any]]:
    """Return a runner whose threads share the flow's process, with room for every task that must run at once."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner[Any](max_workers=TASKS_AT_ONCE_MAX))


def is_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a step that failed may be tried again: never after damage, refusal or a user's error."""
    return isinstance(state.data, FarshoreError) and state.data.retryable


def is_last_try(error: Exception) -> bool:
    """Return whether the current task, having met `error`, will not be tried again."""
    if not isinstance(error, FarshoreError) or not error.retryable:
        return True
    context = TaskRunContext.get()
    return context is None or context.task_run.run_count > context.task.retries


def attempt_wait_s(attempt: int, jitter: float) -> float:
    """Return how long to wait after failed attempt number `attempt` (from 1); `jitter` is in [0, 1)."""
    return ATTEMPT_WAIT_BASE_S * 2.0 ** (attempt - 1) * (0.5 + jitter)
