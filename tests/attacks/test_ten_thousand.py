"""A14: more objects than a command reads of those that nobody signed. `tests.benchmarks.planted` has ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.refused import RefusedObjects
from tests.attacks.world import Victim, attack

OWN = 16  # of what the heals before wrote
COUNT = limits.UNKNOWN_OBJECTS_MAX + 100


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    return victim


def gets(victim: Victim, *words: object) -> int:
    """Run a command; return how many objects it read."""
    done = victim.good(*words)
    return sum(one["gets"] for record in done.records for one in record.get("requests", []))


@pytest.mark.parametrize("kind", ["packs", "fragments"])
def test_a_heal_reads_a_bounded_number_of_what_nobody_signed_and_each_once(victim: Victim, kind: str) -> None:
    before = victim.stored()
    honest = gets(victim, "heal")
    attack("a14_ten_thousand.py", kind, victim.replica("one"), COUNT)
    for left in (limits.UNKNOWN_OBJECTS_MAX + 64, COUNT - limits.UNKNOWN_OBJECTS_MAX, 0):
        assert gets(victim, "heal") <= honest + left + OWN
    victim.stands(before)


def test_without_the_bound_a_heal_reads_them_all(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    attack("a14_ten_thousand.py", "packs", victim.replica("one"), COUNT)
    monkeypatch.setattr(RefusedObjects, "exhausted", lambda *_: False)
    assert gets(victim, "heal") >= COUNT
