from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.ops.fetching import SegmentFetcher, SegmentKey, Wanted, segment_of
from farshore.ops.locating import load_index
from farshore.ops.restore import restore_snapshot
from farshore.ops.snapshots import find_commit, list_snapshots
from farshore.repository.holdings import read_needs
from farshore.repository.replica_reader import open_reader
from farshore.repository.repository import Repository
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource, blocks

CHANCE = random.Random(1)
FILES = {f"{number}".encode(): CHANCE.randbytes(700_000) for number in range(12)}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    for path, data in FILES.items():
        source.file(path, data)
    engine.backup(source)
    return engine


@contextmanager
def fetching(
    engine: Engine, held_bytes_max: int = limits.HELD_SEGMENTS_BYTES
) -> Iterator[tuple[Repository, SegmentFetcher, Wanted]]:
    """A fetcher over everything, and all chunks of all segments."""
    with engine.opened() as repository:
        commit = find_commit(repository, list_snapshots(repository)[0])
        reader = open_reader(repository)
        index = load_index(repository, reader, read_needs(repository, reader, commit))
        wanted: Wanted = {}
        for row in range(len(index)):
            place = index.location(row)
            chunk_id = bytes(index.packs[place.pack].footer.chunks["id"][_number(index, row)])
            wanted.setdefault(segment_of(place), set()).add((chunk_id, place.offset, place.length))
        fetcher = SegmentFetcher(repository=repository, index=index, reader=reader, held_bytes_max=held_bytes_max)
        try:
            yield repository, fetcher, wanted
        finally:
            fetcher.close()


def _number(index: object, row: int) -> int:
    """The row of a chunk in its pack's own table."""
    place = index.location(row)  # type: ignore[attr-defined]
    table = index.packs[place.pack].footer.chunks  # type: ignore[attr-defined]
    same = (table["segment"] == place.segment) & (table["offset"] == place.offset)
    return int(same.nonzero()[0][0])


def results(fetcher: SegmentFetcher, wanted: Wanted) -> dict[SegmentKey, memoryview]:
    found: dict[SegmentKey, memoryview] = {}
    for future in fetcher.fetch(wanted):
        found.update(future.result())
    return found


def test_every_segment_is_opened_in_few_requests(engine: Engine) -> None:
    with fetching(engine) as (repository, fetcher, wanted):
        before = repository.replicas["a"].meter.snapshot().requests["get"]
        found = results(fetcher, wanted)
        assert set(found) == set(wanted)
        assert repository.replicas["a"].meter.snapshot().requests["get"] - before <= 4
        key = repository.reading_keys().chunk_key
        for segment, chunks in wanted.items():
            for chunk_id, offset, length in chunks:
                assert blake3(found[segment][offset : offset + length], key=key).digest() == chunk_id
        assert fetcher.reader.used == {"a"}


def test_what_was_fetched_is_not_fetched_again(engine: Engine) -> None:
    with fetching(engine) as (repository, fetcher, wanted):
        first = results(fetcher, wanted)
        before = repository.replicas["a"].meter.snapshot().bytes_in
        assert results(fetcher, wanted) == first
        for key, chunks in wanted.items():
            assert results(fetcher, {key: set(list(chunks)[:1])})[key] == first[key]
        assert repository.replicas["a"].meter.snapshot().bytes_in == before


def test_a_chunk_wanted_later_is_proven_then(engine: Engine) -> None:
    with fetching(engine) as (_, fetcher, wanted):
        key, chunks = next(iter(wanted.items()))
        (chunk_id, offset, length), *_ = chunks
        results(fetcher, {key: {(chunk_id, offset, length)}})
        with pytest.raises(ObjectCorrupt, match="does not hash to its name"):
            results(fetcher, {key: {(b"x" * 32, offset, length)}})
        assert key in results(fetcher, {key: {(chunk_id, offset, length)}})


def test_only_so_much_is_kept(engine: Engine) -> None:
    with fetching(engine, held_bytes_max=1) as (repository, fetcher, wanted):
        keys = sorted(wanted)
        first = results(fetcher, {keys[0]: wanted[keys[0]]})
        results(fetcher, {keys[-1]: wanted[keys[-1]]})
        before = repository.replicas["a"].meter.snapshot().bytes_in
        assert results(fetcher, {keys[0]: wanted[keys[0]]}) == first
        assert repository.replicas["a"].meter.snapshot().bytes_in > before


def test_what_failed_is_asked_for_again(engine: Engine) -> None:
    (pack,) = engine.objects("a", names.PACKS)
    kept = {replica: engine.objects(replica)[pack] for replica in "abc"}
    for replica in "abc":
        engine.alter(replica, pack, lambda data: data[:60])
    with fetching(engine) as (_, fetcher, wanted):
        with pytest.raises(ObjectCorrupt):
            results(fetcher, wanted)
        for replica in "abc":
            engine.alter(replica, pack, lambda _, replica=replica: kept[replica])  # type: ignore[misc]
        assert set(results(fetcher, wanted)) == set(wanted)
        assert {(one.replica, one.code) for one in fetcher.reader.damaged.values()} == {
            (name, "altered") for name in "abc"
        }


def test_months_of_rewrites_restore_in_about_one_read(tmp_path: Path) -> None:
    """Pages of one database lie in a piece of every night's pack; each is fetched once, and not once per stretch."""
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    page, size = 8192, 24 << 20
    source.file(b"db", CHANCE.randbytes(size), page_bytes=page)
    for _ in range(20):
        engine.backup(source)
        engine.clock.wait_s(60)
        changed = CHANCE.sample(range(size // page), size // page // 100)
        source.write(b"db", blocks(source.content(b"db"), page, changed, CHANCE.randbytes))
    snapshot_id = engine.backup(source).snapshot_id
    with engine.opened() as repository:
        (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
        before = repository.replicas["a"].meter.snapshot().bytes_in
        restore_snapshot(repository, snapshot, tmp_path / "restored", replica="a", clock=engine.clock)
        read = repository.replicas["a"].meter.snapshot().bytes_in - before
    assert (tmp_path / "restored" / "db").read_bytes() == source.content(b"db")
    assert read < 1.6 * size
