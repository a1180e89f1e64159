"""Page-structured files: what a rewrite stores, and that any history of rewrites comes back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from farshore import limits
from farshore.chunking.content import CutSizes
from farshore.chunking.page_hashes import hash_pages
from farshore.format.page_maps import SLOT_PAGES, PageRow
from farshore.model import HOLE, Entry, EntryKind, Extent
from farshore.ops.backup.pages.paged_file import FileRead, PagedFile, PreviousPages
from farshore.ops.backup.pipeline.read_file import ContentReader
from farshore.sealed.content_hash import ContentHash
from tests.doubles.keys import fixed_keys
from tests.doubles.page_maps import cursor_of, page_runs, with_all_pages
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource, blocks

KEYS = fixed_keys(repository_id=b"r" * 16, chunk_key=b"c" * 32, index_key=b"i" * 32)
MIB = limits.MIB
BLOCK = MIB


class Chunks:
    """What was emitted: by name, to build files from extents."""

    def __init__(self) -> None:
        self.by_id: dict[bytes, bytes] = {}
        self.new_bytes = 0

    def emit(self, chunk_id: bytes, data: bytes | memoryview) -> None:
        assert blake3(data, key=KEYS.chunk_key).digest() == chunk_id
        assert 0 < len(data) <= limits.CHUNK_BYTES_MAX
        if chunk_id not in self.by_id:
            self.by_id[chunk_id] = bytes(data)
            self.new_bytes += len(data)

    def content(self, extents: Sequence[Extent]) -> bytes:
        parts = []
        for extent in extents:
            if extent.chunk == HOLE:
                parts.append(bytes(extent.length))
                continue
            chunk = self.by_id[extent.chunk]
            assert 0 <= extent.offset < extent.offset + extent.length <= len(chunk)
            parts.append(chunk[extent.offset : extent.offset + extent.length])
        return b"".join(parts)


def read(
    chunks: Chunks, pieces: Sequence[bytes | int], *, page: int = 8192, before: FileRead | None = None
) -> FileRead:
    """Store one state of a file, compared with the state before."""
    size = sum(piece if isinstance(piece, int) else len(piece) for piece in pieces)
    entry = Entry(b"db", EntryKind.FILE, size=size, page_bytes=page)
    previous_pages = PreviousPages(before.extents, cursor_of(before)) if before else None
    paged = PagedFile(entry=entry, keys=KEYS, block_bytes=BLOCK, emit=chunks.emit, previous_pages=previous_pages)
    for piece in pieces:
        if isinstance(piece, int):
            paged.feed_hole(piece)
        else:
            for start in range(0, len(piece), 777_777):
                paged.feed(piece[start : start + 777_777])
    result = with_all_pages(paged.finish(), before)
    plain = b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in pieces)
    assert chunks.content(result.extents) == plain
    assert holes_of(result.extents) == holes_of(pieces)
    whole = ContentHash()
    for piece in pieces:
        whole.skip(piece) if isinstance(piece, int) else whole.update(piece)
    assert result.content_hash == whole.digest()
    _check_pages(result, plain, page)
    return result


def holes_of(pieces: Sequence[bytes | int | Extent]) -> list[tuple[int, int]]:
    """Return where holes begin and end; those that touch are one."""
    holes: list[tuple[int, int]] = []
    at = 0
    for piece in pieces:
        is_hole = piece.chunk == HOLE if isinstance(piece, Extent) else isinstance(piece, int)
        length = piece.length if isinstance(piece, Extent) else piece if isinstance(piece, int) else len(piece)
        if is_hole and length:
            start = holes.pop()[0] if holes and holes[-1][1] == at else at
            holes.append((start, at + length))
        at += length
    return holes


def _check_pages(result: FileRead, plain: bytes, page: int) -> None:
    """The page map reports every page of which no part is in a hole, and no other."""
    covered = set()
    for first, hashes in (run for row in result.pages for run in page_runs(row)):
        count = len(hashes) // 16
        start = first * page
        assert hashes == hash_pages(plain[start : start + count * page], page, KEYS.page_key)
        covered |= set(range(first, first + count))
    at, holes = 0, set()
    for extent in result.extents:
        if extent.chunk == HOLE:
            holes |= set(range(at // page, -(-(at + extent.length) // page)))
        at += extent.length
    assert covered == set(range(-(-len(plain) // page))) - holes


def test_the_first_time_a_file_is_cut_at_blocks() -> None:
    chunks = Chunks()
    data = random.Random(1).randbytes(3 * MIB + 5000)
    result = read(chunks, [data])
    assert [extent.length for extent in result.extents] == [MIB, MIB, MIB, 5000]
    assert result.content_hash == blake3(data).digest()
    assert result.bytes_read == len(data)


def test_an_unchanged_file_stores_nothing() -> None:
    chunks = Chunks()
    data = random.Random(1).randbytes(3 * MIB + 5000)
    first = read(chunks, [data])
    stored = chunks.new_bytes
    again = read(chunks, [data], before=first)
    assert chunks.new_bytes == stored
    assert again.extents == first.extents


def test_one_page_in_a_hundred_stores_about_one_percent() -> None:
    """64 MiB of pages of 8 KiB; chunks of a mebibyte would store most of it."""
    chance = random.Random(2)
    page, size = 8192, 64 * MIB
    data = chance.randbytes(size)
    chunks = Chunks()
    first = read(chunks, [data], page=page)
    stored = chunks.new_bytes
    assert stored == size
    changed = chance.sample(range(size // page), size // page // 100)
    after = blocks(data, page, changed, chance.randbytes)
    second = read(chunks, [after], page=page, before=first)
    assert chunks.new_bytes - stored <= 1.15 * len(changed) * page
    assert second.content_hash == blake3(after).digest()


@pytest.mark.parametrize("page", [512, 4096, 8192, 65536])
def test_ten_generations_of_rewritten_pages_come_back(page: int) -> None:
    chance = random.Random(page)
    size = 6 * MIB + 3 * page + 100
    data = chance.randbytes(size)
    chunks = Chunks()
    result = read(chunks, [data], page=page)
    for _ in range(10):
        changed = chance.sample(range(size // page + 1), max(size // page // 100, 1))
        data = blocks(data, page, changed, chance.randbytes)
        result = read(chunks, [data], page=page, before=result)
        assert len(result.extents) <= limits.PAGE_EXTENTS_PER_BLOCK_MAX * (size // BLOCK + 1)


def test_extents_of_a_block_stay_bounded_and_the_block_is_then_rewritten() -> None:
    chance = random.Random(4)
    page = 8192
    data = chance.randbytes(BLOCK)
    chunks = Chunks()
    result = read(chunks, [data], page=page)
    counts = []
    for _ in range(60):
        data = blocks(data, page, [chance.randrange(BLOCK // page)], chance.randbytes)
        result = read(chunks, [data], page=page, before=result)
        counts.append(len(result.extents))
    assert max(counts) <= limits.PAGE_EXTENTS_PER_BLOCK_MAX
    assert max(counts) > 10
    assert 1 in counts  # it was rewritten whole at least once


def test_truncation_and_growth() -> None:
    chance = random.Random(5)
    chunks = Chunks()
    result: FileRead | None = None
    data = chance.randbytes(2 * MIB + 12_345)
    for size in (len(data), 100, 0, 2 * MIB, 2 * MIB + 1, MIB, 5 * MIB + 77, 5 * MIB + 76, 8191, 8192, 8193):
        data = (data + chance.randbytes(max(size - len(data), 0)))[:size]
        result = read(chunks, [data], before=result)


def test_growth_stores_only_what_was_appended() -> None:
    chance = random.Random(6)
    data = chance.randbytes(4 * MIB)
    chunks = Chunks()
    first = read(chunks, [data])
    stored = chunks.new_bytes
    read(chunks, [data + chance.randbytes(8192 * 3)], before=first)
    assert chunks.new_bytes - stored == 8192 * 3


def test_holes_come_and_go() -> None:
    chance = random.Random(7)
    chunks = Chunks()
    result: FileRead | None = None
    states: list[list[bytes | int]] = [
        [3 * MIB],
        [MIB, chance.randbytes(100_000), 2 * MIB],
        [chance.randbytes(50), 5 * MIB, chance.randbytes(8192)],
        [5 * MIB + 50, chance.randbytes(8192), 1],
        [chance.randbytes(3 * MIB)],
        [MIB, chance.randbytes(MIB), MIB],
        [MIB - 1, chance.randbytes(2), 2 * MIB - 1],
        [],
        [MIB // 2, MIB // 2, MIB // 2],
    ]
    for state in states:
        result = read(chunks, state, before=result)


def test_an_island_in_a_hole_stays_one() -> None:
    """Trial F19: 4 KiB in a hole came back as 1 MiB."""
    chance = random.Random(17)
    chunks = Chunks()
    island = chance.randbytes(4096)
    first = read(chunks, [5 * MIB + 8192, island, 3 * MIB], page=4096)
    assert first.extents[1:2] == [Extent(first.extents[1].chunk, 0, 4096)]
    assert (len(first.extents), chunks.new_bytes) == (3, 4096)
    again = read(chunks, [5 * MIB + 8192, island, 3 * MIB], page=4096, before=first)
    assert (again.extents, chunks.new_bytes) == (first.extents, 4096)
    wider = read(chunks, [5 * MIB + 8192, island, island[::-1], 3 * MIB - 4096], page=4096, before=again)
    assert chunks.new_bytes == 2 * 4096
    assert len(wider.extents) == 4


@pytest.mark.parametrize("page", [512, 4096, 16384, 65536])
def test_any_map_of_holes_and_data_is_kept_as_it_changes(page: int) -> None:
    """Trial F19: blocks of a file system's size come and go, and neither holes nor data turn into the other."""
    chance = random.Random(page)
    chunks = Chunks()
    blocks: list[bytes | None] = [None] * 1500  # with fewer holes than a block may have
    result: FileRead | None = None
    for _ in range(8):
        for _ in range(chance.choice([3, 60])):
            start = chance.randrange(len(blocks))
            for at in range(start, min(start + chance.choice([1, 1, 2, 40, 300]), len(blocks))):
                blocks[at] = bytes(4096) if at % 7 else chance.randbytes(4096)
            for at in range(start, min(start + chance.choice([1, 30]), len(blocks))):
                blocks[at] = None
        pieces = [4096 if block is None else block for block in blocks]
        result = read(chunks, [*pieces, chance.randbytes(777)], page=page, before=result)


def test_of_a_block_with_very_many_holes_the_largest_stay() -> None:
    chance = random.Random(19)
    pieces: list[bytes | int] = []
    for number in range(100):
        pieces += [8192 if number % 10 == 5 else 4096, chance.randbytes(4096)]
    entry = Entry(b"db", EntryKind.FILE, page_bytes=4096)
    chunks = Chunks()
    paged = PagedFile(entry=entry, keys=KEYS, block_bytes=BLOCK, emit=chunks.emit, previous_pages=None)
    for piece in pieces:
        paged.feed_hole(piece) if isinstance(piece, int) else paged.feed(piece)
    kept, all_holes = holes_of(paged.finish().extents), holes_of(pieces)
    assert len(kept) == limits.PAGE_HOLES_PER_BLOCK_MAX
    assert {*kept} < {*all_holes}
    assert {hole for hole in all_holes if hole[1] - hole[0] == 8192} < {*kept}


def test_what_did_not_change_beside_a_hole_that_was_filled_is_not_stored_again() -> None:
    chance = random.Random(18)
    chunks = Chunks()
    left, filled, right = (chance.randbytes(size) for size in (40 * 4096, 4096, 200 * 4096))
    first = read(chunks, [left, 4096, right], page=4096)
    stored = chunks.new_bytes
    read(chunks, [left, filled, right], page=4096, before=first)
    assert chunks.new_bytes - stored == 4096


def test_whole_blocks_of_a_hole_stay_holes_and_cost_nothing() -> None:
    chunks = Chunks()
    result = read(chunks, [1000 * MIB])
    assert result.extents == [Extent(HOLE, 0, 1000 * MIB)]
    assert (list(result.pages), chunks.new_bytes) == ([], 0)


def test_data_where_a_hole_was_and_a_hole_where_data_was() -> None:
    chance = random.Random(8)
    chunks = Chunks()
    data = chance.randbytes(MIB)
    first = read(chunks, [data, MIB, data])
    second = read(chunks, [MIB, data, MIB], before=first)
    third = read(chunks, [data, MIB, data], before=second)
    assert third.extents == first.extents


def test_an_earlier_state_with_another_page_size_is_of_no_use() -> None:
    chunks = Chunks()
    data = random.Random(9).randbytes(MIB)
    first = read(chunks, [data], page=4096)
    assert read(chunks, [data], page=8192, before=None).extents == first.extents


def test_a_page_map_that_claims_more_than_the_extents_hold_is_not_believed() -> None:
    chunks = Chunks()
    data = random.Random(10).randbytes(2 * MIB)
    first = read(chunks, [data])
    first.extents = first.extents[:1]
    assert [extent.length for extent in read(chunks, [data], before=first).extents] == [MIB, MIB]


def test_page_rows_hold_at_most_so_many_pages() -> None:
    chunks = Chunks()
    result = read(chunks, [random.Random(11).randbytes(MIB) * 34], page=512)
    counts = [row.pages for row in result.pages]
    assert max(counts) <= SLOT_PAGES
    assert sum(counts) == 34 * MIB // 512
    assert len(counts) == 17
    changed = read(chunks, [random.Random(11).randbytes(MIB) * 33 + bytes(MIB)], page=512, before=result)
    assert changed.extents[:33] == result.extents[:33] or len(changed.extents) < len(result.extents)


def test_a_row_is_reported_as_the_format_says() -> None:
    chunks = Chunks()
    data = random.Random(12).randbytes(10_000)
    result = read(chunks, [data], page=4096)
    pages = hash_pages(data, 4096, KEYS.page_key)
    assert list(result.pages) == [PageRow(b"db", 0, 4096, whole=True, positions=b"", hashes=pages)]


@pytest.mark.parametrize("page", [512, 8192, 16384])
@pytest.mark.parametrize("hole", [4096, 16384, MIB - 4096, MIB + 8192])
def test_hashes_made_elsewhere_count_only_where_blocks_have_the_same_pages(page: int, hole: int) -> None:
    data = bytearray(random.Random(page + hole).randbytes(3 * MIB + 5))
    results = []
    for hashes in (b"", hash_pages(memoryview(data), page, KEYS.page_key)):
        chunks = Chunks()
        entry = Entry(b"db", EntryKind.FILE, size=hole + len(data), page_bytes=page)
        paged = PagedFile(entry=entry, keys=KEYS, block_bytes=BLOCK, emit=chunks.emit, previous_pages=None)
        paged.feed_hole(hole)
        paged.feed(memoryview(data), hashes)
        result = paged.finish()
        assert chunks.content(result.extents) == bytes(hole) + data
        results.append((result.extents, result.content_hash, list(result.pages)))
    assert results[0] == results[1]


def test_a_reader_takes_the_size_of_blocks_from_the_repository() -> None:
    assert (
        ContentReader(keys=KEYS, sizes=CutSizes(block=65536)).chunk_id(b"x")
        == blake3(b"x", key=KEYS.chunk_key).digest()
    )


# --- through a whole engine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False], ids=["directory", "stream"])
def test_generations_of_a_database_restore_from_any_replica(tmp_path: Path, ordered: bool) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock, ordered=ordered, sequential=not ordered)
    chance = random.Random(13)
    page, size = 8192, 9 * MIB + 300
    source.file(b"db", chance.randbytes(size), page_bytes=page)
    source.file(b"other", b"not paged")
    expected: list[tuple[str, bytes]] = []
    stored: list[int] = []
    for _ in range(5):
        result = engine.backup(source)
        expected.append((result.snapshot_id, source.content(b"db")))
        stored.append(result.counts.bytes_new)
        engine.clock.wait_s(60)
        changed = chance.sample(range(size // page), size // page // 100)
        source.write(b"db", blocks(source.content(b"db"), page, changed, chance.randbytes))
    assert stored[0] == size + len(b"not paged")
    assert max(stored[1:]) <= 1.15 * (size // page // 100) * page
    for number, (snapshot_id, content) in enumerate(expected):
        assert engine.restore(snapshot_id, replica="abc"[number % 3])[1][b"db"] == content


def test_an_unchanged_database_keeps_its_page_map_for_the_next_change(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    data = random.Random(14).randbytes(4 * MIB)
    source.file(b"db", data, page_bytes=4096)
    engine.clock.wait_s(60)
    engine.backup(source)
    engine.clock.wait_s(60)
    assert engine.backup(source).counts.bytes_read == 0
    engine.clock.wait_s(60)
    source.write(b"db", blocks(data, 4096, [77], random.Random(15).randbytes))
    assert engine.backup(source).counts.bytes_new == 4096


def test_a_database_whose_old_chunks_are_gone_is_stored_whole(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    data = random.Random(16).randbytes(2 * MIB)
    source.file(b"db", data, page_bytes=4096)
    engine.backup(source)
    for replica in "abc":
        for name in engine.objects(replica, "packs/"):
            engine.lose(replica, name)
    engine.clock.wait_s(60)
    source.write(b"db", blocks(data, 4096, [77], random.Random(17).randbytes))
    result = engine.backup(source)
    assert result.counts.bytes_new == 2 * MIB
    assert engine.restore(result.snapshot_id, replica="b")[1] == source.contents()


def test_a_database_that_changes_while_it_is_read_again_is_spliced_right(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    chance = random.Random(18)
    source.file(b"db", chance.randbytes(3 * MIB), page_bytes=4096)
    engine.backup(source)
    engine.clock.wait_s(60)
    source.write(b"db", blocks(source.content(b"db"), 4096, [5, 6, 300, 700], chance.randbytes))
    source.nodes[b"db"].changes = 2
    result = engine.backup(source)
    assert result.problems == ()
    assert engine.restore(result.snapshot_id)[1] == source.contents()


def test_a_file_that_turns_into_a_database_and_back(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    chance = random.Random(19)
    for page_bytes in (0, 4096, 8192, 0, 8192):
        source.file(b"db", chance.randbytes(2 * MIB + 100), page_bytes=page_bytes)
        engine.clock.wait_s(60)
        result = engine.backup(source)
        assert engine.restore(result.snapshot_id)[1] == source.contents()
