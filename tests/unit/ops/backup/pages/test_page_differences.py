"""Nights of a database whose page map is stored as a difference: what each stores, and that no lost map loses more."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.format import names
from farshore.format.commit import RunRef
from tests.unit.catalog.test_hosts import write_only
from tests.unit.ops.engine import Engine, flipped
from tests.unit.ops.tree_source import TreeSource, blocks

PAGE = 512
PAGES = 6000  # a map of 94 KiB over 3 MB of data
CHANGED = PAGES // 100
PAGES_BASE = "pages-base"  # the full page map of an earlier snapshot


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


def refs(engine: Engine, snapshot_id: str) -> Mapping[str, RunRef]:
    """What the commit of a snapshot names, by role."""
    commit = engine.commit_of(snapshot_id)
    found = {names.MANIFEST: commit.manifest[-1], names.PAGES: commit.pages, PAGES_BASE: commit.pages_base}
    return {role: ref for role, ref in found.items() if ref is not None}


def change(source: TreeSource, seed: int, path: bytes = b"db") -> None:
    """Rewrite a run of pages; scattered ones would soon make whole blocks due, as pages of 512 bytes are small."""
    chance = random.Random(seed)
    first = chance.randrange(len(source.content(path)) // PAGE - CHANGED)
    source.write(path, blocks(source.content(path), PAGE, range(first, first + CHANGED), chance.randbytes))


def night(engine: Engine, source: TreeSource, seed: int, path: bytes = b"db") -> Mapping[str, RunRef]:
    """Change one page in a hundred and back up; nothing else may be stored, and it comes back from every replica."""
    change(source, seed, path)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert result.counts.bytes_new <= CHANGED * PAGE
    reader = engine.at("reader")
    assert reader.restore(result.snapshot_id, replica="abc"[seed % 3])[1] == source.contents()
    return refs(engine, result.snapshot_id)


@pytest.mark.parametrize(("reads", "ordered"), [(True, True), (False, False)], ids=["reader", "write-only-stream"])
def test_many_nights_store_differences_from_one_map_and_a_new_map_when_due(
    engine: Engine, source: TreeSource, reads: bool, ordered: bool
) -> None:
    source.ordered, source.sequential = ordered, not ordered
    host = engine if reads else write_only(engine, "server")
    first = refs(engine, host.backup(source).snapshot_id)
    assert PAGES_BASE not in first
    full = first[names.PAGES]
    spent: list[int] = []
    bases: list[str] = []
    for seed in range(24):
        made = night(host, source, seed)
        if PAGES_BASE not in made:
            assert sum(spent) > 0.8 * full.bytes
            assert sum(spent) < 1.5 * full.bytes
            full, spent = made[names.PAGES], []
            continue
        bases.append(made[PAGES_BASE].name)
        assert made[PAGES_BASE] == full
        spent.append(made[names.PAGES].bytes)
        assert spent[-1] < 3_000 + 20 * CHANGED * (len(spent) + 1)
        if len(set(bases)) == 2 and len(spent) == 3:
            break  # the nights after go the same way
    assert len(set(bases)) == 2
    assert engine.verify().clean


def test_a_night_without_changes_stores_next_to_nothing(engine: Engine, source: TreeSource) -> None:
    first = engine.backup(source)
    engine.clock.wait_s(60)
    second = engine.backup(source)
    assert refs(engine, second.snapshot_id) == refs(engine, first.snapshot_id), "a page map was written"
    assert second.counts.bytes_read == 0
    night(engine, source, 3)
    night(engine, source, 4, b"still")


def test_files_that_come_go_grow_shrink_and_change_their_kind(engine: Engine, source: TreeSource) -> None:
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
    kinds = []
    for number, step in enumerate(steps):
        step()
        engine.clock.wait_s(60)
        result = engine.backup(source)
        kinds.append(PAGES_BASE in refs(engine, result.snapshot_id))
        assert engine.restore(result.snapshot_id, replica="abc"[number % 3])[1] == source.contents()
        engine.clock.wait_s(60)
        assert engine.backup(source).counts.bytes_read == 0
        if b"db" in source.nodes:
            change(source, 50 + number)
        engine.clock.wait_s(60)
        again = engine.backup(source)
        assert engine.restore(again.snapshot_id)[1] == source.contents()
    assert sum(kinds) >= 5
    assert engine.verify().clean


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut"])
@pytest.mark.parametrize("which", [names.PAGES, PAGES_BASE])
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "no-cache"])
def test_a_map_that_is_lost_at_every_replica_costs_only_comparison(
    engine: Engine, source: TreeSource, damage: str, which: str, cached: bool
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
    found = {one.name: one.snapshots for one in engine.verify().damaged}
    if damage != "gone" or which == names.PAGES or not cached:
        assert list(found) == [lost]


def test_a_base_that_one_replica_lost_is_given_back_to_it_from_this_host(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    base = night(engine, source, 1)[PAGES_BASE]
    kept = engine.objects("a")[base.name]
    for replica in "abc":
        engine.lose(replica, base.name)
    assert night(engine, source, 2)[PAGES_BASE] == base
    assert [engine.objects(replica)[base.name] for replica in "abc"] == [kept] * 3
    assert engine.verify().clean


def test_a_replica_that_was_away_is_given_the_base_and_its_key_and_serves_alone(
    engine: Engine, source: TreeSource
) -> None:
    with engine.away("c"):
        engine.backup(source)
        night(engine, source, 0)
    made = night(engine, source, 2)
    assert made[PAGES_BASE].name in engine.objects("c")
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
        assert result.counts.bytes_new <= CHANGED * PAGE
        assert alone.restore(result.snapshot_id, replica="c")[1] == source.contents()
    assert PAGES_BASE in refs(engine, result.snapshot_id)


def test_a_damaged_base_touches_every_snapshot_that_names_it_and_no_restore(engine: Engine, source: TreeSource) -> None:
    results = [engine.backup(source)]
    base = refs(engine, results[0].snapshot_id)[names.PAGES]
    for seed in range(3):
        night(engine, source, seed)
    engine.flip("b", base.name)
    (found,) = engine.verify().damaged
    assert (found.name, found.replica, found.code) == (base.name, "b", "altered")
    assert len(found.snapshots) == 4
    engine.forget_cache()
    for one in engine.snapshots():
        engine.restore(one.snapshot_id, replica="b")


@pytest.mark.parametrize("role", ["pages", "pages-base"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_write_only_host_whose_map_is_damaged_on_its_disk_reads_everything_once(
    engine: Engine, source: TreeSource, role: str, damage: str
) -> None:
    host = write_only(engine, "server")
    host.backup(source)
    night(host, source, 1)
    (path,) = [one for one in host.cached_files() if "previous" in one.parts and one.name == role]
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(flipped(data, len(data) // 2) if damage == "flipped" else data[:-1])
    change(source, 2)
    engine.clock.wait_s(60)
    result = host.backup(source)
    assert PAGES_BASE not in refs(engine, result.snapshot_id)
    assert engine.restore(result.snapshot_id)[1] == source.contents()
    assert PAGES_BASE in night(host, source, 3)


def test_the_base_is_moved_and_not_copied_on_the_host(engine: Engine, source: TreeSource) -> None:
    host = write_only(engine, "server")
    host.backup(source)

    def held(role: str) -> Path:
        (path,) = [one for one in host.cached_files() if "previous" in one.parts and one.name == role]
        return path

    inode = held("pages").stat().st_ino
    for seed in range(3):
        night(host, source, seed)
        assert held("pages-base").stat().st_ino == inode
    assert held("pages").stat().st_size < 10_000
