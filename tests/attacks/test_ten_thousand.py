"""A14: more objects than a command reads of those that nobody signed. `tests.benchmarks.planted` has ten thousand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.refused import RefusedObjects
from farshore.replicas import owner_log
from tests.attacks.world import Victim, attack

OWN = 16  # of what the heals before wrote
COUNT = limits.UNKNOWN_OBJECTS_MAX + 100

MANY = 2000


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


def test_entries_of_the_log_that_follow_planted_ones_are_not_read(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack("a14_ten_thousand.py", "log-entries", victim.replica("one"), COUNT)
    assert gets(victim, "backup", "home") < COUNT / 10
    monkeypatch.setattr(owner_log, "_any_counts", lambda *_: True)
    shutil.rmtree(victim.root / victim.host / "cache")
    assert gets(victim, "backup", "home") >= COUNT


@pytest.mark.parametrize("kind", ["fragments", "seals-of-a-chain", "packs"])
def test_a_verify_reads_a_bounded_number_of_what_nobody_signed(
    victim: Victim, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = gets(victim, "verify", "--read-data")
    attack("a14_ten_thousand.py", kind, victim.replica("one"), MANY)
    assert gets(victim, "verify", "--read-data") <= honest + MANY - COUNT, "they are met in several places"
    assert victim.run("verify", "--read-data").of("verify")[0]["damaged"] == []
    for name in ("UNKNOWN_OBJECTS_MAX", "AUDIT_SEALS_UNNAMED_MAX"):
        monkeypatch.setattr(limits, name, 1_000_000)
    assert gets(victim, "verify", "--read-data") >= MANY
