"""The last line of defense: whatever an index or a manifest claims, chunks and files are good only if they hash so."""

from __future__ import annotations

import random
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from farshore.catalog.contents import iterate_rows
from farshore.catalog.fragments import read_footer
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.format.extents import encode_extents
from farshore.format.manifest import ManifestRow
from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, SEGMENT_DTYPE, Footer, PackedFooter
from farshore.index import ChunkIndex
from farshore.model import HOLE, Entry, EntryKind, Extent
from farshore.ops.restore.content_plan import plan_content
from farshore.ops.restore.fetch import Content, SegmentFetcher
from farshore.ops.restore.file_writer import FileWriter
from farshore.ops.restore.put_rows_back import needs_of
from farshore.ops.restore.windows import plan_windows
from farshore.replicas.reader import open_reader
from farshore.sealed.content_hash import ContentHash
from farshore.targets.directory.target import DirectoryTarget
from tests.doubles.clock import FixedClock
from tests.unit.ops.engine import Engine, tree
from tests.unit.ops.tree_source import TreeSource

A, B = random.Random(1).randbytes(5000), random.Random(2).randbytes(5000)


def test_an_index_that_points_to_another_chunk_is_found_out(tmp_path: Path) -> None:
    """Both chunks are sealed and sound; only their places were exchanged."""
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"a", A)
    source.file(b"b", B)
    engine.backup(source)
    with engine.opened() as repository:
        replica = repository.replicas["a"]
        (info,) = replica.store.list(names.PACKS)
        packed = read_footer(repository.reading_keys(), replica, names.parse_pack(info.name) or "", info.size)
        chunks = packed.footer.chunks.copy()
        chunks["id"] = chunks["id"][::-1]
        footer = Footer(packed.footer.origins, packed.footer.segments, chunks)
        index = ChunkIndex([PackedFooter(packed.pack_id, packed.pack_bytes, footer)])
        rows = list(iterate_rows(repository, list_snapshots(repository)[0]))
        plan = plan_content(needs_of(rows), index)
        (window,) = plan_windows(rows, plan)
        fetcher = SegmentFetcher(
            repository=repository, plan=plan, reader=open_reader(repository), keys=repository.reading_keys()
        )
        try:
            (future,) = fetcher.fetch(window.segments, window.start).values()
            with pytest.raises(ObjectCorrupt, match="does not hash to its name"):
                future.result()
        finally:
            fetcher.close()
        assert {replica for replica, _ in fetcher.reader.damaged} == {"a", "b", "c"}


def written(tmp_path: Path, row: ManifestRow) -> FileWriter:
    """Write one file whose content lies in one segment: A, then B."""
    table = np.array([(b"a" * 32, 0, 0, 5000), (b"b" * 32, 0, 5000, 5000)], CHUNK_DTYPE)
    footer = Footer((Origin(bytes(16), bytes(32)),), np.zeros(1, SEGMENT_DTYPE), table)
    index = ChunkIndex([PackedFooter(bytes(32), 1, footer)])
    target = DirectoryTarget(path=tmp_path / "target", clock=FixedClock())
    target.begin()
    writer = FileWriter(target=target)
    try:
        for window in plan_windows([row], plan_content([row.extents], index)):
            future: Future[Content] = Future()
            future.set_result(memoryview(A + B))
            window.contents = {(0, 0): future}
            writer.write(window)
            assert (window.pieces, window.contents) == ([], {}), "a window that was written holds no memory"
        writer.finish()
        target.finish()
    finally:
        writer.close()
    return writer


def row(extents: list[Extent], content_hash: bytes, *, size: int | None = None) -> ManifestRow:
    length = sum(extent.length for extent in extents)
    entry = Entry(b"f", EntryKind.FILE, mode=0o644, size=length if size is None else size)
    return ManifestRow(entry, content_hash, encode_extents(extents))


FIRST, SECOND = Extent(b"a" * 32, 0, 5000), Extent(b"b" * 32, 0, 5000)


def test_a_file_that_hashes_as_its_manifest_says_is_good(tmp_path: Path) -> None:
    writer = written(tmp_path, row([FIRST, SECOND], blake3(A + B).digest()))
    assert writer.lost == []
    assert tree(tmp_path / "target")[b"f"] == A + B


@pytest.mark.parametrize(
    "wrong",
    [
        row([SECOND, FIRST], blake3(A + B).digest()),
        row([FIRST], blake3(A + B).digest()),
        row([FIRST, FIRST], blake3(A + B).digest()),
        row([], blake3(A).digest()),
        row([Extent(b"a" * 32, 1, 4999)], blake3(A).digest()),
        row([Extent(b"a" * 32, 1, 5000)], blake3((A + B)[1:5001]).digest()),
        row([FIRST], blake3(A).digest(), size=5001),
        row([FIRST, Extent(HOLE, 0, 10)], blake3(A + bytes(10)).digest()),
        row([Extent(HOLE, 0, 10), SECOND], blake3(A).digest()),
    ],
    ids=["order", "short", "twice", "empty", "shifted", "over-the-end", "size", "hole-as-zeros", "hole-first"],
)
def test_a_file_that_does_not_is_left_out(tmp_path: Path, wrong: ManifestRow) -> None:
    writer = written(tmp_path, wrong)
    assert [(problem.path, problem.code) for problem in writer.lost] == [(b"f", "lost")]
    assert b"f" not in tree(tmp_path / "target")


def test_a_sparse_file_hashes_by_its_data_and_its_holes(tmp_path: Path) -> None:
    hasher = ContentHash()
    hasher.skip(100)
    hasher.update(B)
    hasher.skip(7)
    writer = written(tmp_path, row([Extent(HOLE, 0, 100), SECOND, Extent(HOLE, 0, 7)], hasher.digest()))
    assert writer.lost == []
    assert tree(tmp_path / "target")[b"f"] == bytes(100) + B + bytes(7)


def test_a_content_hash_is_plain_without_holes_and_tells_holes_from_zeros() -> None:
    plain, sparse, joined, zeros = ContentHash(), ContentHash(), ContentHash(), ContentHash()
    plain.update(A)
    plain.update(B)
    assert plain.digest() == blake3(A + B).digest()
    states: list[tuple[ContentHash, list[bytes | int]]] = [
        (sparse, [A, 20]), (joined, [A, 5, 15]), (zeros, [A, bytes(20)])
    ]  # fmt: skip
    for hasher, parts in states:
        for part in parts:
            if isinstance(part, int):
                hasher.skip(part)
            else:
                hasher.update(part)
    digest = sparse.digest()
    assert digest == joined.digest()
    assert digest != zeros.digest()
    assert digest == blake3(A + (5000).to_bytes(8, "little") + (20).to_bytes(8, "little")).digest()
