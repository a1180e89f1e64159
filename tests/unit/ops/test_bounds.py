"""Objects beyond the limit of their kind, at one replica: they are its damage, and backups and restores go on."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from farshore.access.unlock import Need
from farshore.format import names
from farshore.limits import MIB
from farshore.sealed.sealed_object import INDEX_KEY_ID, SealedKind, SealedWriter
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
    "fragment": names.FRAGMENTS, "commit": "/commit", "manifest": "/manifest", "needs": "/needs",
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


def test_a_commit_that_would_grow_to_gigabytes_is_refused_at_once(engine: Engine, source: TreeSource) -> None:
    """Each writer holds the index key, and so can put one at every replica."""
    snapshot = engine.backup(source).snapshot_id
    packer = zstandard.ZstdCompressor(level=3).compressobj(size=2 << 30)
    piece = bytes(64 * MIB)
    bomb = b"".join(packer.compress(piece) for _ in range(32)) + packer.flush()
    with engine.opened(Need.WRITE) as repository:
        keys, source_id = repository.writing_keys(), repository.source_id("planted")
    name = names.snapshot_object(source_id, "ee" * 16, names.COMMIT)
    sink = io.BytesIO()
    writer = SealedWriter(
        sink=sink, secret=keys.index_key, key_id=INDEX_KEY_ID, salt=bytes(32), kind=SealedKind.COMMIT, name=name,
        repository_id=keys.repository_id, flags=1,
    )  # fmt: skip
    writer.write(bomb)
    writer.finish()
    for replica in engine.urls:
        shelf = engine.shelf(replica)
        shelf.objects[name] = (sink.getvalue(), engine.clock.now_utc())
    tracemalloc.start()
    started_s = time.monotonic()
    with engine.opened():
        found = engine.snapshots()
    assert [one.snapshot_id for one in found] == [snapshot]
    assert tracemalloc.get_traced_memory()[1] < 200 * MIB
    tracemalloc.stop()
    assert time.monotonic() - started_s < 20
    assert engine.restore(snapshot)[1][b"a"] == CONTENT
