"""Objects of every kind that nobody certified signed: none is obeyed, copied or taken for damage, and all are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.repair import vouching
from tests.attacks.world import Victim, attack

KINDS = {"packs", "index", "runs", "keys", "snapshots", "forgotten", "notes", "approvals", "plans", "audit"}


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    return victim


def plant(victim: Victim) -> list[str]:
    planted = attack("planted_objects.py", victim.replica("one")).split()
    assert {name.partition("/")[0] for name in planted} == KINDS
    return planted


def copied(victim: Victim, planted: list[str]) -> list[str]:
    return [name for name in planted if (victim.replica("two") / name).exists()]


@pytest.mark.parametrize("keyless", [True, False], ids=["keyless", "key"])
def test_nothing_of_a_stranger_is_obeyed_or_copied(victim: Victim, keyless: bool) -> None:
    before = victim.stored()
    planted = plant(victim)
    for _ in range(2):
        done = victim.run("heal", "--read-data", *(["--keyless"] if keyless else []))
        assert copied(victim, planted) == []
        assert done.code == (0 if not keyless else done.code)
    victim.write(b"another night")
    victim.backup()
    assert victim.run("verify", "--read-data").code in (0, 3)
    assert victim.run("status").code in (0, 3)
    victim.stands(before)


def test_a_heal_that_copies_whatever_fits_its_name_spreads_them(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(victim)
    monkeypatch.setattr(vouching.Vouching, "strangers", lambda *_: frozenset())
    victim.good("heal")
    assert {name.partition("/")[0] for name in copied(victim, planted)} >= {"packs", "index", "keys", "audit"}
