"""A11, an old owner log, and squatted names: what a replica takes back, or has before its time, is named at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from farshore.catalog import heads
from farshore.ops.ask import audit_state
from farshore.ops.heal import good_copy
from farshore.ops.verify import check_cuts
from tests.attacks.world import BOTH, Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.write(b"the second night")
    victim.backup()
    return victim


# --- A11 --------------------------------------------------------------------------------------------------------------


def cut(victim: Victim) -> str:
    newest = list(victim.kept)[-1]
    removed = attack("a11_cut_history.py", newest, *map(victim.replica, BOTH))
    assert newest in removed
    del victim.kept[newest]
    return newest


def test_the_newest_snapshot_deleted_everywhere_is_missed_by_every_command_of_its_host(victim: Victim) -> None:
    newest = cut(victim)
    for words in (["status"], ["snapshots"], ["verify"], ["heal"], ["backup", "home"]):
        done = victim.run(*words)
        assert done.code == 39, (words, done.said)
        assert newest in done.said, words


def test_without_memory_and_heads_nobody_notices(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(victim)
    monkeypatch.setattr(heads, "note_heads", lambda *_, **__: None)
    for module in (audit_state, check_cuts):
        monkeypatch.setattr(module, "find_cuts", lambda *_, **__: [])
    for words in (["status"], ["snapshots"], ["verify"], ["heal"], ["backup", "home"]):
        victim.good(*words)


# --- an old owner log -------------------------------------------------------------------------------------------------


def revoked_thief(victim: Victim) -> str:
    """Have a stolen writer's snapshot refused by a revocation; return its id."""
    credential = victim.enroll("thief")
    printed = attack("a06_planted_commit.py", victim.replica("one"), credential, "own", victim.now())
    planted = printed.split("/")[2][:32]
    victim.good("key", "revoke", "thief", "--reason", "stolen", "--refuse", planted, "--yes")
    assert planted not in victim.listed()
    return planted


def test_a_replica_that_shows_an_old_log_is_named_and_takes_nothing_back(victim: Victim) -> None:
    planted = revoked_thief(victim)
    attack("old_log.py", victim.replica("one"))
    done = victim.run("status")
    assert done.of("trust")[0]["log_behind"] == {"one": 1}
    assert planted not in victim.listed()
    attack("old_log.py", victim.replica("two"))
    shutil.rmtree(victim.root / victim.host / "cache")  # which has the entry still
    for words in (["snapshots"], ["heal"], ["verify"], ["backup", "home"], ["status"]):
        assert victim.run(*words).code == 37, words


def test_a_host_that_remembers_no_entry_believes_the_old_log(victim: Victim) -> None:
    """As does a fresh machine: only what was seen before, or an anchor, tells."""
    planted = revoked_thief(victim)
    attack("old_log.py", *map(victim.replica, BOTH))
    victim.host = "stranger"
    assert planted in victim.listed()


# --- squatted names ---------------------------------------------------------------------------------------------------


def squatted(victim: Victim) -> list[str]:
    """Back up while a replica is away, and have garbage there under all names that it misses."""
    victim.replica("two").rename(victim.root / "away")
    victim.write(b"the third night")
    victim.backup()
    (victim.root / "away").rename(victim.replica("two"))
    return attack("squatted_names.py", victim.replica("one"), victim.replica("two")).split()


def test_garbage_under_the_names_to_come_is_found_and_replaced(victim: Victim) -> None:
    names = squatted(victim)
    before = {place: one for place, one in victim.stored().items() if place not in {("two", name) for name in names}}
    assert victim.run("verify").code == 62
    done = victim.run("heal", "--read-data").of("heal")[0]
    assert {one["object"] for one in done["repairs"] if one["action"] == "replaced"} == set(names)
    victim.good("verify", "--read-data")
    victim.stands(before)


def test_a_heal_that_hashes_nothing_calls_the_garbage_in_sync(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    names = squatted(victim)
    monkeypatch.setattr(good_copy, "check_itself", lambda *_: True)
    assert victim.run("heal", "--read-data").of("heal")[0]["repairs"] is not None
    assert all(
        (victim.replica("one") / one).read_bytes() != (victim.replica("two") / one).read_bytes() for one in names
    )
