"""Restores from damaged replicas: object by object from whichever copy is good, and never a wrong byte."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from farshore.catalog.snapshots import list_snapshots
from farshore.errors import FarshoreError, RestoreIncomplete, SnapshotUnknown, TargetNotEmpty
from farshore.format import names
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from farshore.stores.wrappers import ReadOnlyStore
from tests.doubles.clock import FixedClock
from tests.unit.ops.engine import Engine, flipped, tree
from tests.unit.ops.templates import Template
from tests.unit.ops.tree_source import TreeSource

CHANCE = random.Random(1)
LARGE = {name: CHANCE.randbytes(9_000_000) for name in ("one", "two", "three")}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    return made_source(engine)


@dataclass(frozen=True)
class BackedUp:
    """A snapshot, and what it holds; of a template that each test copies."""

    template: Template
    snapshot_id: str
    contents: dict[bytes, bytes | None]
    objects: dict[str, list[str]]  # by what they are


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> BackedUp:
    engine = Engine(tmp_path_factory.mktemp("template")).initialize()
    source = made_source(engine)
    snapshot_id = engine.backup(source).snapshot_id
    objects = damaged_objects(engine, "a")
    engine.forget_cache()
    return BackedUp(engine.template(), snapshot_id, source.contents(), objects)


def made_source(engine: Engine) -> TreeSource:
    source = TreeSource(clock=engine.clock)
    source.directory(b"d")
    source.file(b"d/small", b"small")
    source.link(b"d/zlink", b"d/small")
    for name, data in LARGE.items():
        source.file(name.encode(), data)
    source.file(b"sparse", b"s" * 1000, 5_000_000, b"e" * 1000)
    return source


def packs(engine: Engine, replica: str = "a") -> list[str]:
    return list(engine.objects(replica, "packs/"))


def smallest_pack(engine: Engine) -> str:
    found = engine.objects("a", "packs/")
    assert len(found) == 2
    return min(found, key=lambda name: len(found[name]))


def damaged_objects(engine: Engine, replica: str) -> dict[str, list[str]]:
    """The objects of one snapshot by what they are."""
    found = {"pack": packs(engine, replica), "index": list(engine.objects(replica, names.FRAGMENTS))}
    found["data-key"] = list(engine.objects(replica, names.DATA_KEYS))
    for role in (names.MANIFEST, names.NEEDS, "commit"):
        found[role] = [engine.object_of(one.snapshot_id, role) for one in engine.snapshots()]
    return found


def test_every_replica_lacks_another_object_and_together_they_restore(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    first, second = packs(engine)
    engine.lose("a", first)
    engine.flip("a", damaged_objects(engine, "a")["manifest"][0])
    engine.flip("b", second, at=5000)
    engine.lose("b", damaged_objects(engine, "b")["data-key"][0])
    engine.alter("c", first, lambda data: data[:1000])
    engine.lose("c", damaged_objects(engine, "c")["needs"][0])
    engine.lose("c", damaged_objects(engine, "c")["index"][0])
    engine.forget_cache()
    result, shown = engine.restore(snapshot_id)
    assert shown == source.contents()
    assert {(one.replica, one.name, one.code) for one in result.fell_over} >= {("a", first, "missing")}
    assert set(result.replicas) >= {"b"}


@pytest.mark.parametrize("kind", ["pack", "index", "data-key", "manifest", "needs", "commit"])
@pytest.mark.parametrize("damage", ["lost", "flipped", "cut", "empty"])
def test_one_damaged_object_at_the_first_replica_is_read_from_the_next(
    tmp_path: Path, backed_up: BackedUp, kind: str, damage: str
) -> None:
    engine = Engine(tmp_path).begin_with(backed_up.template)
    for name in backed_up.objects[kind]:
        if damage == "lost":
            engine.lose("a", name)
        else:
            engine.alter(
                "a",
                name,
                {"flipped": lambda one: flipped(one, 60), "cut": lambda one: one[:70]}.get(damage, lambda _: b""),
            )
    _, shown = engine.restore(backed_up.snapshot_id)
    assert shown == backed_up.contents


@pytest.mark.parametrize("at", [4, 5, 6, 7, 8, 24, 55])
@pytest.mark.parametrize("kind", ["pack", "index", "data-key", "manifest", "needs", "commit"])
def test_a_flipped_byte_of_any_objects_header_is_fallen_over(
    tmp_path: Path, backed_up: BackedUp, kind: str, at: int
) -> None:
    """Versions, kinds and flags are read before anything is proven; a flip there is damage like any other."""
    engine = Engine(tmp_path).begin_with(backed_up.template)
    for name in backed_up.objects[kind]:
        engine.flip("a", name, at=at)
    _, shown = engine.restore(backed_up.snapshot_id)
    assert shown == backed_up.contents


def test_a_damaged_cache_is_asked_again_of_a_replica(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    engine.restore(snapshot_id)
    cached = engine.cached_files()
    assert len(cached) > 4
    for path in cached:
        path.write_bytes(flipped(path.read_bytes(), len(path.read_bytes()) // 2))
    assert engine.restore(snapshot_id)[1] == source.contents()
    for path in engine.cached_files():
        path.write_bytes(flipped(path.read_bytes(), 4))
    assert engine.restore(snapshot_id)[1] == source.contents()


def test_with_one_replica_named_no_other_is_asked(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    for name in packs(engine):
        engine.lose("a", name)
    with pytest.raises(RestoreIncomplete):
        engine.restore(snapshot_id, replica="a")
    result, _ = engine.restore(snapshot_id, replica="c")
    assert result.replicas == ("c",)


def test_what_no_replica_has_is_named_and_everything_else_restored(engine: Engine, source: TreeSource) -> None:
    """A file that cannot be had is left out, whatever its size: a wrong one is worse than none."""
    engine.backup(source)
    first = smallest_pack(engine)  # of the files that come last; the others do not need it
    for replica in "abc":
        engine.lose(replica, first)
    with engine.opened() as repository:
        (snapshot,) = list_snapshots(repository)
        with pytest.raises(RestoreIncomplete) as caught:
            restore_snapshot(repository, snapshot, engine.root / "partial", run=Run.start(engine.clock))
    shown = tree(engine.root / "partial")
    expected = source.contents()
    assert set(shown) < set(expected)
    assert {path: expected[path] for path in shown} == shown
    lost = set(expected) - set(shown)
    assert lost
    assert any(path.decode() in caught.value.message for path in lost)
    assert {b"one", b"two", b"three"} & set(shown)


def test_one_bad_segment_takes_only_the_files_that_lie_in_it(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    contents = {f"{number:02}".encode(): CHANCE.randbytes(1_500_000) for number in range(8)}
    for path, data in contents.items():
        source.file(path, data)
    engine.backup(source)
    (pack,) = packs(engine)
    for replica in "abc":
        engine.flip(replica, pack, at=len(engine.objects(replica)[pack]) // 2)
    with engine.opened() as repository:
        (snapshot,) = list_snapshots(repository)
        with pytest.raises(RestoreIncomplete):
            restore_snapshot(repository, snapshot, engine.root / "partial", run=Run.start(engine.clock))
    shown = tree(engine.root / "partial")
    assert len(shown) - 1 >= 5
    assert {path: data for path, data in shown.items() if path} == {path: contents[path] for path in shown if path}


def test_a_pack_and_its_index_that_are_gone_everywhere_take_only_their_own_files(
    engine: Engine, source: TreeSource
) -> None:
    engine.backup(source)
    first = smallest_pack(engine)  # of the files that come last; the others do not need it
    for replica in "abc":
        engine.lose(replica, first)
        for name in damaged_objects(engine, replica)["index"]:
            engine.lose(replica, name)
    engine.forget_cache()
    with engine.opened() as repository:
        (snapshot,) = list_snapshots(repository)
        with pytest.raises(RestoreIncomplete):
            restore_snapshot(repository, snapshot, engine.root / "partial", run=Run.start(engine.clock))
    assert len(tree(engine.root / "partial")) > 3


def test_without_any_index_fragment_the_packs_tell(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    for replica in "abc":
        for name in damaged_objects(engine, replica)["index"]:
            engine.lose(replica, name)
    engine.forget_cache()
    assert engine.restore(snapshot_id, replica="b")[1] == source.contents()
    engine.clock.wait_s(60)
    assert engine.backup(source).counts.bytes_new == 0  # and the next backup finds its chunks by them


def test_a_lost_sparse_or_large_file_leaves_nothing_behind(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"a-sparse", CHANCE.randbytes(1000), 9_000_000, CHANCE.randbytes(1000))
    source.file(b"b-large", CHANCE.randbytes(90_000_000))
    source.file(b"c-small", b"small")
    source.link(b"d-link", b"b-large")
    engine.backup(source)
    names_of_packs = packs(engine)
    for replica in "abc":
        for name in names_of_packs[:-1]:
            engine.lose(replica, name)
        engine.flip(replica, names_of_packs[-1], at=100)
    with engine.opened() as repository:
        (snapshot,) = list_snapshots(repository)
        with pytest.raises(RestoreIncomplete):
            restore_snapshot(repository, snapshot, engine.root / "partial", run=Run.start(engine.clock))
    shown = tree(engine.root / "partial")
    assert b"b-large" not in shown
    assert b"d-link" not in shown
    assert shown == {path: data for path, data in source.contents().items() if path in shown}


def test_a_target_that_is_not_empty_is_refused(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    target = engine.root / "full"
    target.mkdir()
    (target / "mine").write_bytes(b"precious")
    with engine.opened() as repository, pytest.raises(TargetNotEmpty):
        restore_snapshot(repository, list_snapshots(repository)[0], target, run=Run.start(engine.clock))
    assert tree(target) == {b"": None, b"mine": b"precious"}


def test_part_of_a_snapshot_is_restored_with_the_directories_above_it(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    assert engine.restore(snapshot_id, include=["/d/small"])[1] == {b"": None, b"d": None, b"d/small": b"small"}
    assert engine.restore(snapshot_id, include=["/d"])[1] == {
        b"": None, b"d": None, b"d/small": b"small", b"d/zlink": b"small"
    }  # fmt: skip
    assert engine.restore(snapshot_id, include=["zlink"])[1] == {b"": None, b"d": None, b"d/zlink": b"small"}
    with pytest.raises(SnapshotUnknown):
        engine.restore(snapshot_id, include=["nowhere"])


def test_an_empty_file_and_an_empty_snapshot(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"empty")
    source.file(b"hole", 10_000)
    snapshot_id = engine.backup(source).snapshot_id
    assert engine.restore(snapshot_id, replica="a")[1] == source.contents()
    assert packs(engine) == []


def test_a_replica_that_is_away_is_done_without(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    engine.forget_cache()
    with engine.away("a", "b"):
        assert engine.restore(snapshot_id)[1] == source.contents()
    with engine.away("a", "b", "c"), pytest.raises(FarshoreError):
        engine.restore(snapshot_id)


def test_times_do_not_matter_to_a_restore(engine: Engine, source: TreeSource) -> None:
    snapshot_id = engine.backup(source).snapshot_id
    engine.clock = FixedClock()
    assert engine.restore(snapshot_id)[1] == source.contents()


def test_a_restore_whose_audit_rows_have_no_place_is_whole_and_says_so(engine: Engine, source: TreeSource) -> None:
    """Trial F4: a restore needs a bucket that it may read and a key, and nothing else."""
    snapshot_id = engine.backup(source).snapshot_id
    before = {replica: engine.objects(replica) for replica in "abc"}
    shutil.rmtree(engine.state_dir)
    engine.state_dir.write_text("no directory")
    engine.wrap = lambda _, store: ReadOnlyStore(store)
    result, shown = engine.restore(snapshot_id)
    assert shown == source.contents()
    assert "nothing of this host keeps it, and a refused it: store-read-only" in result.unrecorded
    checked = engine.verify()
    assert checked.clean
    assert "a refused it" in checked.unrecorded
    assert {replica: engine.objects(replica) for replica in "abc"} == before
