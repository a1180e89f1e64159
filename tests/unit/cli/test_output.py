"""Tables, notes, warnings and errors on the two streams."""

from __future__ import annotations

import io
import json
import re

from farshore.cli.output import Output, error_text, plain_table
from farshore.errors import ConfigInvalid, WrongPassphrase


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def output(*, json: bool = False, quiet: bool = False, stdout: io.StringIO | None = None) -> Output:
    return Output(stdout=stdout or io.StringIO(), stderr=io.StringIO(), json=json, quiet=quiet)


def said(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_a_plain_table_is_aligned_and_can_be_cut() -> None:
    lines = plain_table(
        ("snapshot", "last check", "new"), [["abc", "-", "1.5KiB"], ["abcdef", "never", "0B"]], frozenset({"new"})
    )

    assert lines == [
        "SNAPSHOT  LAST_CHECK     NEW",
        "abc       -           1.5KiB",
        "abcdef    never           0B",
    ]
    assert [line.split()[2] for line in lines] == ["NEW", "1.5KiB", "0B"]


def test_an_empty_cell_is_a_dash_and_a_hostile_one_stays_on_its_line() -> None:
    out = output()

    out.table(("a", "b"), [["", "x\ny\x1b[2J"]])

    assert said(out.stdout) == "A  B\n-  x\\ny\\x1b[2J\n"


def test_on_a_terminal_a_table_is_drawn_and_markup_is_text() -> None:
    out = output(stdout=Terminal())

    out.table(("name",), [["[red]not markup[/red]"]])

    assert "[red]not markup[/red]" in said(out.stdout)
    assert "─" in said(out.stdout)


def test_a_table_too_wide_for_the_terminal_is_reported_row_by_row() -> None:
    out = output(stdout=Terminal())

    out.table(("id", "text"), [["a" * 70, "b" * 70], ["c", ""]])

    assert said(out.stdout).splitlines() == [
        "row 1",
        f"  id    {'a' * 70}",
        f"  text  {'b' * 70}",
        "row 2",
        "  id    c",
        "  text  -",
    ]


def test_prose_in_a_drawn_table_wraps_and_ids_do_not() -> None:
    out = output(stdout=Terminal())

    out.table(("id", "text"), [["a" * 40, "word " * 40]], wraps=frozenset({"text"}))

    plain = re.sub(r"\x1b\[[0-9;]*m", "", said(out.stdout))
    assert "a" * 40 in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_with_json_standard_output_has_records_alone() -> None:
    out = output(json=True)

    out.line("for people")
    out.table(("a",), [["b"]])
    out.note("for people")
    out.warning("careful")
    out.error(ConfigInvalid("bad", "Mend it."), about="home")

    records = [json.loads(line) for line in said(out.stdout).splitlines()]
    assert [record["type"] for record in records] == ["warning", "error"]
    assert records[1]["source"] == "home"
    assert said(out.stderr) == "warning: careful\nerror[config-invalid]: home: bad\nhint: Mend it.\n"


def test_quiet_silences_notes_and_nothing_else() -> None:
    out = output(quiet=True)

    out.note("about to begin")
    out.line("result")
    out.warning("careful")

    assert said(out.stdout) == "result\n"
    assert said(out.stderr) == "warning: careful\n"


def test_an_error_shows_code_message_and_hint_and_no_control_characters() -> None:
    assert error_text(WrongPassphrase("no slot opens")).startswith(
        "error[wrong-passphrase]: no slot opens\nhint: Check"
    )
    assert error_text(ConfigInvalid("two\n  mistakes\x1b[2J", "")) == "error[config-invalid]: two\n  mistakes\\x1b[2J"
