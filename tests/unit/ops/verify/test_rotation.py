"""Samples over many runs: kept in the audit tables, so that any host goes on where another stopped."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.access.query import LastChecks, last_checks, open_tables, run_query
from farshore.access.unlock import Need
from farshore.check_results import ReplicaReading, VerifyResult
from farshore.errors import StoreUnavailable
from farshore.format import names
from tests.doubles.faulty import FAIL, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

PACKS = 10


def _last_checks(world: Engine, replicas: list[str]) -> dict[str, LastChecks]:
    with open_tables(world.config, clock=world.clock) as repository:
        return last_checks(repository, replicas)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Ten packs, one from each backup, an hour apart."""
    engine = Engine(tmp_path).initialize(write_only=True)
    source = TreeSource(clock=engine.clock)
    for number in range(PACKS):
        source.file(b"f", random.Random(number).randbytes(1000))
        engine.clock.wait_s(3600)
        engine.backup(source)
    assert len(engine.objects("b", names.PACKS)) == PACKS
    return engine


def verify(engine: Engine, percent: float, replica: str = "b") -> VerifyResult:
    engine.clock.advance(86_400)
    return engine.verify(replica=replica, percent=percent, need=Need.WRITE)


def reading(engine: Engine, percent: float, replica: str = "b") -> ReplicaReading:
    (one,) = verify(engine, percent, replica).readings
    return one


def ask(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    return run_query(engine.config, sql, replica="a", clock=engine.clock).rows


def read_of(engine: Engine, replica: str = "b") -> dict[str, int]:
    return dict(ask(engine, f"SELECT object, count(*) FROM proofs WHERE replica = '{replica}' GROUP BY object"))


def test_four_runs_of_a_quarter_read_everything_once(engine: Engine) -> None:
    reported = [reading(engine, 25) for _ in range(4)]
    assert [one.packs_read for one in reported] == [3, 3, 3, 3]
    assert [one.packs_never_read for one in reported] == [7, 4, 1, 0]
    assert {one.runs_for_all for one in reported} == {4}
    assert set(read_of(engine)) == set(engine.objects("b", names.PACKS))
    assert sorted(read_of(engine).values()) == [1] * 8 + [2] * 2
    oldest = reported[-1].oldest_read_utc
    assert oldest is not None
    assert engine.clock.now_utc() - oldest == timedelta(days=3)


def test_each_replica_has_a_rotation_of_its_own(engine: Engine) -> None:
    reading(engine, 50, "b")
    assert reading(engine, 50, "c").packs_never_read == 5
    assert reading(engine, 50, "b").packs_never_read == 0


def test_another_host_goes_on_where_this_one_stopped(engine: Engine) -> None:
    reading(engine, 50)
    engine.forget_cache()
    other = engine.at("desk")
    other.clock.advance(86_400)
    (one,) = other.verify(replica="b", percent=50).readings
    assert (one.packs_read, one.packs_never_read) == (5, 0)


def test_new_packs_wait_their_turn_and_lost_ones_are_forgotten(engine: Engine) -> None:
    first = set(engine.objects("b", names.PACKS))
    reading(engine, 20)
    source = TreeSource(clock=engine.clock)
    source.file(b"new", random.Random(99).randbytes(1000))
    engine.backup(source)
    (new,) = set(engine.objects("b", names.PACKS)) - first
    for _ in range(2):
        reading(engine, 20)
        assert new not in read_of(engine), "the others were put before it"
    engine.lose("b", max(read_of(engine)))
    (reported,) = verify(engine, 20).readings
    assert reported.packs == PACKS
    assert set(engine.objects("b", names.PACKS)) <= set(read_of(engine)) | {new}


def test_damage_is_read_again_until_it_is_mended(engine: Engine) -> None:
    bad = min(engine.objects("b", names.PACKS))
    engine.flip("b", bad)
    while not (result := verify(engine, 10)).damaged:
        assert len(read_of(engine)) < PACKS
    assert [one.name for one in result.damaged] == [bad]
    times = read_of(engine)[bad]
    assert [one.name for one in verify(engine, 10).damaged] == [bad], "nothing mended it"
    assert _last_checks(engine, ["a"])["b"].clean is False
    engine.flip("b", bad)
    assert verify(engine, 10).clean
    assert read_of(engine)[bad] == times + 2
    assert _last_checks(engine, ["a"])["b"].clean is True
    verify(engine, 10)
    assert read_of(engine)[bad] == times + 2, "it is sound and waits its turn again"


def test_a_reading_that_is_interrupted_keeps_what_it_read(engine: Engine) -> None:
    wanted = sorted(engine.objects("b", names.PACKS))

    def plan(verb: str, name: str, number: int) -> Any:
        return FAIL if verb == "get" and name == wanted[6] else None

    engine.wrap = lambda name, store: FaultyStore(store, clock=engine.clock, plan=plan) if name == "b" else store
    with pytest.raises(StoreUnavailable):
        verify(engine, 100)
    assert set(read_of(engine)) == set(wanted[:6])


def test_without_audit_tables_each_day_reads_its_part(engine: Engine) -> None:
    shutil.rmtree(engine.config.cache_dir, ignore_errors=True)
    for replica in "abc":
        for name in engine.objects(replica, "audit/checks/"):
            engine.alter(replica, name, lambda data: data[:-1] + b"?")
    reported = [verify(engine, 25) for _ in range(4)]
    assert {one.rotation for result in reported for one in result.readings} == {"by-name"}
    assert sum(one.packs_read for result in reported for one in result.readings) == PACKS


def test_tables_of_another_replica_serve_where_its_own_are_lost(engine: Engine) -> None:
    assert reading(engine, 50).packs_never_read == 5
    engine.forget_cache()
    for name in engine.objects("b", "audit/proofs/"):
        engine.alter("b", name, lambda data: data[:-1] + b"?")
    assert reading(engine, 50).packs_never_read == 0


def test_the_audit_tables_tell_when_all_was_read(engine: Engine) -> None:
    for _ in range(4):
        reading(engine, 25)
    last = _last_checks(engine, ["a"])["b"]
    assert last.method == "read"
    assert last.remote_utc is None
    assert last.all_read_since_utc is not None
    assert engine.clock.now_utc() - last.all_read_since_utc == timedelta(days=3)
    assert ask(engine, "SELECT never_read FROM replica_proofs WHERE replica = 'b'") == [(0,)]
