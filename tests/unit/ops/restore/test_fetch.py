from __future__ import annotations

import gc
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from farshore import limits
from farshore.catalog.index_loader import load_index
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.ops.restore.content_plan import ContentPlan, plan_content
from farshore.ops.restore.fetch import DEFAULT_MEMORY, Content, SegmentFetcher, SegmentKey, SegmentMemory
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.restore.spill import SpilledSegment, SpillFile
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.restore.pages_in_use import pages_in_use
from tests.unit.ops.tree_source import TreeSource, blocks

CHANCE = random.Random(1)
FILES = {f"{number:02}".encode(): CHANCE.randbytes(700_000) for number in range(40)}  # in eight segments

SEGMENTS = 8
NO_MEMORY = SegmentMemory(opened_bytes_max=1, packed_bytes_max=1)
KEY_BYTES = 4096  # of the data key, which is read, too


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    for path, data in FILES.items():
        source.file(path, data)
    engine.backup(source)
    return engine


@dataclass
class Fetching:
    """A fetcher of segments, each used by one extent, in the order that was planned."""

    repository: Repository
    fetcher: SegmentFetcher
    plan: ContentPlan
    order: Sequence[SegmentKey]
    spill: SpillFile

    def take(self, start: int, count: int = 1) -> dict[SegmentKey, Content]:
        """Fetch what some extents need, as a window does, and wait for it."""
        keys = self.order[start : start + count]
        return {key: future.result() for key, future in self.fetcher.fetch(keys, start).items()}

    def bytes_read(self) -> int:
        return self.repository.replicas["a"].meter.snapshot().bytes_in

    def requests(self) -> int:
        return self.repository.replicas["a"].meter.snapshot().requests["get"]

    def check(self, found: dict[SegmentKey, Content]) -> None:
        key = self.repository.reading_keys().chunk_key
        for segment, content in found.items():
            (chunk,) = self.plan.chunks_of(*segment)
            offset, length = int(chunk["offset"]), int(chunk["length"])
            data = content.read(offset, length) if isinstance(content, SpilledSegment) else content[offset:][:length]
            assert blake3(data, key=key).digest() == chunk["id"].tobytes()


@contextmanager
def collector_off() -> Iterator[None]:
    """Nothing but the last reference to it frees an object."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def fetching(
    engine: Engine,
    order: Sequence[int] | None = None,
    *,
    memory: SegmentMemory = DEFAULT_MEMORY,
    spilling: bool = True,
) -> Iterator[Fetching]:
    """A fetcher for the second chunk of each segment, in some order of the segments."""
    with engine.opened() as repository:
        reader = open_reader(repository)
        commit = list_snapshots(repository)[0].commit
        index = load_index(repository, reader, read_needs(repository, reader, commit))
        rows: dict[SegmentKey, list[int]] = {}
        for row in range(len(index)):
            rows.setdefault(index.location(row)[:2], []).append(row)
        keys = sorted(rows)
        ordered = [keys[number] for number in (range(len(keys)) if order is None else order)]
        chunks = index.packs.chunks["id"][np.array([rows[key][1] for key in ordered])]
        plan = plan_content([chunks], index)
        spill = SpillFile(place=engine.root)
        fetcher = SegmentFetcher(
            repository=repository,
            plan=plan,
            reader=reader,
            keys=repository.reading_keys(),
            spill=spill if spilling else None,
            memory=memory,
        )
        try:
            yield Fetching(repository, fetcher, plan, ordered, spill)
        finally:
            fetcher.close()


def test_neighbors_come_in_one_request(engine: Engine) -> None:
    """Trial N1: whole runs of needed segments, cut at two full ones, however few of them one window needs."""
    with fetching(engine) as run:
        assert len(run.order) == SEGMENTS
        before = run.requests()
        for number in range(SEGMENTS):
            run.check(run.take(number))
        assert run.requests() - before == 1 + sum(1 for _ in run.plan.ranges()) <= 6  # one for the data key
        assert run.fetcher.reader.used == {"a"}


@pytest.mark.parametrize("spilling", [True, False])
def test_each_segment_is_read_once_in_any_order(engine: Engine, spilling: bool) -> None:
    """Trial N1: in memory for none of them, every byte comes once if there is a disk, and else again."""
    chance = random.Random(7)
    order = [number for _ in range(3) for number in chance.sample(range(SEGMENTS), SEGMENTS)]
    with fetching(engine, order, memory=NO_MEMORY, spilling=spilling) as run:
        before, asked = run.bytes_read(), run.requests()
        for number in range(len(order)):
            run.check(run.take(number))
        read = run.bytes_read() - before
        if spilling:
            assert run.plan.stored_bytes < read < run.plan.stored_bytes + KEY_BYTES
            assert run.requests() - asked == 1 + sum(1 for _ in run.plan.ranges())
        else:
            assert read > 1.5 * run.plan.stored_bytes
        assert bool(run.spill.written_bytes) == spilling


def test_only_what_is_needed_later_is_kept_aside(engine: Engine) -> None:
    with fetching(engine, [*range(SEGMENTS), *range(SEGMENTS)], memory=NO_MEMORY) as run:
        for number in range(2 * SEGMENTS):
            run.take(number)
        assert run.spill.written_bytes <= SEGMENTS * 700_000


def test_fully_consumed_segments_are_let_go(engine: Engine) -> None:
    with fetching(engine, [*range(SEGMENTS), 0]) as run:
        for number in range(SEGMENTS):
            run.take(number)
        assert [run.fetcher.memory_of(key, set()) for key in run.order[:5]] == [0] + 4 * [3]


@pytest.mark.parametrize("order", [[*range(SEGMENTS)], [*range(SEGMENTS), *range(SEGMENTS)]])
def test_what_left_memory_is_held_by_nothing_else(engine: Engine, order: list[int]) -> None:
    """Whether it was spilled or is used up, although its neighbors are needed, and without the cycle collector."""
    with collector_off(), fetching(engine, order, memory=NO_MEMORY) as run:
        for start in range(0, SEGMENTS, 2):  # the second one is asked for before the range it shares is there
            found = [run.fetcher.fetch(run.order[at : at + 1], at) for at in (start, start + 1)]
            for future in [one for each in found for one in each.values()]:
                future.result()
            del found, future
        run.fetcher.close()
        assert pages_in_use() <= 2, "those of the last two windows"


def test_the_bound_of_opened_segments_is_that_of_their_pages(engine: Engine) -> None:
    order = [*range(SEGMENTS), *range(SEGMENTS)]
    memory = SegmentMemory(opened_bytes_max=3 * limits.SEGMENT_BYTES - 1)  # of content, three of them would fit
    with collector_off(), fetching(engine, order, memory=memory) as run:
        for number in range(SEGMENTS + 1):
            run.take(number)
        run.fetcher.close()
        assert pages_in_use() <= 2


def test_a_window_counts_what_is_fetched_with_its_segments(engine: Engine) -> None:
    with fetching(engine) as run:
        ranges: set[tuple[int, int]] = set()
        assert [run.fetcher.memory_of(key, ranges) for key in run.order[:3]] == [3, 1, 3]
        run.take(0)
        assert [run.fetcher.memory_of(key, set()) for key in run.order[:3]] == [0, 1, 3]


def test_a_disk_that_takes_no_more_costs_requests_and_nothing_else(engine: Engine) -> None:
    order = [*range(SEGMENTS), *range(SEGMENTS)]
    with fetching(engine, order, memory=NO_MEMORY) as run:
        run.spill.full = True
        for number in range(len(order)):
            run.check(run.take(number))
            run.spill.full = True
        assert run.spill.written_bytes == 0


def test_what_failed_is_asked_for_again(engine: Engine) -> None:
    packs = engine.objects("a", names.PACKS)
    kept = {replica: dict(engine.objects(replica)) for replica in "abc"}
    with fetching(engine, [*range(SEGMENTS), *range(SEGMENTS)]) as run:
        for replica in "abc":
            for pack in packs:
                engine.alter(replica, pack, lambda data: data[:60])
        for future in run.fetcher.fetch(run.order[:SEGMENTS], 0).values():
            with pytest.raises(ObjectCorrupt):
                future.result()
        for replica in "abc":
            for pack in packs:
                engine.alter(replica, pack, lambda _, name=pack, replica=replica: kept[replica][name])  # type: ignore[misc]
        run.check(run.take(SEGMENTS, SEGMENTS))
        assert {(one.replica, one.code) for one in run.fetcher.reader.damaged.values()} == {
            (name, "altered") for name in "abc"
        }


def test_months_of_rewrites_restore_in_one_read(tmp_path: Path) -> None:
    """Trial N1: pages of one database lie in a piece of every night's pack; each stored byte is fetched once."""
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
        restore_snapshot(repository, snapshot, tmp_path / "restored", replica="a", run=Run.start(engine.clock))
        read = repository.replicas["a"].meter.snapshot().bytes_in - before
    assert (tmp_path / "restored" / "db").read_bytes() == source.content(b"db")
    assert read < 1.6 * size


def test_windows_that_use_everything_again_do_not_keep_everything(engine: Engine) -> None:
    """Trial N1: a database that lies in pieces of a hundred packs uses all of them in every stretch."""
    memory = SegmentMemory(opened_bytes_max=2 * limits.SEGMENT_BYTES)
    with fetching(engine, 4 * list(range(SEGMENTS)), memory=memory) as run:
        for start in range(0, 3 * SEGMENTS, SEGMENTS):
            run.check(run.take(start, SEGMENTS))
        found = run.take(3 * SEGMENTS, SEGMENTS)
        assert sum(isinstance(content, SpilledSegment) for content in found.values()) >= SEGMENTS - 2
