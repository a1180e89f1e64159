"""Page maps as runs in backups: a night costs what changed, and what became of an earlier run costs no snapshot."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.merge_policy import READ_MAX, RUNS_MAX
from farshore.errors import FarshoreError
from farshore.format import names
from farshore.format.commit import RunRef
from farshore.sealed.sealed_object import key_id_of
from farshore.stores.base import Store
from tests.doubles.faulty import DENY, Fault, FaultyStore
from tests.unit.catalog.test_hosts import write_only
from tests.unit.ops.engine import Engine, flipped
from tests.unit.ops.lease_world import put_plan
from tests.unit.ops.tree_source import TreeSource, blocks

PAGE = 512
PAGES = 9000  # a map of 140 KiB over 4.6 MB of data, in three slots
CHANGED = PAGES // 100
NIGHT_BYTES_MAX = 16 * limits.KIB  # at each replica, audit rows aside
PAGE_BYTES_MAX = 200  # more for each changed page, packs and fragments aside


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, host="desk").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"db", random.Random(1).randbytes(PAGES * PAGE), page_bytes=PAGE)
    tree.file(b"still", random.Random(2).randbytes(PAGES * PAGE // 2), page_bytes=PAGE)
    tree.file(b"text", b"cut by content")
    engine.clock.wait_s(60)
    return tree


def runs_of(engine: Engine, snapshot_id: str) -> tuple[RunRef, ...]:
    return engine.commit_of(snapshot_id).pages


def change(source: TreeSource, seed: int, path: bytes = b"db") -> None:
    """Rewrite a run of pages; scattered ones would soon make whole blocks due, as pages of 512 bytes are small."""
    chance = random.Random(seed)
    first = chance.randrange(len(source.content(path)) // PAGE - CHANGED)
    source.write(path, blocks(source.content(path), PAGE, range(first, first + CHANGED), chance.randbytes))


def night(engine: Engine, source: TreeSource, seed: int, path: bytes = b"db") -> tuple[RunRef, ...]:
    """Change one page in a hundred and back up; nothing else is stored, and it is right at every replica."""
    change(source, seed, path)
    engine.clock.wait_s(60)
    before = set(engine.objects("a"))
    result = engine.backup(source)
    assert result.counts.bytes_new <= CHANGED * PAGE
    put = {name: data for name, data in engine.objects("a").items() if name not in before}
    left_out = (names.AUDIT, names.PACKS, names.FRAGMENTS)
    beside = sum(len(data) for name, data in put.items() if not name.startswith(left_out))
    new = [ref for ref in runs_of(engine, result.snapshot_id) if ref.name in put]
    merged = len(new) == 1 and new[0].bytes > PAGE_BYTES_MAX * CHANGED
    assert merged or beside <= NIGHT_BYTES_MAX + PAGE_BYTES_MAX * CHANGED
    assert engine.at("reader").restore(result.snapshot_id, replica="abc"[seed % 3])[1] == source.contents()
    return runs_of(engine, result.snapshot_id)


def kept_file(host: Engine, ref: RunRef) -> Path:
    (path,) = [one for one in host.cached_files() if "previous" in one.parts and one.name == f"run-{ref.blake3}"]
    return path


@pytest.mark.parametrize(("reads", "ordered"), [(True, True), (False, False)], ids=["reader", "write-only-stream"])
def test_many_nights_add_runs_that_are_merged_late(
    engine: Engine, source: TreeSource, reads: bool, ordered: bool
) -> None:
    source.ordered, source.sequential = ordered, not ordered
    host = engine if reads else write_only(engine, "server")
    (full,) = runs_of(engine, host.backup(source).snapshot_id)
    counts = []
    for seed in range(24):
        runs = night(host, source, seed)
        counts.append(len(runs))
        assert sum(ref.bytes for ref in runs) <= READ_MAX * full.bytes + 2048
        assert runs[0] == full, "the oldest run was written again"
    assert counts[: RUNS_MAX - 1] == list(range(2, RUNS_MAX + 1))
    assert max(counts) == RUNS_MAX
    assert min(counts[RUNS_MAX:]) < RUNS_MAX, "nothing was merged"
    assert engine.verify().clean


def test_a_night_without_changes_writes_no_run(engine: Engine, source: TreeSource) -> None:
    first = engine.backup(source)
    engine.clock.wait_s(60)
    before = set(engine.objects("a"))
    second = engine.backup(source)
    assert runs_of(engine, second.snapshot_id) == runs_of(engine, first.snapshot_id)
    assert second.counts.bytes_read == 0
    put = {name: data for name, data in engine.objects("a").items() if name not in before}
    assert sum(len(data) for name, data in put.items() if not name.startswith(names.AUDIT)) <= NIGHT_BYTES_MAX
    source.write(b"text", b"an entry changed, and no page")
    engine.clock.wait_s(60)
    third = engine.backup(source)
    assert runs_of(engine, third.snapshot_id) == runs_of(engine, first.snapshot_id)
    night(engine, source, 3)
    night(engine, source, 4, b"still")


def test_most_pages_anew_are_written_whole_and_no_pages_need_no_run(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    night(engine, source, 1)
    source.write(b"db", random.Random(9).randbytes(PAGES * PAGE))
    engine.clock.wait_s(60)
    assert len(runs_of(engine, engine.backup(source).snapshot_id)) == 1
    night(engine, source, 2)
    source.remove(b"db", b"still")
    engine.clock.wait_s(60)
    assert runs_of(engine, engine.backup(source).snapshot_id) == ()
    source.file(b"db", random.Random(9).randbytes(PAGES * PAGE), page_bytes=PAGE)
    engine.clock.wait_s(60)
    assert len(runs_of(engine, engine.backup(source).snapshot_id)) == 1


def test_files_that_come_go_grow_shrink_and_change_their_kind(engine: Engine, source: TreeSource) -> None:
    """Two nights for each step: what an earlier night says of pages that are gone would show in the second."""
    engine.backup(source)
    chance = random.Random(7)
    noise = chance.randbytes(PAGES * PAGE)
    steps: list[Callable[[], None]] = [
        lambda: source.file(b"new", noise, page_bytes=PAGE),
        lambda: source.write(b"db", source.content(b"db")[: PAGES * PAGE // 3]),
        lambda: source.write(b"db", source.content(b"db") + noise[: PAGE * 100 + 7]),
        lambda: source.remove(b"still"),
        lambda: change(source, 1, b"new"),
        lambda: source.file(b"still", noise[::-1], page_bytes=PAGE),
        lambda: source.file(b"new", noise, page_bytes=2 * PAGE),
        lambda: source.file(b"db", noise, page_bytes=0),
        lambda: source.file(b"db", noise[100:], page_bytes=PAGE),
        lambda: source.write(b"db", noise[: 1 << 20], 1 << 20, noise[-(1 << 20) :]),
        lambda: source.write(b"db", 3 << 20),
        lambda: source.write(b"db", noise),
        lambda: change(source, 2, b"still"),
        lambda: source.remove(b"db", b"still", b"new"),
        lambda: source.file(b"db", noise, page_bytes=PAGE),
    ]
    counts = []
    for number, step in enumerate(steps):
        step()
        engine.clock.wait_s(60)
        result = engine.backup(source)
        counts.append(len(runs_of(engine, result.snapshot_id)))
        assert engine.restore(result.snapshot_id, replica="abc"[number % 3])[1] == source.contents()
        engine.clock.wait_s(60)
        assert engine.backup(source).counts.bytes_read == 0
        if b"db" in source.nodes:
            change(source, 50 + number)
        engine.clock.wait_s(60)
        again = engine.backup(source)
        assert engine.restore(again.snapshot_id)[1] == source.contents()
    assert max(counts) > 2
    assert engine.verify().clean


@pytest.mark.parametrize("back", ["filled", "grown", "again"])
def test_pages_that_are_as_they_were_before_they_were_gone_are_not_taken_from_what_was_between(
    engine: Engine, source: TreeSource, back: str
) -> None:
    """A hole that is filled, a file that grows back, a file that is there again: with the pages of the first night."""
    first = source.content(b"db")
    half = PAGES // 2 * PAGE
    engine.backup(source)
    between: dict[str, Sequence[bytes | int]] = {
        "filled": [first[: PAGE * 50], PAGE * (PAGES - 100), first[-PAGE * 50 :]],
        "grown": [first[:half]],
    }
    if back == "again":
        source.remove(b"db")
    else:
        source.write(b"db", *between[back])
    engine.clock.wait_s(60)
    engine.backup(source)
    if back == "again":
        source.file(b"db", random.Random(8).randbytes(PAGE * 20) + first[PAGE * 20 :], page_bytes=PAGE)
    else:
        source.write(b"db", first)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert engine.restore(result.snapshot_id)[1] == source.contents()


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut"])
@pytest.mark.parametrize("which", [0, -1], ids=["oldest", "newest"])
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "no-cache"])
def test_a_run_that_is_lost_at_every_replica_costs_only_comparison(
    engine: Engine, source: TreeSource, damage: str, which: int, cached: bool
) -> None:
    engine.backup(source)
    lost = night(engine, source, 1)[which].name
    for replica in "abc":
        if damage == "gone":
            engine.lose(replica, lost)
        else:
            change_to = (lambda data: data[:-1]) if damage == "cut" else (lambda data: flipped(data, len(data) // 2))
            engine.alter(replica, lost, change_to)
    if not cached:
        engine.forget_cache()
    for seed in range(2, 5):
        change(source, seed)
        engine.clock.wait_s(60)
        result = engine.backup(source)
        assert all(outcome.committed for outcome in result.replicas)
        for replica in "abc":
            assert engine.restore(result.snapshot_id, replica=replica)[1] == source.contents()
        assert result.counts.bytes_new <= CHANGED * PAGE or seed == 2
    found = {one.name for one in engine.verify().damaged}
    assert found == (set() if damage == "gone" and cached else {lost})


def test_a_run_that_every_replica_lost_is_given_back_from_this_host(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    runs = night(engine, source, 1)
    kept = [engine.objects("a")[ref.name] for ref in runs]
    for replica in "abc":
        for ref in runs:
            engine.lose(replica, ref.name)
    change(source, 2)
    engine.clock.wait_s(60)
    assert runs_of(engine, engine.backup(source).snapshot_id)[: len(runs)] == runs
    for replica in "abc":
        assert [engine.objects(replica)[ref.name] for ref in runs] == kept
    assert engine.verify().clean


@pytest.mark.parametrize("which", [0, -1], ids=["oldest", "newest"])
def test_a_run_that_a_plan_condemns_is_not_named_again(engine: Engine, source: TreeSource, which: int) -> None:
    engine.backup(source)
    runs = night(engine, source, 1)
    put_plan(engine, "a", [runs[which].name])
    after = night(engine, source, 2)
    assert len(after) == 1
    assert after[0] not in runs


def test_a_replica_that_was_away_is_given_the_runs_and_their_keys_and_serves_alone(
    engine: Engine, source: TreeSource
) -> None:
    with engine.away("c"):
        engine.backup(source)
        night(engine, source, 0)
    made = night(engine, source, 2)
    assert len(made) == 3
    assert {ref.name for ref in made} <= set(engine.objects("c"))
    assert engine.objects("c", names.DATA_KEYS) == engine.objects("a", names.DATA_KEYS)
    assert engine.verify(replica="c").clean
    engine.forget_cache()
    engine.quorum = 1
    alone = engine.at("other")
    with alone.away("a", "b"):
        change(source, 5)
        engine.clock.wait_s(60)
        alone.repository_config = replace(alone.repository_config, quorum=1)
        result = alone.backup(source)
        assert result.counts.bytes_new <= CHANGED * PAGE, "it compares with all runs, and reads them at the replica"
        assert alone.restore(result.snapshot_id, replica="c")[1] == source.contents()
    assert len(runs_of(engine, result.snapshot_id)) == 1, "without a cache the page map is written whole"


def test_the_data_key_of_each_run_is_needed_although_nothing_else_of_its_night_is(
    engine: Engine, source: TreeSource
) -> None:
    """The same pages change each night, so the packs of the night before are of no use; its run is still named."""
    snapshot = engine.backup(source).snapshot_id
    for seed in range(5):
        source.write(b"db", blocks(source.content(b"db"), PAGE, range(CHANGED), random.Random(seed).randbytes))
        engine.clock.wait_s(60)
        snapshot = engine.backup(source).snapshot_id
    there = engine.objects("a")
    needed = {key.key_id for key in engine.needs_of(snapshot).data_keys}
    opened_by = {key_id_of(there[ref.name]).hex() for ref in runs_of(engine, snapshot)}
    assert len(opened_by) == 6
    assert opened_by <= needed


def test_a_damaged_run_touches_every_snapshot_that_names_it_and_no_restore(engine: Engine, source: TreeSource) -> None:
    results = [engine.backup(source)]
    (oldest,) = runs_of(engine, results[0].snapshot_id)
    for seed in range(3):
        night(engine, source, seed)
    engine.flip("b", oldest.name)
    (found,) = engine.verify().damaged
    assert (found.name, found.replica, found.code) == (oldest.name, "b", "altered")
    assert len(found.snapshots) == 4
    engine.forget_cache()
    for one in engine.snapshots():
        engine.restore(one.snapshot_id, replica="b")


@pytest.mark.parametrize("which", [0, 1, -1], ids=["oldest", "middle", "newest"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_write_only_host_whose_run_is_damaged_on_its_disk_reads_everything_once(
    engine: Engine, source: TreeSource, which: int, damage: str
) -> None:
    host = write_only(engine, "server")
    host.backup(source)
    night(host, source, 1)
    path = kept_file(host, night(host, source, 11)[which])
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(flipped(data, len(data) // 2) if damage == "flipped" else data[:-1])
    change(source, 2)
    engine.clock.wait_s(60)
    result = host.backup(source)
    assert len(runs_of(engine, result.snapshot_id)) == 1
    assert engine.restore(result.snapshot_id)[1] == source.contents()
    assert len(night(host, source, 3)) == 2


def test_this_host_keeps_the_runs_and_nothing_older(engine: Engine, source: TreeSource) -> None:
    host = write_only(engine, "server")
    (full,) = runs_of(engine, host.backup(source).snapshot_id)
    inode = kept_file(host, full).stat().st_ino
    for seed in range(RUNS_MAX + 2):
        runs = night(host, source, seed)
        assert kept_file(host, full).stat().st_ino == inode, "it was copied"
        manifest = engine.commit_of(engine.snapshots()[0].snapshot_id).manifest
        kept = {one.name for one in host.cached_files() if "previous" in one.parts and one.name.startswith("run-")}
        assert {f"run-{ref.blake3}" for ref in runs} <= kept
        assert len(kept) <= len(runs) + RUNS_MAX - 1, manifest


@pytest.mark.sweep
def test_a_run_killed_at_any_store_call_leaves_every_snapshot_as_it_was(engine: Engine, source: TreeSource) -> None:
    """And the next run goes on from there. The calls of all replicas are counted together."""
    engine.backup(source)
    stores: list[FaultyStore] = []

    def count(_: str, store: Store) -> Store:
        stores.append(FaultyStore(store, clock=engine.clock))
        return stores[-1]

    engine.wrap = count
    night(engine, source, 1)
    calls = sum(len(store.calls) for store in stores)
    for last in range(3, calls, max(calls // 6, 1)):
        engine.wrap = dying(engine, last)
        change(source, 100 + last)
        engine.clock.wait_s(60)
        with contextlib.suppress(FarshoreError):
            engine.backup(source)
        engine.wrap = lambda _, store: store
        engine.clock.wait_s(3600)
        change(source, 200 + last, b"still")
        result = engine.backup(source)
        for replica in "abc":
            assert engine.restore(result.snapshot_id, replica=replica)[1] == source.contents()
    assert not engine.verify().damaged


def dying(engine: Engine, last: int) -> Callable[[str, Store], Store]:
    """Return a wrapper of all stores that let so many calls through, counted together, and none after them."""
    calls = itertools.count()

    def plan(_verb: str, _name: str, _number: int) -> Fault | None:
        return DENY if next(calls) >= last else None

    return lambda _, store: FaultyStore(store, clock=engine.clock, plan=plan)
