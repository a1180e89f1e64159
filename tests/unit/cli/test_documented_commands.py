"""Every command that a page shows is one that the command line takes, and every configuration one that loads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, groupby
from pathlib import Path

import pytest

from farshore.cli.parsing import build_parser, load_commands
from farshore.config import load_config

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
_REPLICA = '[replicas.filler]\nurl = "file:///srv/filler"\n'


def _name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if found[1] in languages:
            yield found[2]


def commands_in(script: str) -> Iterator[list[str]]:
    """Yield the words of each call of `farshore` in a script, up to a pipe, a redirection or the next command."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            continue  # a line of a text of several lines: a here-document, an example of output
        for ends, call in groupby(words, key=lambda word: bool(word) and set(word) <= set("|&;<>()")):
            started = list(dropwhile(_is_before_a_call, call))
            if not ends and started and started[0].rsplit("/", 1)[-1] == "farshore":
                yield started[1:]


def _is_before_a_call(word: str) -> bool:
    """Whether a word sets a variable, or is the time and the user of a line of cron."""
    return "=" in word or word in ("*", "root") or word.isdigit()


def documented(page: Path) -> list[list[str]]:
    return [words for script in blocks(page, "", "sh") for words in commands_in(script)]


@pytest.mark.parametrize("page", [page for page in PAGES if documented(page)], ids=_name_of)
def test_each_command_of_a_page_is_understood(page: Path) -> None:
    for words in documented(page):
        assert build_parser(load_commands()).parse_args(words).command is not None, words


def test_pages_show_commands() -> None:
    shown = {words[0] for page in PAGES for words in documented(page)}

    assert {"init", "backup", "restore", "verify", "heal", "status", "sql", "key", "replica"} <= shown


def test_a_call_ends_where_the_shell_ends_it() -> None:
    script = "VAR=1 farshore cat a 'b c' > d && farshore key list  # why\nfarshore snapshots | grep x\n"
    script += "15 2 * * * root /opt/bin/farshore heal\nhostssl replication farshore all\n"

    assert list(commands_in(script)) == [["cat", "a", "b c"], ["key", "list"], ["snapshots"], ["heal"]]


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks(page, "toml"))], ids=_name_of)
def test_each_configuration_of_a_page_loads(page: Path, tmp_path: Path) -> None:
    for toml in blocks(page, "toml"):
        if not re.match(r"#|\[", toml):
            continue
        (tmp_path / "farshore.toml").write_text(toml if "[replicas." in toml else _REPLICA + toml)

        assert load_config(tmp_path / "farshore.toml", {}).replicas
