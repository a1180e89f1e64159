"""Times that heal or somebody else renewed order nothing; those of a replica that lies stop nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from farshore.catalog import snapshots
from tests.attacks.world import BOTH, Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    for number in range(3):
        victim.write(b"night %d" % number)
        victim.backup()
    return victim


def renew(victim: Victim, what: str, *replicas: str) -> str:
    oldest = next(iter(victim.kept))
    assert attack("renewed_times.py", what, oldest, *map(victim.replica, replicas))
    return oldest


def test_an_old_snapshot_that_was_put_again_is_no_newest(victim: Victim) -> None:
    before = victim.stored()
    renew(victim, "renew", *BOTH)
    assert victim.listed() == list(victim.kept)
    assert victim.restored("home") == b"night 2"
    victim.stands(before)


def test_a_heal_that_writes_a_replica_anew_changes_no_order(victim: Victim) -> None:
    before = victim.stored()
    renew(victim, "renew", "one")
    for folder in ("packs", "index", "runs", "snapshots", "leases"):
        shutil.rmtree(victim.replica("two") / folder)
    victim.good("heal")
    assert victim.restored("home", "--replica", "two") == b"night 2"
    listed = victim.run("snapshots").of("snapshot")
    assert not [one for one in listed if one["misdated"] or one["forked"]]
    victim.stands({place: one for place, one in before.items() if not place[1].startswith("leases/")})


def test_ordered_by_time_the_oldest_would_be_the_newest(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    renew(victim, "renew", *BOTH)
    times = {path.name[-64:]: path.stat().st_mtime_ns for path in victim.replica("one").glob("snapshots/*/*")}
    monkeypatch.setattr(snapshots, "_position", lambda head: times[head.hash])
    assert victim.restored("home") == b"night 0"


def test_a_replica_whose_times_are_a_lie_stops_no_restore_no_backup_and_no_verify(victim: Victim) -> None:
    before = victim.stored()
    renew(victim, "age", "one")
    assert victim.restored("home") == b"night 2"
    assert victim.restored("home", "--replica", "two") == b"night 2"
    victim.write(b"night 3")
    victim.backup()
    for words in (["heal"], ["verify"], ["status"], ["backup", "home"]):
        assert victim.run(*words).code in (0, 3), words
    assert victim.restored("home") == b"night 3"
    victim.stands(before)
