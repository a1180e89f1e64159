"""A6: a stolen writer of the domain commits what it may not, or at a time that it may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore import catalog
from farshore.clock import SystemClock
from farshore.ops.ask import source_states
from farshore.trust import order
from farshore.trust.order import Place
from tests.attacks.world import Victim, attack

FUTURE = "2100-01-01T00:00:00.000000Z"
SEQUENCE = "sequence=9"


class Later(SystemClock):
    """A clock three days on."""

    def now_utc(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=3)


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    return victim


def plant(victim: Victim, source_id: str, moment: str, *more: str) -> str:
    """Plant a snapshot at one replica; return its id."""
    printed = attack(
        "a06_planted_commit.py", victim.replica("one"), victim.root / "thief.credential", source_id, moment, *more
    )
    return printed.split("/")[2][:32]


def own_source(victim: Victim) -> str:
    (one,) = {one.source_id for one in victim.snapshots()}
    return one


@pytest.mark.parametrize("moment", [FUTURE, None], ids=["2100", "now"])
def test_a_commit_of_the_source_of_another_host_is_refused(victim: Victim, moment: str | None) -> None:
    victim.enroll("thief")
    before = victim.stored()
    planted = plant(victim, own_source(victim), moment or victim.now(), SEQUENCE)

    assert planted not in victim.listed()
    for command in (["snapshots"], ["verify", "--read-data"], ["heal"], ["status", "--max-age", "1h"]):
        done = victim.run(*command)
        assert "not-its-source" in done.said, command
        assert done.code == 0, "a refused commit makes no replica behind"
    assert victim.run("status", "--max-age", "1h", clock=Later()).code == 80
    assert victim.restored("home") == victim.kept[victim.listed()[-1]]
    assert victim.run("restore", planted, "--target", victim.root / "x").code == 12
    victim.write(b"the next night")
    victim.backup()
    victim.stands(before)


def test_without_judgment_and_order_the_setuid_file_is_restored_and_monitoring_is_blind(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim.enroll("thief")
    plant(victim, own_source(victim), FUTURE, SEQUENCE)
    monkeypatch.setattr(catalog, "judge", lambda *_: None)
    monkeypatch.setattr(order, "_dated", lambda *_: Place.SOUND)
    monkeypatch.setattr(source_states, "SKEW", timedelta(days=365 * 100))
    target = victim.root / "restored"
    victim.good("restore", "home", "--target", target)
    assert (target / "letter").stat().st_mode & 0o4000
    assert victim.run("status", "--max-age", "1h", clock=Later()).code in (0, 3)


@pytest.mark.parametrize("moment", [FUTURE, None], ids=["2100", "now"])
def test_a_source_of_its_own_under_the_name_of_anothers_is_no_stand_in(victim: Victim, moment: str | None) -> None:
    victim.enroll("thief")
    before = victim.stored()
    planted = plant(victim, "own", moment or victim.now(), SEQUENCE)

    listed = {one["snapshot_id"]: one for one in victim.run("snapshots").of("snapshot")}
    assert listed[planted]["misdated"] is (moment is not None)
    assert victim.run("restore", "home", "--target", victim.root / "x").code == 12, "two hosts have a source home"
    (own,) = {one.source_id for one in victim.snapshots() if one.snapshot_id != planted}
    assert victim.restored(own) == victim.kept[victim.listed(own)[-1]]
    states = victim.run("status", "--max-age", "1h").of("source")
    assert {one["source"]: one["state"] for one in states} == {
        f"{victim.name}:home": "fresh", "thief:home": "misdated" if moment else "fresh"
    }  # fmt: skip
    later = victim.run("status", "--max-age", "1h", clock=Later())
    assert f"{victim.name}:home is" in later.said
    assert later.code in (36, 80)
    assert victim.restored(f"{victim.name}:home") == victim.kept[victim.listed(own)[-1]]
    victim.stands(before)


def test_ages_by_the_name_alone_are_those_of_the_thief(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.enroll("thief")
    plant(victim, "own", (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), SEQUENCE)
    monkeypatch.setattr(order, "_dated", lambda *_: Place.SOUND)  # three days from now it is dated right
    assert victim.run("status", "--max-age", "1h", clock=Later()).code == 80
    monkeypatch.setattr(source_states, "_by_source", lambda found, _: {"home": list(found)})
    assert victim.run("status", "--max-age", "1h", clock=Later()).code in (0, 3)
