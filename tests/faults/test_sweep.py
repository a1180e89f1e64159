"""One fault at every call of a replica's store, position by position; then everything listed restores, everywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.errors import FarshoreError
from farshore.ops.backup.backup import run_backup
from farshore.results import BackupResult
from farshore.run import Run
from farshore.stores.wrappers.retrying import RetryingStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, FULL, LOSE_REPLY, STALE, TRUNCATE, VANISH, Fault, FaultyStore, Plan, no_faults
from tests.faults.world import World


def _world(root: Path) -> World:
    world = World(root, seed=3, files=12, large_bytes=400_000)
    world.initialize()
    world.advance()
    _backup(world, no_faults)
    world.advance()
    return world


def _backup(world: World, plan: Plan, *, retrying: bool = False) -> tuple[BackupResult, FaultyStore]:
    """Back up with one replica's store misbehaving; with retries when asked, whose waits cost no time."""
    with open_repository(world.config, need=Need.WRITE, clock=world.clock) as repository:
        good = repository.replicas["one"]
        faulty = FaultyStore(good.meter, clock=world.clock, plan=plan)
        store = RetryingStore(faulty, clock=FixedClock()) if retrying else faulty
        repository.replicas = {**repository.replicas, "one": dataclasses.replace(good, store=store)}
        result = run_backup(
            repository, open_source(world.config, "home", clock=world.clock), run=Run.start(world.clock)
        )
        return result, faulty


def _calls(root: Path) -> int:
    _, faulty = _backup(_world(root), no_faults)
    return len(faulty.calls)


@pytest.mark.parametrize(
    "fault", [FAIL, LOSE_REPLY, FULL, STALE, VANISH], ids=["fail", "lose-reply", "full", "stale", "vanish"]
)
def test_a_fault_at_every_call_of_one_replica(tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "count").mkdir()
    total = _calls(tmp_path / "count")
    assert total > 10
    (tmp_path / "world").mkdir()
    world = _world(tmp_path / "world")
    for number in range(1, total + 1):
        result, _ = _backup(world, _at(number, fault))
        committed = {outcome.replica for outcome in result.replicas if outcome.committed}
        assert committed >= {"two", "three"}, f"call {number}"
        world.advance()
    result, _ = _backup(world, no_faults)
    assert all(outcome.committed for outcome in result.replicas)
    world.check_everything(replicas=("two", "three"))
    _only_behind(world)


@pytest.mark.parametrize("fault", [FAIL, LOSE_REPLY], ids=["fail", "lose-reply"])
def test_a_passing_fault_at_any_call_is_ridden_out_by_the_retries(tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "count").mkdir()
    total = _calls(tmp_path / "count")
    (tmp_path / "world").mkdir()
    world = _world(tmp_path / "world")
    for number in range(1, total + 1):
        result, _ = _backup(world, _at(number, fault), retrying=True)
        assert all(outcome.committed for outcome in result.replicas), f"call {number}"
        world.advance()
    world.check_everything()


def test_a_truncated_put_is_never_committed_over(tmp_path: Path) -> None:
    world = _world(tmp_path)

    def plan(verb: str, name: str, _number: int) -> Fault | None:
        return TRUNCATE if verb == "put" and name.startswith("packs/") else None

    result, _ = _backup(world, plan)
    assert {outcome.replica for outcome in result.replicas if outcome.committed} == {"two", "three"}
    for snapshot in world.snapshots()[-1:]:
        assert "one" not in snapshot.replicas


def test_below_the_quorum_nothing_is_committed_and_the_next_run_sends_only_what_is_missing(tmp_path: Path) -> None:
    world = World(tmp_path, seed=4, files=12, large_bytes=4_000_000)
    world.initialize()
    world.advance()
    with open_repository(world.config, need=Need.WRITE, clock=world.clock) as repository:
        broken = {}
        for name in ("one", "two"):
            good = repository.replicas[name]
            faulty = FaultyStore(good.meter, clock=world.clock, plan=_when_put("runs/"))
            broken[name] = dataclasses.replace(good, store=faulty)
        repository.replicas = {**repository.replicas, **broken}
        with pytest.raises(FarshoreError) as failure:
            run_backup(repository, open_source(world.config, "home", clock=world.clock), run=Run.start(world.clock))
    assert failure.value.code == "quorum-not-reached"
    assert world.snapshots() == []
    result, _ = _backup(world, no_faults)
    assert result.counts.bytes_new == 0
    assert all(outcome.committed for outcome in result.replicas)
    assert result.counts.bytes_stored < 100_000
    world.check_everything()


def test_a_replica_that_was_away_is_brought_up_by_the_next_snapshot(tmp_path: Path) -> None:
    world = World(tmp_path, seed=5, files=12, large_bytes=4_000_000)
    world.initialize()
    world.advance()
    result, _ = _backup(world, lambda _verb, _name, _number: FAIL)
    assert [outcome.replica for outcome in result.replicas if not outcome.committed] == ["one"]
    assert result.warned
    result, _ = _backup(world, no_faults)
    assert all(outcome.committed for outcome in result.replicas)
    latest = world.snapshots()[-1]
    assert set(latest.replicas) == {"one", "two", "three"}
    world.check_everything()


def _at(number: int, fault: Fault) -> Plan:
    return lambda _verb, _name, called: fault if called == number else None


def _when_put(prefix: str) -> Plan:
    return lambda verb, name, _number: FAIL if verb == "put" and name.startswith(prefix) else None


def _only_behind(world: World) -> None:
    """The replica that was hurt may lack snapshots; what it lists is whole, and nothing of it is altered."""
    restored = 0
    for snapshot in world.snapshots():
        restored += "one" in snapshot.replicas
    assert restored
    world.check_everything(replicas=())
