"""A stolen writer pins, lifts, tags and approves: none of it counts, keeps space, or is copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.trust import Judgment, TrustState
from tests.attacks.world import Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    """Two snapshots, the first of which is held; and a thief with the credential of another host."""
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.good("hold", victim.listed()[0], "--reason", "case 4711")
    victim.write(b"the next night")
    victim.backup()
    victim.enroll("thief")
    return victim


def plant(victim: Victim) -> list[str]:
    credential = victim.root / "thief.credential"
    return attack("stolen_notes.py", victim.replica("one"), credential, victim.now()).split()


def kept(victim: Victim) -> list[list[str]]:
    """Return why `retain` keeps each snapshot, the oldest first."""
    return [one["reasons"] for one in victim.good("retain", "--keep-last", "1", "--json").of("verdict")]


def test_a_thief_keeps_nothing_and_lifts_nothing(victim: Victim) -> None:
    before = kept(victim)
    planted = plant(victim)
    assert {name.partition("/")[0] for name in planted} == {"notes", "approvals"}
    assert kept(victim) == before == [["held case 4711"], ["newest", "last 1 of 1"]]
    victim.good("heal")
    assert not [name for name in planted if (victim.replica("two") / name).exists()]
    assert victim.run("verify").code in (0, 3)
    assert victim.run("forget", victim.listed()[0]).code == 94


def test_without_the_judgment_of_who_may_it_ends_the_hold(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(victim)
    monkeypatch.setattr(TrustState, "judge_word", lambda *_: Judgment.ACCEPTED)
    reasons = kept(victim)
    assert "held case 4711" not in reasons[0]
    assert "held" in reasons[1]
