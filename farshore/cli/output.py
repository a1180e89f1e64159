"""Where a command's words go: results to standard output, everything else to standard error.

Names of sources, files and hosts are those that somebody else chose, so no line has characters that move a cursor.
With `--json` standard output carries records alone, one JSON object per line, errors and warnings included.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from farshore.cli.wording import (
    Record,
    encode_record,
    error_record,
    record_of,
    shown_lines,
    shown_text,
    unasked_fields,
)
from farshore.errors import Failure

if TYPE_CHECKING:
    from rich.console import Console

EMPTY_CELL = "-"  # a cell always has something in it, so columns can be cut by number
COLUMN_GAP = 3  # between two columns of the drawn table
WRAPPED_WIDTH_MIN = 24  # text in a narrower column is a ladder of words


class OutletFailed(Exception):
    """Standard output cannot be written, for another reason than a reader that went away."""


class Outlet(io.TextIOWrapper):
    """Standard output, with failures of its own kind.

    `failure` says why it could not be written, after `go_on_unread` was called: then it only holds a report of what is
    done, and work does not end because nobody can read its report.
    """

    failure: str = ""
    _goes_on: bool = False

    def go_on_unread(self) -> None:
        """From now on note the first failure, and write nothing after it, instead of raising."""
        self._goes_on = True

    def write(self, text: str, /) -> int:
        """Write, or raise `OutletFailed` or `BrokenPipeError`."""
        written = len(text)
        with self._failing():
            if not self.failure:
                written = super().write(text)
        return written

    def flush(self) -> None:
        """Flush, or raise `OutletFailed` or `BrokenPipeError`."""
        with self._failing():
            if not self.failure:
                super().flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._goes_on:
                self.failure = error.strerror or str(error)
            elif isinstance(error, BrokenPipeError):
                raise
            else:
                raise OutletFailed(error.strerror) from error


class _Unread(io.FileIO):
    def write(self, data: Any, /) -> int:
        left = memoryview(data)
        while left.nbytes:
            try:
                written = super().write(left)
            except OSError:
                break  # a full disk, a closed pipe, a terminal that is gone: the next line may get through
            if not written:
                break
            left = left[written:]
        return len(data)


def open_stderr(encoding: str) -> io.TextIOWrapper:
    """Return standard error as a stream that never fails: its text is for people, and the exit code says the rest.

    Nothing is buffered, so that a line that cannot be written now is in no later one's way.
    """
    return io.TextIOWrapper(
        cast("BinaryIO", _Unread(2, "wb", closefd=False)), encoding=encoding, errors="backslashreplace",
        write_through=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """The two streams of one command, and how it was asked to speak. Used by the main thread."""

    stdout: TextIO
    stderr: TextIO
    json: bool = False
    quiet: bool = False

    def line(self, text: str = "") -> None:
        """Print a line for people; nothing with `--json`."""
        if not self.json:
            self.stdout.write(f"{shown_lines(text)}\n")

    def lines(self, texts: Iterable[str]) -> None:
        """Print lines for people; nothing with `--json`."""
        for text in texts:
            self.line(text)

    def record(self, kind: str, value: Any, **more: Any) -> None:
        """Print a result dataclass as a record; nothing without `--json`."""
        if self.json:
            self.raw(record_of(kind, value, **more))

    def raw(self, record: Record) -> None:
        """Print a record; nothing without `--json`."""
        if self.json:
            self.stdout.write(f"{encode_record(record)}\n")

    def note(self, text: str) -> None:
        """Print on standard error a note on the next step; nothing with `--json` or `--quiet`."""
        if not self.json and not self.quiet:
            self._aside(text)

    def warning(self, text: str, code: str = "", **more: str) -> None:
        """Say on standard error what a person should look at; with `--json` as a record too.

        Args:
            code: Stable, for programs; where there is one.
            more: Further fields of the record.
        """
        self.raw({"type": "warning", "message": text, **({"code": code} if code else {}), **more})
        self._aside(f"warning: {text}")

    def error(self, error: Failure, about: str = "") -> None:
        """Say on standard error what failed; with `--json` as a record too."""
        for replica, reason in error.replicas.items():
            self.raw({"type": "warning", **unasked_fields(replica, reason)})
        record = error_record(error)
        self.raw({**record, "source": about} if about else record)
        self._aside(error_text(error, about))

    def _aside(self, text: str) -> None:
        """Write to standard error after what standard output has so far: a log of both reads in order."""
        self.stdout.flush()
        self.stderr.write(f"{shown_lines(text)}\n")
        self.stderr.flush()

    def table(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        right: frozenset[str] = frozenset(),
        wraps: frozenset[str] = frozenset(),
    ) -> None:
        """Print a table for people: drawn on a terminal, else aligned plain text that is easy to cut and grep.

        A table that is too wide for the terminal is printed row by row, so that no id is broken.

        Args:
            titles: One per column.
            rows: Cells, as many as titles.
            right: Titles of the columns that hold figures.
            wraps: Titles of the columns whose text may run over several lines on a terminal.
        """
        if self.json:
            return
        cells = [[shown_text(cell) or EMPTY_CELL for cell in row] for row in rows]
        if not self.stdout.isatty():
            self.stdout.writelines(f"{line}\n" for line in plain_table(titles, cells, right))
            return
        from rich.console import Console

        console = Console(file=self.stdout, highlight=False, soft_wrap=False)
        if _width(titles, cells, wraps) > console.width:
            self.stdout.writelines(f"{line}\n" for line in listed_rows(titles, cells))
        else:
            _draw(console, titles, cells, right, wraps)


def _width(titles: Sequence[str], cells: list[list[str]], wraps: frozenset[str]) -> int:
    """Return the columns of the terminal that a drawn table needs at least."""
    needed = 0
    for column, title in enumerate(titles):
        longest = max(len(title), *(len(row[column]) for row in cells)) if cells else len(title)
        needed += (min(longest, WRAPPED_WIDTH_MIN) if title in wraps else longest) + COLUMN_GAP
    return needed


def _draw(
    console: Console, titles: Sequence[str], cells: list[list[str]], right: frozenset[str], wraps: frozenset[str]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", no_wrap=title not in wraps)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # never markup: a name may hold brackets
    console.print(table)


def listed_rows(titles: Sequence[str], cells: list[list[str]]) -> list[str]:
    """Return each row as a block of lines, one cell a line."""
    width = max(map(len, titles), default=0)
    lines: list[str] = []
    for number, row in enumerate(cells, start=1):
        lines.append(f"row {number}")
        lines.extend(f"  {title:<{width}}  {cell}" for title, cell in zip(titles, row, strict=True))
    return lines


def plain_table(titles: Sequence[str], cells: list[list[str]], right: frozenset[str] = frozenset()) -> list[str]:
    """Return the lines of an aligned table: upper-case titles, two spaces between columns, none at the end."""
    rows = [[title.upper().replace(" ", "_") for title in titles], *cells]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    figures = [title in right for title in titles]
    return [
        "  ".join(
            cell.rjust(width) if is_figure else cell.ljust(width)
            for cell, width, is_figure in zip(row, widths, figures, strict=True)
        ).rstrip()
        for row in rows
    ]


def error_text(error: Failure, about: str = "") -> str:
    """Return an error as people see it: code, message, hint."""
    subject = f"{about}: " if about else ""
    message = "\n".join(shown_text(line) for line in error.message.split("\n"))
    text = f"error[{error.code}]: {subject}{message}"
    return f"{text}\nhint: {shown_text(error.hint)}" if error.hint else text
