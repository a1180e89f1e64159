"""How far a long command is, on standard error: a live display on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from farshore.cli.command import Invocation
from farshore.cli.output import Output
from farshore.cli.wording import human_bytes, shown_text
from farshore.clock import Clock
from farshore.plural import count_of

if TYPE_CHECKING:
    from rich.progress import TaskID

    from farshore.model import Progress

LINE_EVERY_S = 10.0  # often enough to see that a nightly run lives, rare enough for its log
RECORD_EVERY_S = 1.0  # per stage, for programs that show their own display
DRAWN_EVERY_S = 0.1  # per stage; a callback may come for every file


class Reporter(Protocol):
    """A progress callback for the span of a `with` block. May be called from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, progress: Progress) -> None: ...


def reporter_for(invocation: Invocation) -> Reporter:
    """Return the reporter that the options and the terminal ask for."""
    output, arguments = invocation.output, invocation.arguments
    wanted = bool(getattr(arguments, "progress", False))
    if output.json and wanted:
        return RecordReporter(output=output, clock=invocation.clock)
    if output.quiet or output.json:
        return SilentReporter()
    if output.stderr.isatty():
        return LiveReporter(output=output, clock=invocation.clock)
    return LineReporter(output=output, clock=invocation.clock)


class SilentReporter:
    """Tells nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        pass


class _Paced(SilentReporter):
    """Lets a report of each stage through once per interval, whichever thread it comes from."""

    def __init__(self, *, output: Output, clock: Clock, every_s: float) -> None:
        self.output = output
        self.lock = threading.Lock()
        self.latest: dict[str, Progress] = {}
        self._clock = clock
        self._every_s = every_s
        self._told_s: dict[str, float] = {}

    def due(self, key: str, *, first_waits: bool = False) -> bool:
        """Return whether it is time to tell again; the first time at once, or after one interval."""
        now_s = self._clock.monotonic_s()
        if key not in self._told_s and first_waits:
            self._told_s[key] = now_s
        if key in self._told_s and now_s - self._told_s[key] < self._every_s:
            return False
        self._told_s[key] = now_s
        return True


class LineReporter(_Paced):
    """Writes one plain line with every stage at work, at most every `LINE_EVERY_S`."""

    def __init__(self, *, output: Output, clock: Clock, every_s: float = LINE_EVERY_S) -> None:
        super().__init__(output=output, clock=clock, every_s=every_s)

    def __call__(self, progress: Progress) -> None:
        with self.lock:
            self.latest[progress.stage] = progress
            if self.due("line", first_waits=True):
                self.output.stderr.write(f"{'; '.join(map(describe, self.latest.values()))}\n")
                self.output.stderr.flush()


class RecordReporter(_Paced):
    """Writes a record per stage, at most every `RECORD_EVERY_S`."""

    def __init__(self, *, output: Output, clock: Clock, every_s: float = RECORD_EVERY_S) -> None:
        super().__init__(output=output, clock=clock, every_s=every_s)

    def __call__(self, progress: Progress) -> None:
        with self.lock:
            if self.due(progress.stage):
                self.output.record("progress", progress)
                self.output.stdout.flush()


class LiveReporter(_Paced):
    """Draws a bar per stage and wipes them away at the end."""

    def __init__(self, *, output: Output, clock: Clock, every_s: float = DRAWN_EVERY_S) -> None:
        super().__init__(output=output, clock=clock, every_s=every_s)
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            console=Console(file=output.stderr),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        with self.lock:
            finished = 0 < progress.bytes_total <= progress.bytes_done
            if not self.due(progress.stage) and not finished:
                return
            fields: dict[str, Any] = {
                "completed": progress.bytes_done,
                "total": progress.bytes_total or None,
                "said": _figures(progress),
            }
            if progress.stage in self._tasks:
                self._bars.update(self._tasks[progress.stage], **fields)
            else:
                self._tasks[progress.stage] = self._bars.add_task(shown_text(progress.stage), **fields)


def describe(progress: Progress) -> str:
    """Return one stage in words, such as `seal 1.2 GiB of 3.4 GiB (35%), 1,204 entries`."""
    return f"{shown_text(progress.stage)} {_figures(progress)}"


def _figures(progress: Progress) -> str:
    parts: list[str] = []
    if progress.bytes_total:
        percent = min(100, 100 * progress.bytes_done // progress.bytes_total)
        parts.append(f"{human_bytes(progress.bytes_done)} of {human_bytes(progress.bytes_total)} ({percent}%)")
    elif progress.bytes_done:
        parts.append(human_bytes(progress.bytes_done))
    if progress.entries:
        parts.append(count_of(progress.entries, "entry", "entries"))
    if progress.detail:
        parts.append(shown_text(progress.detail))
    return ", ".join(parts) or "begun"
