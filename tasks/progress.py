"""Progress of a long operation in Prefect's log and in a progress artifact.

The engine reports from its own threads, many times a second, and must not wait for a server. So it only leaves its
latest word on a board; the thread of the flow, which has nothing else to do, reads the board now and then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_logger, get_run_logger

from farshore.clock import Clock
from farshore.limits import MIB
from farshore.plural import count_of
from farshore.results import Progress

LOOK_EVERY_S = 1.0  # how often the board is looked at
REPORT_EVERY_S = (
    15.0  # one round of log lines and one update of the artifact: 240 an hour, whatever the size of the source
)

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class ProgressBoard:
    """The latest word of every stage of one operation. Safe from any thread; never makes the engine wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, Progress] = {}

    def note(self, progress: Progress) -> None:
        """Keep `progress` as the latest word of its stage. This is the engine's progress callback."""
        with self._lock:
            self._latest[progress.stage] = progress

    def latest(self) -> list[Progress]:
        """Return the latest word of each stage, in the order in which the stages first spoke."""
        with self._lock:
            return list(self._latest.values())


class ProgressReporter:
    """Brings a board to the log and to one progress artifact of the current flow run. Used by one thread."""

    def __init__(self, *, board: ProgressBoard, key: str, clock: Clock) -> None:
        self._board = board
        self._key = key
        self._clock = clock
        self._artifact: UUID | None = None
        self._due_s = clock.monotonic_s() + REPORT_EVERY_S

    def follow(self, futures: Iterable[PrefectFuture[Any]]) -> None:
        """Wait until every future has ended, however it ended, reporting meanwhile. Raises nothing of theirs."""
        for future in futures:
            ended = threading.Event()
            future.add_done_callback(_setter(ended))
            while not self._clock.wait_s(LOOK_EVERY_S, ended):
                if self._clock.monotonic_s() >= self._due_s:
                    self._due_s = self._clock.monotonic_s() + REPORT_EVERY_S
                    self._report()

    def finish(self) -> None:
        """Bring the artifact to 100; call when the operation has succeeded."""
        self._write(100.0, self._board.latest())

    def _report(self) -> None:
        latest = self._board.latest()
        for progress in latest:
            run_logger().info(describe(progress))
        self._write(min(percent_done(latest), 99.0), latest)  # 100 is for the end, and only for a good one

    def _write(self, percent: float, latest: list[Progress]) -> None:
        if FlowRunContext.get() is None:
            return
        description = "\n".join(f"- {describe(progress)}" for progress in latest)
        if self._artifact is None:
            made = create_progress_artifact(percent, key=self._key, description=description)
            self._artifact = cast("UUID", made)  # a coroutine only where a loop runs, and flows here are synchronous
        else:
            update_progress_artifact(self._artifact, percent, description=description)


def _setter(event: threading.Event) -> Callable[[PrefectFuture[Any]], None]:
    return lambda _: event.set()


def percent_done(latest: Iterable[Progress]) -> float:
    """Return how much of the bytes of all stages with a known total is done, from 0 to 100."""
    known = [progress for progress in latest if progress.bytes_total > 0]
    total = sum(progress.bytes_total for progress in known)
    done = sum(min(progress.bytes_done, progress.bytes_total) for progress in known)
    return 100.0 * done / total if total else 0.0


def describe(progress: Progress) -> str:
    """Return one line for the log and the artifact."""
    parts = [count_of(progress.entries, "entry", "entries")] if progress.entries else []
    if progress.bytes_total:
        parts.append(f"{progress.bytes_done / MIB:,.1f} of {progress.bytes_total / MIB:,.1f} MiB")
    elif progress.bytes_done:
        parts.append(f"{progress.bytes_done / MIB:,.1f} MiB")
    stage = progress.stage.replace(":", " ")  # consoles turn ":b:" into a picture
    return f"{stage}: {', '.join(parts)}" if parts else stage


def run_logger() -> RunLogger:
    """Return the logger of the current flow or task run, or a plain one outside of any."""
    inside = FlowRunContext.get() is not None or TaskRunContext.get() is not None
    return get_run_logger() if inside else get_logger("farshore")
