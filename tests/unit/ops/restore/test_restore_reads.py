"""Trial N1: what a whole restore reads of packs, where content repeats and comes in another order than it is stored."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from blake3 import blake3

from farshore import limits
from farshore.catalog.contents import open_snapshot
from farshore.catalog.index_loader import load_index
from farshore.catalog.needs import read_needs
from farshore.catalog.selection import Selection
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import RestoreIncomplete
from farshore.format import names
from farshore.ops.restore.content_plan import ContentPlan, plan_content
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.put_rows_back import all_needs, needs_of
from farshore.ops.restore.restore import restore_snapshot
from farshore.replicas.reader import open_reader
from farshore.run import Run
from farshore.stores.base import Store
from tests.doubles.faulty import FaultyStore
from tests.unit.ops.engine import Engine, tree
from tests.unit.ops.pack_meter import PackMeters
from tests.unit.ops.tree_source import TreeSource

FILES, FILE_BYTES = 2500, 12_000  # eight segments
OTHER_BYTES = 1000  # what is read of packs besides segments


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, TreeSource, str]:
    """Distinct files in `a`, the same contents in another order in `b`."""
    engine = Engine(tmp_path_factory.mktemp("n1")).initialize()
    source = TreeSource(clock=engine.clock)
    chance = random.Random(9)
    source.directory(b"a")
    source.directory(b"b")
    for number, other in enumerate(chance.sample(range(FILES), FILES)):
        data = chance.randbytes(FILE_BYTES)
        source.file(b"a/%05d" % number, data)
        source.file(b"b/%05d" % other, data)
    return engine, source, engine.backup(source).snapshot_id


def restore(
    made: tuple[Engine, TreeSource, str], place: Path, *, replica: str | None = None, include: tuple[str, ...] = ()
) -> tuple[list[tuple[str, int, int]], ContentPlan]:
    """Restore, and return the reads of packs and the plan of what is needed."""
    engine, _, snapshot_id = made
    meters, options = PackMeters(), RestoreOptions(include=include)
    engine.wrap = meters.wrap
    try:
        with engine.opened() as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            commit = snapshot.commit
            reader = open_reader(repository)
            manifest = open_snapshot(repository, commit, reader)
            index = load_index(repository, reader, read_needs(repository, reader, commit))
            rows = Selection(options).rows(manifest)
            plan = plan_content(needs_of(rows) if include else all_needs(manifest), index)
            meters.clear()
            restore_snapshot(
                repository, snapshot, place, replica=replica, options=options, repair=False, run=Run.start(engine.clock)
            )
            return meters.reads, plan
    finally:
        engine.wrap = lambda _, store: store


@pytest.mark.parametrize("include", [(), ("b/**",), ("b/*1", "b/*7")], ids=["whole", "one-folder", "some-files"])
@pytest.mark.parametrize("replica", ["a", None], ids=["one-replica", "three-replicas"])
def test_copies_in_another_order_are_read_once(
    made: tuple[Engine, TreeSource, str], tmp_path: Path, include: tuple[str, ...], replica: str | None
) -> None:
    _, source, _ = made
    reads, plan = restore(made, tmp_path / "out", replica=replica, include=include)
    assert sum(length for *_, length in reads) <= 1.05 * plan.stored_bytes + OTHER_BYTES
    assert len(reads) <= 1.2 * sum(1 for _ in plan.ranges())
    assert plan.segments_needed >= 6
    found = tree(tmp_path / "out")
    for path, content in found.items():
        assert content is None or content == source.content(path)
    assert len(found) == {(): 2 * FILES + 3, ("b/**",): FILES + 2}.get(include, FILES // 5 + 2)


def test_a_bad_segment_is_read_elsewhere_and_nothing_else_twice(
    made: tuple[Engine, TreeSource, str], tmp_path: Path
) -> None:
    """The range that holds it is asked of the next replica; where there is none, only files that need it are lost."""
    engine, source, _ = made
    pack = next(iter(engine.objects("a", names.PACKS)))
    engine.flip("a", pack, 3 * limits.MIB)  # in the first segment
    try:
        with pytest.raises(RestoreIncomplete) as caught:
            restore(made, tmp_path / "alone", replica="a")
        found = {path: data for path, data in tree(tmp_path / "alone").items() if data is not None}
        lost = 2 * FILES - len(found)
        assert 0 < lost <= 2 * (limits.SEGMENT_BYTES // FILE_BYTES + 1)
        assert caught.value.message.startswith(f"{lost} files could not be restored whole: a/")
        assert all(data == source.content(path) for path, data in found.items())
        reads, plan = restore(made, tmp_path / "all")
        assert sum(length for *_, length in reads) <= plan.stored_bytes + limits.RANGE_BYTES_MAX
        assert {path: blake3(data).digest() for path, data in tree(tmp_path / "all").items() if data is not None} == {
            path: blake3(source.content(path)).digest() for path in source.nodes if b"/" in path
        }
    finally:
        engine.flip("a", pack, 3 * limits.MIB)


def test_what_leaves_something_out_reads_the_manifest_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the replicas, as of a manifest that is too large for the cache; the names alone fill pieces of it."""
    monkeypatch.setattr(limits, "CACHED_OBJECT_BYTES_MAX", 0)
    monkeypatch.setattr(limits, "MANIFEST_ROWS_PER_GROUP", 200)
    engine, chance = Engine(tmp_path / "engine").initialize(), random.Random(3)
    source = TreeSource(clock=engine.clock)
    source.directory(b"left out")
    for _ in range(1500):
        source.file(chance.randbytes(100).hex().encode(), xattrs=((b"user.a", chance.randbytes(2000)),))
    snapshot_id = engine.backup(source).snapshot_id
    stores: list[FaultyStore] = []

    def counted(_: str, store: Store) -> Store:
        stores.append(FaultyStore(store, clock=engine.clock))
        return stores[-1]

    engine.wrap = counted
    engine.restore(snapshot_id, exclude=["left out"])
    calls = [call for store in stores for call in store.calls]
    engine.wrap = lambda _, store: store
    manifest = engine.object_of(snapshot_id, names.MANIFEST)
    reads = sum(call.verb == "get" and call.name == manifest for call in calls)
    blocks = -(-len(source.nodes) // 200)
    assert reads <= blocks + 1  # and its end, before the first row
