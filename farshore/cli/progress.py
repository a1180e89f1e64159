"""How far a long command is, on standard error: a live display on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from farshore.cli import Invocation
from farshore.cli.output import Output
from farshore.cli.wire import Moved, Rate, Wire, time_left
from farshore.cli.wording import human_bytes, shown_lines, shown_text
from farshore.clock import Clock
from farshore.plural import count_of

if TYPE_CHECKING:
    from rich.progress import TaskID

    from farshore.results import Progress

LINE_EVERY_S = 10.0  # often enough to see that a nightly run lives, rare enough for its log
RECORD_EVERY_S = 1.0  # per stage, for programs that show their own display
WIRE_EVERY_S = 0.5  # rates are drawn anew, also before any stage has reported
_WIRE = "network"
DRAWN_EVERY_S = 0.1  # per stage; a callback may be called for every file


class Reporter(Protocol):
    """A progress callback for the span of a `with` block. May be called from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, progress: Progress) -> None: ...


def reporter_for(invocation: Invocation, moved: Moved | None = None) -> Reporter:
    """Return the reporter that the options and the terminal ask for.

    Args:
        moved: The bytes from and to each replica, for reporters that people read.
    """
    output, arguments = invocation.output, invocation.arguments
    wanted = bool(getattr(arguments, "progress", False))
    if output.json and wanted:
        return RecordReporter(output=output, clock=invocation.clock)
    if output.quiet or output.json:
        return SilentReporter()
    if output.stderr.isatty():
        return LiveReporter(output=output, clock=invocation.clock, moved=moved)
    return LineReporter(output=output, clock=invocation.clock, moved=moved)


class SilentReporter:
    """Reports nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        pass


class _Paced(SilentReporter):
    """Lets a report of each stage through once per interval, from whichever thread."""

    def __init__(self, *, output: Output, clock: Clock, every_s: float) -> None:
        self.output = output
        self.lock = threading.Lock()
        self.latest: dict[str, Progress] = {}
        self._clock = clock
        self._every_s = every_s
        self._reported_s: dict[str, float] = {}

    def due(self, key: str, *, first_waits: bool = False) -> bool:
        """Return whether it is time to report again; the first time at once, or after one interval."""
        now_s = self._clock.monotonic_s()
        if key not in self._reported_s and first_waits:
            self._reported_s[key] = now_s
        if key in self._reported_s and now_s - self._reported_s[key] < self._every_s:
            return False
        self._reported_s[key] = now_s
        return True


class _Ticker:
    """Calls for a new look at the wire every so often, while a `with` block lasts. Its thread ends with it."""

    def __init__(self, look: Callable[[], None], *, clock: Clock, every_s: float) -> None:
        self._look = look
        self._clock = clock
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=1.0)  # a terminal that is stopped holds nobody up

    def _run(self) -> None:
        while not self._clock.wait_s(self._every_s, self._ended):
            self._look()


class LineReporter(_Paced):
    """Writes one plain line with every stage at work and what moves, at most every `LINE_EVERY_S`."""

    def __init__(
        self, *, output: Output, clock: Clock, every_s: float = LINE_EVERY_S, moved: Moved | None = None
    ) -> None:
        super().__init__(output=output, clock=clock, every_s=every_s)
        self._wire = Wire(moved, clock) if moved else None
        self._ticker = _Ticker(self._tick, clock=clock, every_s=every_s) if moved else None

    def __enter__(self) -> Self:
        if self._ticker:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker:
            self._ticker.stop()

    def __call__(self, progress: Progress) -> None:
        with self.lock:
            self.latest[progress.stage] = progress
            if self._ticker is None and self.due("line", first_waits=True):
                self._write("")

    def _tick(self) -> None:
        moved = self._wire.describe() if self._wire else ""
        with self.lock:
            if moved or self.latest:
                self._write(moved)

    def _write(self, moved: str) -> None:
        parts = [*map(describe, self.latest.values()), *([moved] if moved else [])]
        self.output.stderr.write(f"{shown_lines('; '.join(parts))}\n")
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

    def __init__(
        self, *, output: Output, clock: Clock, every_s: float = DRAWN_EVERY_S, moved: Moved | None = None
    ) -> None:
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
        self._rates: dict[str, Rate] = {}
        self._moved_before: dict[str, int] = {}  # by stage: bytes moved when it began
        self._wire = Wire(moved, clock) if moved else None
        self._ticker = _Ticker(self._tick, clock=clock, every_s=WIRE_EVERY_S) if moved else None

    def __enter__(self) -> Self:
        self._bars.start()
        if self._ticker:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker:
            self._ticker.stop()
        self._bars.stop()

    def _tick(self) -> None:
        """Draw the rates: a stage's bar does not move while an object is under way, these do."""
        moved = self._wire.describe() if self._wire else ""
        with self.lock:
            if not moved and not self.latest:
                moved = "waiting for the first bytes"
            if moved:
                self._draw(_WIRE, completed=0, total=None, said=moved)
            for progress in self.latest.values():
                self._draw_stage(progress)

    def _draw_stage(self, progress: Progress) -> None:
        """Draw a stage with what is done of it, objects that are still under way included."""
        progress = replace(progress, bytes_done=max(progress.bytes_done, self._under_way(progress)))
        rate = self._rates.setdefault(progress.stage, Rate()).of(progress.bytes_done, self._clock.monotonic_s())
        left = time_left(progress.bytes_done, progress.bytes_total, rate)
        said = f"{_figures(progress)}, {left}" if left else _figures(progress)
        self._draw(progress.stage, completed=progress.bytes_done, total=progress.bytes_total or None, said=said)

    def _under_way(self, progress: Progress) -> int:
        """Return the bytes that moved for a stage since it was first reported, and never all of it."""
        moved = self._wire.bytes_of(progress.stage) if self._wire else None
        if moved is None:
            return 0
        since_first = moved - self._moved_before.setdefault(progress.stage, moved - progress.bytes_done)
        return min(since_first, progress.bytes_total * 99 // 100) if progress.bytes_total else since_first

    def _draw(self, row: str, **fields: Any) -> None:
        if row in self._tasks:
            self._bars.update(self._tasks[row], **fields)
        else:
            self._tasks[row] = self._bars.add_task(shown_text(row), **fields)

    def __call__(self, progress: Progress) -> None:
        with self.lock:
            self.latest[progress.stage] = progress
            finished = 0 < progress.bytes_total <= progress.bytes_done
            if not self.due(progress.stage) and not finished:
                return
            self._draw_stage(progress)


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
