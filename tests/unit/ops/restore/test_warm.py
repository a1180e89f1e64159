"""Archived packs: restores wait for them or read elsewhere. Replicas in memory whose archive holds for real."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.catalog.snapshots import Snapshot
from farshore.errors import ObjectArchived
from farshore.format import names
from farshore.ops.restore.warm import look_at_warmth, warm_snapshot
from farshore.stores.memory import ARCHIVE_CLASS
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource

ARCHIVED = {"storage_class": ARCHIVE_CLASS}
DAY_S = 86_400


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, settings={"a": ARCHIVED, "b": ARCHIVED, "c": ARCHIVED}).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", random.Random(1).randbytes(300_000))
    engine.clock.wait_s(60)
    engine.backup(tree)
    return tree


def snapshot_of(engine: Engine) -> Snapshot:
    (snapshot,) = engine.snapshots()
    return snapshot


def warm(engine: Engine, replica: str) -> int:
    with engine.opened() as repository:
        return warm_snapshot(repository, snapshot_of(engine), repository.replicas[replica], days=2).asked


def test_only_packs_are_archived(engine: Engine, source: TreeSource) -> None:
    classes = {name: engine.shelf("a").kept[name].storage_class for name in engine.objects("a")}
    assert {kept for name, kept in classes.items() if name.startswith(names.PACKS)} == {ARCHIVE_CLASS}
    assert {kept for name, kept in classes.items() if not name.startswith(names.PACKS)} == {""}


def test_backups_go_on_over_an_archive_and_verify_finds_nothing_missing(engine: Engine, source: TreeSource) -> None:
    source.file(b"two", random.Random(2).randbytes(50_000))
    assert [one.committed for one in engine.backup(source).replicas] == [True] * 3
    assert engine.verify(percent=0.0).clean
    read = engine.verify(percent=100.0)
    assert read.clean
    assert {(one.packs, one.packs_read, one.packs_archived) for one in read.readings} == {(0, 0, 2)}


def test_heal_fills_a_replica_from_one_that_is_warm_and_waits_for_the_others(
    engine: Engine, source: TreeSource
) -> None:
    (pack,) = engine.objects("a", names.PACKS)
    engine.lose("a", pack)
    left = [(one.action, "archived" in one.detail or "ARCHIVE" in one.detail) for one in heal(engine).repairs]
    assert left == [("left", True)]
    warm(engine, "b")
    engine.clock.advance(3601)
    assert [one.action for one in heal(engine).repairs] == ["copied"]
    assert engine.shelf("a").kept[pack].storage_class == ARCHIVE_CLASS


def test_a_restore_says_what_is_to_be_warmed_and_works_when_it_is(engine: Engine, source: TreeSource) -> None:
    snapshot = snapshot_of(engine)
    for moment in ("cold", "warming"):
        with pytest.raises(ObjectArchived, match="cannot be read at any replica yet") as caught:
            engine.restore(snapshot.snapshot_id)
        assert caught.value.exit_code == 27
        assert "farshore warm" in caught.value.hint
        assert warm(engine, "b") == (1 if moment == "cold" else 0)
    engine.clock.advance(3601)
    result, shown = engine.restore(snapshot.snapshot_id)
    assert shown == source.contents()
    assert result.replicas == ("b",)
    engine.clock.advance(2 * DAY_S)
    with pytest.raises(ObjectArchived):
        engine.restore(snapshot.snapshot_id)


def test_a_replica_that_is_named_must_be_warm_itself(engine: Engine, source: TreeSource) -> None:
    snapshot = snapshot_of(engine)
    warm(engine, "b")
    engine.clock.advance(3601)
    with pytest.raises(ObjectArchived, match="a: of 1 packs 1 are archived"):
        engine.restore(snapshot.snapshot_id, replica="a")
    assert engine.restore(snapshot.snapshot_id, replica="b")[1] == source.contents()


def test_a_replica_that_is_not_archived_is_read_instead(tmp_path: Path) -> None:
    engine = Engine(tmp_path, settings={"a": ARCHIVED, "b": ARCHIVED}).initialize()
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", random.Random(1).randbytes(300_000))
    engine.clock.wait_s(60)
    result, shown = engine.restore(engine.backup(tree).snapshot_id)
    assert shown == tree.contents()
    assert result.replicas == ("c",)


def test_what_is_cold_is_counted(engine: Engine, source: TreeSource) -> None:
    with engine.opened() as repository:
        snapshot = snapshot_of(engine)
        found = look_at_warmth(repository, snapshot, list(repository.replicas.values()))
        assert [(one.packs, one.archived, one.warming, one.ready) for one in found] == [(1, 1, 0, False)] * 3
        assert found[0].bytes_cold > 300_000
        assert found[0].storage_class == ARCHIVE_CLASS
