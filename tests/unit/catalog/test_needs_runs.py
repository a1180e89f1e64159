"""Needs as runs in backups: nothing is listed twice, and what became of an earlier run costs time and no backup."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.catalog.next_needs import lacking_needs
from farshore.format import names
from farshore.format.needs import Needs, decode_needs
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import put_plan
from tests.unit.ops.tree_source import TreeSource

NOISE = random.Random(5)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    for number in range(4):
        tree.file(b"file-%d" % number, NOISE.randbytes(300_000))
    engine.clock.wait_s(60)
    return tree


def night(engine: Engine, source: TreeSource, number: int) -> str:
    source.file(b"new-%d" % number, NOISE.randbytes(30_000))
    engine.clock.wait_s(60)
    return engine.backup(source).snapshot_id


def runs_of(engine: Engine, snapshot_id: str) -> list[str]:
    return [ref.name for ref in engine.commit_of(snapshot_id).needs]


def test_a_night_adds_a_run_of_what_is_new_and_names_the_others_again(engine: Engine, source: TreeSource) -> None:
    first = night(engine, source, 0)
    second = night(engine, source, 1)
    before, after = runs_of(engine, first), runs_of(engine, second)
    assert (len(before), after[:1], len(after)) == (1, before, 2)
    new = decode_needs(engine.objects("a")[after[1]], "it")
    assert lacking_needs(new, engine.needs_of(first)) == new, "something is listed twice"
    assert lacking_needs(engine.needs_of(first), engine.needs_of(second)) == Needs()
    for snapshot in (first, second):
        assert not engine.restore(snapshot)[0].problems
    assert not engine.verify().damaged


def test_a_host_that_lost_its_cache_adds_to_the_same_runs(engine: Engine, source: TreeSource) -> None:
    first = night(engine, source, 0)
    engine.forget_cache()
    assert runs_of(engine, night(engine, source, 1))[:1] == runs_of(engine, first)


def test_a_run_that_a_replica_lost_is_given_to_it_again(engine: Engine, source: TreeSource) -> None:
    (run,) = runs_of(engine, night(engine, source, 0))
    engine.lose("b", run)
    second = night(engine, source, 1)
    assert run in runs_of(engine, second)
    assert engine.objects("b")[run] == engine.objects("a")[run]


def test_a_run_that_is_cut_at_a_replica_is_named_no_more(engine: Engine, source: TreeSource) -> None:
    """A backup overwrites nothing, so it would commit there never again."""
    (run,) = runs_of(engine, night(engine, source, 0))
    engine.alter("b", run, lambda data: data[:-1])
    second = night(engine, source, 1)
    assert run not in runs_of(engine, second)
    assert engine.commit_of(second).name in engine.objects("b")


def test_a_superfluous_pack_that_is_lost_keeps_nobody_from_a_backup(engine: Engine, source: TreeSource) -> None:
    """The needs before name it, the new snapshot does not use it: the next run of needs is one of exactly what is."""
    first = night(engine, source, 0)
    second = night(engine, source, 1)
    (lost,) = {pack.pack_id for pack in engine.needs_of(second).packs} - {
        pack.pack_id for pack in engine.needs_of(first).packs
    }
    del source.nodes[b"new-1"]
    for replica in engine.urls:
        engine.lose(replica, names.pack(lost))
    third = night(engine, source, 2)
    assert lost not in {pack.pack_id for pack in engine.needs_of(third).packs}
    assert len(runs_of(engine, third)) == 1
    assert not engine.restore(third)[0].problems


@pytest.mark.parametrize("what", ["a run", "a superfluous pack"])
def test_what_a_plan_condemns_is_named_no_more(engine: Engine, source: TreeSource, what: str) -> None:
    first = night(engine, source, 0)
    second = night(engine, source, 1)
    (pack,) = {one.pack_id for one in engine.needs_of(second).packs} - {
        one.pack_id for one in engine.needs_of(first).packs
    }
    condemned = runs_of(engine, second)[0] if what == "a run" else names.pack(pack)
    del source.nodes[b"new-1"]
    put_plan(engine, "a", [condemned])
    third = night(engine, source, 2)
    assert condemned not in {
        *runs_of(engine, third),
        *(names.pack(one.pack_id) for one in engine.needs_of(third).packs),
    }
