"""What the demo tells while it works, and the table it ends with."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_INDENT = " " * 11


class DemoFailed(Exception):
    """Something did not come out as it must; the message says what."""


@dataclass
class Step:
    """One line of the final table. `said` is its result, set while it runs."""

    title: str
    seconds: float = 0.0
    said: str = ""
    ended_well: bool = False


@dataclass
class Diary:
    """Prints as things happen. Safe from many threads; steps themselves come one after another."""

    started_s: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, text: str) -> None:
        """Print one line, or several, below the current step."""
        with self._lock:
            for line in text.splitlines() or [""]:
                print(f"{_INDENT}{line}".rstrip(), flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Print the start and the end of one step, with its seconds, and keep it for the table."""
        step = Step(title)
        self.steps.append(step)
        self._mark(f"{title} ...")
        started_s = time.monotonic()
        try:
            yield step
            step.ended_well = True
        except DemoFailed as failure:
            step.said = str(failure).splitlines()[0]
            raise
        except KeyboardInterrupt:
            step.said = "interrupted"
            raise
        except BaseException as error:
            step.said = type(error).__name__
            raise
        finally:
            step.seconds = time.monotonic() - started_s
            result = "done" if step.ended_well else "FAILED"
            self._mark(f"{result} in {step.seconds:.1f} s{': ' if step.said else ''}{step.said}")

    def table(self) -> str:
        """Return every step with its seconds and its result."""
        rows = [
            (step.title, f"{step.seconds:.1f}", ("" if step.ended_well else "FAILED: ") + step.said)
            for step in self.steps
        ]
        total = sum(step.seconds for step in self.steps)
        return format_table(("what happened", "seconds", "result"), [*rows, ("in all", f"{total:.1f}", "")])

    def _mark(self, text: str) -> None:
        with self._lock:
            print(f"[{time.monotonic() - self.started_s:6.1f} s] {text}", flush=True)


def format_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows in aligned columns below a header; columns of numbers are aligned to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    numbers = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in (header, tuple("-" * width for width in widths), *rows):
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    return not text or text.replace(",", "").replace(".", "").isdecimal()
