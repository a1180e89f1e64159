"""Names that are no text or move a cursor: no command ends for them, and none prints them as they are."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from farshore.cli import output
from farshore.cli.main import main
from tests.attacks.world import Victim, attack

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COMMANDS = (
    ["snapshots"], ["status"], ["verify", "--read-data"], ["heal"], ["backup", "home"], ["find", "letter"],
    ["key", "list"], ["sql", "SELECT * FROM snapshots", "--replica", "one"],
)  # fmt: skip


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    return victim


def shown(victim: Victim, *words: str) -> tuple[int, str]:
    """Run a command as a person does; return its code and all that it printed."""
    config = victim.root / f"{victim.host}.toml"
    stdout, stderr = io.StringIO(), io.StringIO()
    code = main([*words, "--config", str(config)], {"HOME": str(victim.root)}, stdout, stderr, victim.clock)
    return code, stdout.getvalue() + stderr.getvalue()


def test_objects_of_any_name_stop_nothing_and_move_no_cursor(victim: Victim) -> None:
    victim.good("status")
    before = victim.stored()
    attack("strange_names.py", "objects", victim.replica("one"))
    for words in COMMANDS:
        code, printed = shown(victim, *words)
        assert code in (0, 3), (words, code, printed)
        assert not CONTROL.search(printed), (words, CONTROL.findall(printed))
    assert not list(victim.replica("two").rglob("*owned*"))
    victim.stands(before)


def test_a_snapshot_of_any_name_stops_nothing_and_moves_no_cursor(victim: Victim) -> None:
    victim.enroll("thief")
    before = victim.stored()
    attack("strange_names.py", "snapshot", victim.replica("one"), victim.root / "thief.credential", victim.now())
    (planted,) = [one for one in victim.listed() if one not in victim.kept]
    for words in (*COMMANDS, ["ls", planted], ["restore", planted, "--target", str(victim.root / "out")]):
        code, printed = shown(victim, *words)
        assert code != 1, printed
        assert not CONTROL.search(printed), (words, CONTROL.findall(printed))
    victim.stands(before)


def test_printed_as_it_is_a_name_moves_the_cursor(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.enroll("thief")
    attack("strange_names.py", "snapshot", victim.replica("one"), victim.root / "thief.credential", victim.now())
    (planted,) = [one for one in victim.listed() if one not in victim.kept]
    monkeypatch.setattr(output, "shown_lines", str)
    assert CONTROL.search(shown(victim, "restore", planted, "--target", str(victim.root / "out"))[1])
