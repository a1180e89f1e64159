"""Trial N1: whatever the order of the rows, and however often content repeats, each stored byte is read about once.

Rows are made of parts of the chunks of a few snapshots, in any order, and put back with memory for no segment at all.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore import limits
from farshore.catalog.contents import iterate_rows
from farshore.catalog.index_loader import load_index
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import list_snapshots
from farshore.format.extents import decode_extents, encode_extents
from farshore.format.manifest import ManifestRow
from farshore.format.needs import join_needs
from farshore.index import ChunkIndex
from farshore.model import HOLE, Entry, EntryKind, Extent
from farshore.ops.restore.content_plan import plan_content
from farshore.ops.restore.fetch import SegmentMemory
from farshore.ops.restore.put_rows_back import needs_of, put_rows_back
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository
from farshore.sealed.content_hash import ContentHash
from farshore.targets.directory.target import DirectoryTarget
from tests.unit.ops.engine import Engine, tree
from tests.unit.ops.pack_meter import PackMeters
from tests.unit.ops.tree_source import TreeSource

SNAPSHOTS, FILES = 4, 12
FILE_BYTES = 900_000  # in one chunk or two
MEMORY = SegmentMemory(opened_bytes_max=1, packed_bytes_max=1)
BYTES_SHARE_MAX, REQUESTS_SHARE_MAX = 1.05, 1.2


@dataclass(repr=False)  # megabytes, which nobody reads in a failure
class Shore:
    """A repository of several packs with several segments each, and the chunks in it with their content."""

    engine: Engine
    meters: PackMeters = field(default_factory=PackMeters)
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory) -> Shore:
    engine = Engine(tmp_path_factory.mktemp("shore")).initialize()
    shore = Shore(engine)
    chance = random.Random(5)
    for number in range(SNAPSHOTS):
        source = TreeSource(clock=engine.clock, name=f"s{number}")
        for file in range(FILES):  # mostly zeros: segments of four megabytes that take a few hundred kilobytes
            size = chance.randrange(1, FILE_BYTES)
            source.file(b"%02d" % file, chance.randbytes(size // 9) + bytes(size - size // 9))
        snapshot_id = engine.backup(source).snapshot_id
        with engine.opened() as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            for row in iterate_rows(repository, snapshot):
                at = 0
                for extent in decode_extents(row.extents):
                    content = source.content(row.entry.path)[at : at + extent.length]
                    shore.chunks.append((extent.chunk, content))
                    at += extent.length
    engine.wrap = shore.meters.wrap
    return shore


def index_of_all(repository: Repository) -> ChunkIndex:
    reader = open_reader(repository)
    needs = [read_needs(repository, reader, one.commit) for one in list_snapshots(repository)]
    return load_index(repository, reader, join_needs(needs))


def make_row(path: bytes, parts: Sequence[tuple[bytes, int, bytes]]) -> ManifestRow:
    """Return a file of parts of chunks (chunk, offset, content); a hole has zeros as its content."""
    hasher = ContentHash()
    for chunk, _, content in parts:
        if chunk == HOLE:
            hasher.skip(len(content))
        else:
            hasher.update(content)
    extents = encode_extents(Extent(chunk, offset, len(content)) for chunk, offset, content in parts)
    size = sum(len(content) for _, _, content in parts)
    return ManifestRow(Entry(path, EntryKind.FILE, mode=0o644, size=size), hasher.digest(), extents)


def random_tree(
    chance: random.Random, chunks: list[tuple[bytes, bytes]]
) -> tuple[list[ManifestRow], dict[bytes, bytes]]:
    """Return files of some of the chunks, whole or in parts, in any order and often again; and their content."""
    chosen = chance.sample(chunks, chance.randint(1, len(chunks)))
    rows: list[ManifestRow] = []
    contents: dict[bytes, bytes] = {}
    for number in range(chance.randint(1, 60)):
        parts: list[tuple[bytes, int, bytes]] = []
        for _ in range(chance.choice((0, 1, 1, 1, 2, 12))):
            chunk, content = chance.choice(chosen)
            start = chance.choice((0, 0, chance.randrange(len(content))))
            end = chance.choice((len(content), chance.randint(start + 1, len(content))))
            parts.append((chunk, start, content[start:end]))
            if chance.random() < 0.1:
                parts.append((HOLE, 0, bytes(chance.randint(1, 100_000))))
        path = b"%04d" % number
        rows.append(make_row(path, parts))
        contents[path] = b"".join(content for *_, content in parts)
    return rows, contents


def runs_of(index: ChunkIndex, rows: Sequence[ManifestRow]) -> tuple[int, int]:
    """Return the stored bytes of the segments that rows need, and the runs of neighbors of at most 8 MiB in them."""
    needed = {
        place[:2]
        for row in rows
        for extent in decode_extents(row.extents)
        if extent.chunk != HOLE and (place := index.locate(extent.chunk))
    }
    stored = runs = 0
    last: tuple[int, int] = (-1, -1)
    run_bytes = 0
    for pack, segment in sorted(needed):
        size = int(index.packs[pack].footer.segments[segment]["stored"])
        if (pack, segment) != (last[0], last[1] + 1) or run_bytes + size > 8 * limits.MIB:
            runs, run_bytes = runs + 1, 0
        stored, run_bytes, last = stored + size, run_bytes + size, (pack, segment)
    return stored, runs


@given(seed=st.integers(0, 2**32 - 1), replica=st.sampled_from(["a", None]))
@settings(max_examples=25)
def test_any_order_and_repetition_is_read_about_once(shore: Shore, seed: int, replica: str | None) -> None:
    rows, contents = random_tree(random.Random(seed), shore.chunks)
    with shore.engine.opened() as repository, tempfile.TemporaryDirectory(dir=shore.engine.root) as place:
        index = index_of_all(repository)
        stored, runs = runs_of(index, rows)
        shore.meters.clear()
        plan = plan_content(needs_of(rows), index)
        assert plan.stored_bytes == stored
        assert plan.content_bytes == sum(
            extent.length for row in rows for extent in decode_extents(row.extents) if extent.chunk != HOLE
        )
        reader = open_reader(repository, only=[replica] if replica else None)
        target = DirectoryTarget(path=Path(place) / "tree", clock=shore.engine.clock)
        target.begin()
        writer = put_rows_back(
            rows, plan, repository=repository, reader=reader, keys=repository.reading_keys(), target=target,
            spill_place=Path(place), memory=MEMORY,
        )  # fmt: skip
        found = tree(Path(place) / "tree")
        reads = shore.meters.reads
    assert writer.lost == []
    assert found == {b"": None, **contents}
    assert sum(length for *_, length in reads) <= BYTES_SHARE_MAX * stored
    assert len(reads) - reader.hedged <= REQUESTS_SHARE_MAX * runs
    assert list(Path(shore.engine.root).glob("tmp*")) == []
