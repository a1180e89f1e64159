"""Objects beyond the limit of their kind, at one replica: they are its damage, and backups and restores go on."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.format import names
from farshore.limits import MIB
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

CONTENT = b"what is backed up"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", CONTENT)
    engine.clock.wait_s(60)
    return tree


KINDS = {
    "header": names.HEADER, "slot": names.SLOTS, "data-key": names.DATA_KEYS, "pack": names.PACKS,
    "fragment": names.FRAGMENTS, "commit": names.SNAPSHOTS, "run": names.RUNS,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_is_too_large_at_one_replica_hinders_nobody(
    engine: Engine, source: TreeSource, kind: str
) -> None:
    snapshot = engine.backup(source).snapshot_id
    large = bytes(65 * MIB)
    for name in engine.objects("a"):
        if KINDS[kind] in name or name == KINDS[kind]:
            engine.alter("a", name, lambda _: large)
    engine.forget_cache()
    assert engine.restore(snapshot)[1][b"a"] == CONTENT
    source.file(b"b", b"more")
    engine.forget_cache()
    result = engine.backup(source)
    assert {one.replica for one in result.replicas if one.committed} >= {"b", "c"}
    assert engine.restore(result.snapshot_id)[1][b"b"] == b"more"


def test_a_commit_larger_than_any_is_refused_at_once(engine: Engine, source: TreeSource) -> None:
    """Anybody who may put objects can put one at every replica, under the hash of its bytes."""
    snapshot = engine.backup(source).snapshot_id
    with engine.opened(Need.WRITE) as repository:
        source_id = repository.source_id("planted")
    body = bytes(256 * MIB)
    name = names.commit(source_id, "ee" * 16, names.hash_of(body))
    for replica in engine.urls:
        engine.shelf(replica).objects[name] = (body, engine.clock.now_utc())
    tracemalloc.start()
    started_s = time.monotonic()
    with engine.opened():
        found = engine.snapshots()
    assert [one.snapshot_id for one in found] == [snapshot]
    assert tracemalloc.get_traced_memory()[1] < 200 * MIB
    tracemalloc.stop()
    assert time.monotonic() - started_s < 20
    assert engine.restore(snapshot)[1][b"a"] == CONTENT
