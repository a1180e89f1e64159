"""A15: objects as large as their kinds allow, and larger: every command reads a bounded number of their bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.refused import RefusedObjects
from farshore.limits import MIB
from tests.attacks.test_hostile_bytes import CODES, measured
from tests.attacks.world import Victim, attack

COUNT = {"packs": 4, "fragments": 4, "seals-of-a-chain": 12, "condemning-plans": 3}
COMMANDS = (
    ["backup", "home"], ["status"], ["verify"], ["verify", "--read-data"], ["heal"], ["prune", "--dry-run"],
)  # fmt: skip
RECEIVED_BAR = 150 * MIB  # a pack or a fragment of 64 MiB is read before it is known to be none, at two places
PLANS_BAR = 300 * MIB  # a plan that could condemn is read twice, and the next attempt goes on behind it


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.backup()
    return victim


def received(victim: Victim, words: list[str]) -> int:
    done, _, count = measured(victim, *words)
    assert done.code in CODES.get(words[0], (0, 3)), (words, done.code, done.said)
    return count


@pytest.mark.parametrize("kind", [*COUNT, "commits", "verdicts", "log-entries-of-a-number"])
def test_a_command_reads_a_bounded_number_of_bytes_that_nobody_signed(victim: Victim, kind: str) -> None:
    before = victim.stored()
    honest = {" ".join(words): received(victim, words) for words in COMMANDS}
    attack("a15_large_objects.py", kind, victim.replica("one"), COUNT.get(kind, 60))
    plans = kind == "condemning-plans"
    for words in COMMANDS[:-1] if plans else COMMANDS:  # a prune of that replica reads each plan whole
        bar = PLANS_BAR if plans else RECEIVED_BAR
        assert received(victim, words) < 2 * honest[" ".join(words)] + bar, words
    victim.stands(before)


def test_no_object_beyond_its_limit_is_read(victim: Victim) -> None:
    honest = {" ".join(words): received(victim, words) for words in COMMANDS}
    attack("a15_large_objects.py", "beyond", victim.replica("one"), 2)
    for words in COMMANDS:
        assert received(victim, words) < 2 * honest[" ".join(words)] + MIB, words
    for name in ("one", "two"):
        assert victim.restored(victim.listed()[0], "--replica", name) is not None


@pytest.mark.parametrize("kind", ["packs", "fragments"])
def test_without_a_bound_of_bytes_they_are_all_read(victim: Victim, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attack("a15_large_objects.py", kind, victim.replica("one"), COUNT[kind])
    monkeypatch.setattr(limits, "UNKNOWN_BYTES_MAX", 1 << 60)
    monkeypatch.setattr(RefusedObjects, "remembers", lambda *_: False)
    assert received(victim, ["heal"]) > COUNT[kind] * 60 * MIB
