"""Manifests as runs in backups: a night costs what changed, and what became of an earlier run costs no snapshot."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.contents import diff_snapshots, iterate_entries, iterate_rows
from farshore.catalog.merge_policy import RUNS_MAX
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import FarshoreError
from farshore.format import names
from farshore.model import ChangeKind
from farshore.ops.ask.find import find_changes
from farshore.stores.base import Store
from tests.doubles.faulty import DENY, Fault, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import put_plan
from tests.unit.ops.tree_source import TreeSource

NOISE = random.Random(5)
FILES = 1500
UNCHANGED_BYTES_MAX = 16 * limits.KIB  # at each replica, audit rows aside
CHANGED_BYTES_MAX = 200  # more for each changed entry, packs and fragments aside


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    for number in range(30):
        tree.directory(b"folder-%02d" % number)
    for number in range(FILES):
        tree.file(b"folder-%02d/file-%04d" % (number % 30, number), b"%d" % number)
    engine.clock.wait_s(60)
    engine.backup(tree)
    return tree


def night(engine: Engine, source: TreeSource, number: int, changes: int = 3) -> str:
    """Change, add and remove a few files; the snapshot has them as they are."""
    chosen = sorted(path for path, node in source.nodes.items() if node.pieces)
    for path in random.Random(number).sample(chosen, changes):
        source.write(path, b"night %d" % number)
    source.file(b"folder-00/new-%03d" % number, b"new %d" % number)
    del source.nodes[random.Random(-number).choice([path for path in chosen if b"/file-" in path])]
    engine.clock.wait_s(60)
    return engine.backup(source).snapshot_id


def runs_of(engine: Engine, snapshot_id: str, role: str = names.MANIFEST) -> list[str]:
    return [ref.name for ref in engine.commit_of(snapshot_id).runs[role]]


def stored(engine: Engine, before: dict[str, bytes], *without: str) -> int:
    left_out = (names.AUDIT, *without)
    return sum(len(data) for name, data in engine.objects("a").items()
               if name not in before and not name.startswith(left_out))  # fmt: skip


def is_right(engine: Engine, source: TreeSource, snapshot_id: str) -> None:
    """Whoever reads the snapshot, from whichever replica, finds what the source had."""
    reader = engine.at("reader")
    for replica in ("a", "c"):
        result, shown = reader.restore(snapshot_id, replica=replica)
        assert not result.problems
        assert shown == source.contents()
    with reader.opened() as repository:
        (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
        rows = list(iterate_rows(repository, snapshot))
        assert len(rows) == snapshot.commit.counts.entries == len(source.nodes)
        assert [row.entry.path for row in rows] == sorted(source.nodes, key=lambda path: path.replace(b"/", b"\0"))


def test_an_unchanged_source_stores_next_to_nothing(engine: Engine, source: TreeSource) -> None:
    before = engine.objects("a")
    engine.clock.wait_s(60)
    result = engine.backup(source)
    made = {name for name in engine.objects("a") if name not in before}
    assert not [name for name in made if name.startswith((names.RUNS, names.DATA_KEYS, names.PACKS, names.FRAGMENTS))]
    size = stored(engine, before)
    print(f"an unchanged source of {len(source.nodes):,} entries stores {size:,} bytes at a replica")
    assert size <= UNCHANGED_BYTES_MAX
    assert engine.commit_of(result.snapshot_id).data_key == ""
    is_right(engine, source, result.snapshot_id)


@pytest.mark.parametrize("changes", [1, 40, 400])
def test_changed_entries_cost_their_rows(engine: Engine, source: TreeSource, changes: int) -> None:
    before = engine.objects("a")
    snapshot = night(engine, source, 1, changes)
    size = stored(engine, before, names.PACKS, names.FRAGMENTS)
    print(f"{changes + 2} changed entries store {size:,} bytes at a replica")
    assert size <= UNCHANGED_BYTES_MAX + (changes + 2) * CHANGED_BYTES_MAX
    assert len(runs_of(engine, snapshot)) == 2
    is_right(engine, source, snapshot)


def test_a_month_of_nights_is_merged_late_and_read_as_one(engine: Engine, source: TreeSource) -> None:
    """Snapshots in few and many runs restore alike; between two of them `diff` and `find` see what changed."""
    snapshots = [night(engine, source, number) for number in range(14)]
    counts = [len(runs_of(engine, one)) for one in snapshots]
    assert max(counts) == RUNS_MAX
    assert min(counts[9:]) < RUNS_MAX, "nothing was merged"
    oldest = runs_of(engine, snapshots[0])[0]
    assert all(runs_of(engine, one)[0] == oldest for one in snapshots), "the oldest run was written again"
    is_right(engine, source, snapshots[-1])
    reader = engine.at("reader")
    with reader.opened() as repository:
        found = {one.snapshot_id: one for one in list_snapshots(repository)}
        changes = list(diff_snapshots(repository, found[snapshots[-2]], found[snapshots[-1]]))
        kinds = sorted(str(one.change) for one in changes)
        assert kinds == sorted([str(ChangeKind.ADDED), str(ChangeKind.REMOVED), *[str(ChangeKind.MODIFIED)] * 3])
        (added,) = list(find_changes(repository, "new-013"))
        assert added.snapshot_id == snapshots[-1]
        shown = list(iterate_entries(repository, found[snapshots[-1]], b"folder-00/new-005"))
        assert [one.path for one in shown] == [b"folder-00/new-005"]
    assert not engine.verify().damaged


def test_what_grew_by_half_is_written_whole(engine: Engine, source: TreeSource) -> None:
    night(engine, source, 0)
    for path in [path for path, node in source.nodes.items() if node.pieces][:1100]:
        source.write(path, b"all of it")
    snapshot = night(engine, source, 1)
    assert len(runs_of(engine, snapshot)) == 1
    is_right(engine, source, snapshot)


def test_what_was_removed_comes_back_as_what_it_is_then(engine: Engine, source: TreeSource) -> None:
    """A directory that goes, and a file of its name; a file that goes and comes back unchanged."""
    kept = {path: node for path, node in source.nodes.items() if path.startswith(b"folder-07")}
    for path in kept:
        del source.nodes[path]
    source.file(b"folder-07", b"a file now")
    is_right(engine, source, night(engine, source, 1))
    del source.nodes[b"folder-07"]
    source.nodes |= kept
    is_right(engine, source, night(engine, source, 2))


@pytest.mark.parametrize("lost", ["everything", "a newer run", "the entries", "a newer run is damaged"])
def test_a_host_without_its_files_writes_one_run(engine: Engine, source: TreeSource, lost: str) -> None:
    snapshot = [night(engine, source, number) for number in range(RUNS_MAX - 1)][-1]
    newer = sorted(engine.state_dir.rglob("previous/*/run-*"))
    assert len(newer) == len(runs_of(engine, snapshot)) - 1 == RUNS_MAX - 1
    if lost == "everything":
        engine.forget_cache()
    elif lost == "a newer run":
        newer[3].unlink()
    elif lost == "the entries":
        (entries,) = engine.state_dir.rglob("previous/*/manifest")
        entries.unlink()
    else:
        for one in newer:
            data = bytearray(one.read_bytes())
            data[len(data) // 2] ^= 1
            one.write_bytes(data)
    snapshot = night(engine, source, 99)
    assert len(runs_of(engine, snapshot)) == 1
    is_right(engine, source, snapshot)
    assert len(runs_of(engine, night(engine, source, 100))) == 2


@pytest.mark.parametrize("what", ["lost", "cut", "lost everywhere", "condemned"])
def test_an_earlier_run_that_is_hurt_costs_one_run_of_everything(engine: Engine, source: TreeSource, what: str) -> None:
    first = night(engine, source, 0)
    run = runs_of(engine, first)[0]
    if what == "lost":
        engine.lose("b", run)
    elif what == "cut":
        engine.alter("b", run, lambda data: data[:-1])
    elif what == "lost everywhere":
        for replica in engine.urls:
            engine.lose(replica, run)
    else:
        put_plan(engine, "a", [run])
    second = night(engine, source, 1)
    assert (run in runs_of(engine, second)) == (what == "lost")
    if what == "lost":
        assert engine.objects("b")[run] == engine.objects("a")[run]
    assert all(engine.commit_of(second).name in engine.objects(replica) for replica in engine.urls)
    is_right(engine, source, second)


@pytest.mark.sweep
def test_a_run_killed_at_any_store_call_leaves_every_snapshot_as_it_was(engine: Engine, source: TreeSource) -> None:
    """And the next run goes on from there. The calls of all replicas are counted together."""
    snapshots = [night(engine, source, number) for number in range(2)]
    stores: list[FaultyStore] = []

    def count(_: str, store: Store) -> Store:
        stores.append(FaultyStore(store, clock=engine.clock))
        return stores[-1]

    engine.wrap = count
    snapshots.append(night(engine, source, 2))
    calls = sum(len(store.calls) for store in stores)
    for last in range(3, calls, max(calls // 8, 1)):
        engine.wrap = dying(engine, last)
        with contextlib.suppress(FarshoreError):
            night(engine, source, 100 + last)
        engine.wrap = lambda _, store: store
        engine.clock.wait_s(3600)
        snapshots.append(night(engine, source, 200 + last))
        is_right(engine, source, snapshots[-1])
    assert not engine.verify().damaged
    assert {one.snapshot_id for one in engine.snapshots()} >= set(snapshots)


def dying(engine: Engine, last: int) -> Callable[[str, Store], Store]:
    """Return a wrapper of all stores that let so many calls through, counted together, and none after them."""
    calls = itertools.count()

    def plan(_verb: str, _name: str, _number: int) -> Fault | None:
        return DENY if next(calls) >= last else None

    return lambda _, store: FaultyStore(store, clock=engine.clock, plan=plan)


def test_one_path_of_a_cold_cache_costs_two_requests_for_each_run(
    engine: Engine, source: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MANIFEST_BLOCK_ROWS", 100)
    monkeypatch.setattr(limits, "MANIFEST_WHOLE_BYTES_MAX", 512)
    monkeypatch.setattr(limits, "MANIFEST_TAIL_BYTES_MIN", 4096)
    for path in [path for path, node in source.nodes.items() if node.pieces][:1100]:
        source.write(path, b"all of it")
    snapshot = [night(engine, source, number, 60) for number in range(3)][-1]
    runs = {ref.name: ref.bytes for ref in engine.commit_of(snapshot).manifest}
    assert len(runs) > 2
    reader = engine.at("reader")
    path = next(one for one in source.nodes if one.startswith(b"folder-17/"))
    stores: list[FaultyStore] = []

    def counted(_: str, store: Store) -> Store:
        stores.append(FaultyStore(store, clock=engine.clock))
        return stores[-1]

    reader.wrap = counted
    with reader.opened() as repository:
        (chosen,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot]
        shown = list(iterate_entries(repository, chosen, path))
    assert [one.path for one in shown] == [path]
    asked = [call.name for store in stores for call in store.calls if call.verb == "get" and call.name in runs]
    assert set(asked) == set(runs)
    assert max(asked.count(name) for name in runs) == 2
    result, restored = reader.restore(snapshot, below=path)
    assert restored == {path.rpartition(b"/")[2]: source.contents()[path], b"": None}
    assert not result.problems
    asked = [call.name for store in stores for call in store.calls if call.verb == "get" and call.name in runs]
    assert max(asked.count(name) for name in runs) == 4, "a restore of the path asks as often once more"


def test_a_source_without_an_order_writes_what_changed_too(engine: Engine) -> None:
    tree = TreeSource(clock=engine.clock, ordered=False, sequential=True)
    tree.directory(b"base")
    for number in range(300):
        tree.file(b"base/%04d" % number, b"%d" % number)
    engine.backup(tree)
    before = engine.objects("a")
    engine.clock.wait_s(60)
    unchanged = engine.backup(tree).snapshot_id
    assert stored(engine, before) <= UNCHANGED_BYTES_MAX
    assert len(runs_of(engine, unchanged)) == 1
    tree.write(b"base/0007", b"changed")
    engine.clock.wait_s(60)
    changed = engine.backup(tree).snapshot_id
    assert len(runs_of(engine, changed)) == 2
    is_right(engine, tree, changed)
