"""Forks by a stolen writer: named, and of its own objects alone; nobody else stops, and no branch of it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.audit import chain, names
from farshore.trust import log_entry, order
from tests.attacks.world import Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.enroll("thief")
    return victim


def fork(victim: Victim, what: str) -> list[str]:
    credential = victim.root / "thief.credential"
    return attack("forks.py", what, victim.replica("one"), credential, victim.now()).split()


def go_on(victim: Victim) -> None:
    """Do with it what one does every day."""
    for words in (["backup", "home"], ["heal"], ["status"], ["snapshots"]):
        assert victim.run(*words).code in (0, 3), words


def test_seals_at_one_place_of_its_own_chain_are_named_and_hide_no_other(victim: Victim) -> None:
    before, planted = victim.stored(), fork(victim, "seals")
    go_on(victim)
    found = victim.run("verify")
    damaged = {one["name"] for one in found.of("verify")[0]["damaged"]}
    assert found.code == 62
    assert damaged <= set(planted), "the chains of others are as they were"
    assert "seals claim one place of the chain" in found.said
    victim.stands(before)


def test_without_a_look_at_places_a_forked_chain_is_clean(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    fork(victim, "seals")
    monkeypatch.setattr(chain, "_check_chain", lambda *_: [])
    victim.good("verify")


def test_seals_in_the_chain_of_another_are_none(victim: Victim) -> None:
    before, planted = victim.stored(), fork(victim, "chain")
    go_on(victim)
    found = victim.good("verify")
    assert set(planted) <= {one["name"] for one in found.of("verify")[0]["refused"]}
    assert not [name for name in planted if (victim.replica("two") / name).exists()]
    victim.stands(before)


def test_without_the_signer_in_its_id_a_chain_is_forked_by_anybody(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork(victim, "chain")
    monkeypatch.setattr(names, "is_chain_of", lambda *_: True)
    assert victim.run("verify").code == 62


def test_two_snapshots_after_one_are_forked_at_the_source_of_the_thief_alone(victim: Victim) -> None:
    before, planted = victim.stored(), {name.split("/")[2][:32] for name in fork(victim, "commits") if "snap" in name}
    go_on(victim)
    listed = victim.run("snapshots").of("snapshot")
    assert {one["snapshot_id"] for one in listed if one["forked"]} == planted
    own = next(one["source_id"] for one in listed if one["snapshot_id"] in victim.kept)
    assert victim.restored(own) == b"what the victim cannot lose\n" * 1000
    victim.stands(before)


def test_without_the_count_of_children_a_branch_is_the_newest(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    fork(victim, "commits")
    monkeypatch.setattr(order, "Counter", lambda _: dict.fromkeys((), 0) | {"": 1})
    assert not [one for one in victim.run("snapshots").of("snapshot") if one["forked"]]


def test_entries_that_the_thief_signed_are_no_fork_of_the_log(victim: Victim) -> None:
    before, planted = victim.stored(), fork(victim, "log")
    go_on(victim)
    victim.good("verify", "--read-data")
    assert not [name for name in planted if (victim.replica("two") / name).exists()]
    victim.enroll("another")
    victim.stands(before)


def test_without_the_owners_signature_the_thief_revokes_everybody(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork(victim, "log")
    monkeypatch.setattr(log_entry, "is_signed_by", lambda *_: True)
    assert victim.run("backup", "home").code not in (0, 3), "nobody may write on"
    assert victim.listed() == [], "and nothing counts that the victim signed"
