"""Where a command's words go: results to standard output, everything else to standard error.

With `--json` standard output carries records alone, one JSON object per line, errors and warnings included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from farshore.cli.records import Record, encode_record, error_record, record_of
from farshore.cli.wording import shown_text
from farshore.errors import FarshoreError

EMPTY_CELL = "-"  # a cell always has something in it, so columns can be cut by number


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
            self.stdout.write(f"{text}\n")

    def record(self, kind: str, value: Any, **more: Any) -> None:
        """Print a result dataclass as a record; nothing without `--json`."""
        if self.json:
            self.raw(record_of(kind, value, **more))

    def raw(self, record: Record) -> None:
        """Print a record; nothing without `--json`."""
        if self.json:
            self.stdout.write(f"{encode_record(record)}\n")

    def note(self, text: str) -> None:
        """Say on standard error what is about to happen or what comes next; nothing with `--json` or `--quiet`."""
        if not self.json and not self.quiet:
            self.stderr.write(f"{text}\n")
            self.stderr.flush()

    def warning(self, text: str) -> None:
        """Say on standard error what a person should look at; with `--json` as a record too."""
        self.raw({"type": "warning", "message": text})
        self.stderr.write(f"warning: {text}\n")

    def error(self, error: FarshoreError, about: str = "") -> None:
        """Say on standard error what failed; with `--json` as a record too."""
        record = error_record(error)
        self.raw({**record, "source": about} if about else record)
        self.stderr.write(f"{error_text(error, about)}\n")
        self.stderr.flush()

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[str] = frozenset()) -> None:
        """Print a table for people: drawn on a terminal, else aligned plain text that is easy to cut and grep.

        Args:
            titles: One per column.
            rows: Cells, as many as titles.
            right: Titles of the columns that hold figures.
        """
        if self.json:
            return
        cells = [[shown_text(cell) or EMPTY_CELL for cell in row] for row in rows]
        if self.stdout.isatty():
            self._drawn_table(titles, cells, right)
        else:
            self.stdout.writelines(f"{line}\n" for line in plain_table(titles, cells, right))

    def _drawn_table(self, titles: Sequence[str], cells: list[list[str]], right: frozenset[str]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, justify="right" if title in right else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))  # never markup: a name may hold brackets
        Console(file=self.stdout, highlight=False).print(table)


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


def error_text(error: FarshoreError, about: str = "") -> str:
    """Return an error as people see it: code, message, hint."""
    subject = f"{about}: " if about else ""
    message = "\n".join(shown_text(line) for line in error.message.split("\n"))
    text = f"error[{error.code}]: {subject}{message}"
    return f"{text}\nhint: {shown_text(error.hint)}" if error.hint else text
