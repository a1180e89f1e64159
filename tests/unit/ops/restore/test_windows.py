from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from farshore import limits
from farshore.errors import Bug
from farshore.format.extents import encode_extents
from farshore.format.manifest import ManifestRow
from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, SEGMENT_DTYPE, Footer, PackedFooter
from farshore.index import ChunkIndex
from farshore.model import HOLE, Entry, EntryKind, Extent
from farshore.ops.restore import windows as cutting
from farshore.ops.restore.content_plan import plan_content
from farshore.ops.restore.put_rows_back import needs_of
from farshore.ops.restore.windows import MISSING, Window

MIB = limits.MIB


def index_of(chunks: int, *, per_segment: int = 4, segments_per_pack: int = 4) -> tuple[ChunkIndex, list[bytes]]:
    """An index of chunks of one mebibyte each, laid out as packs are."""
    ids = [random.Random(number).randbytes(32) for number in range(chunks)]
    packs = []
    size = per_segment * segments_per_pack
    for start in range(0, chunks, size):
        part = ids[start : start + size]
        table = np.array(
            [(one, at // per_segment, at % per_segment * MIB, MIB) for at, one in enumerate(part)], CHUNK_DTYPE
        )
        footer = Footer((Origin(bytes(16), bytes(32)),), np.zeros(segments_per_pack, SEGMENT_DTYPE), table)
        packs.append(PackedFooter(start.to_bytes(32), 1, footer))
    return ChunkIndex(packs), ids


def plan_windows(rows: list[ManifestRow], index: ChunkIndex) -> list[Window]:
    return list(cutting.plan_windows(rows, plan_content(needs_of(rows), index)))


def file(path: str, extents: Sequence[Extent]) -> ManifestRow:
    size = sum(extent.length for extent in extents)
    return ManifestRow(Entry(path.encode(), EntryKind.FILE, size=size), extents=encode_extents(extents))


def check(windows: list[Window], rows: list[ManifestRow]) -> None:
    """Everything comes once, in order, whole, and no window is above its limits."""
    seen: list[tuple[bytes, list[Extent]]] = []
    for window in windows:
        assert window.pieces
        assert len(window.pieces) <= limits.WINDOW_PIECES_MAX
        assert window.memory == len(window.segments) <= limits.WINDOW_SEGMENTS_MAX
        assert window.content_bytes < limits.WINDOW_BYTES_MAX + limits.CHUNK_BYTES_MAX
        for piece in window.pieces:
            if piece.first:
                seen.append((piece.row.entry.path, []))
            assert seen[-1][0] == piece.row.entry.path
            offset = sum(extent.length for extent in seen[-1][1])
            for part in piece.parts:
                assert part.offset == offset
                offset += part.extent.length
                if part.location is not None and part.location is not MISSING:
                    assert (part.location.pack, part.location.segment) in window.segments
            seen[-1][1].extend(part.extent for part in piece.parts)
            if piece.last:
                assert offset == piece.row.entry.size
    assert [path for path, _ in seen] == [row.entry.path for row in rows]
    assert [encode_extents(extents) for _, extents in seen] == [row.extents for row in rows]


def test_small_files_share_a_window() -> None:
    index, ids = index_of(4)
    rows = [file(f"{number:04}", [Extent(ids[number % 4], number, 1)]) for number in range(100)]
    windows = plan_windows(rows, index)
    assert len(windows) == 1
    check(windows, rows)


def test_a_file_larger_than_a_window_continues_in_the_next() -> None:
    index, ids = index_of(200)
    rows = [file("big", [Extent(one, 0, MIB) for one in ids]), file("small", [Extent(ids[0], 0, 5)])]
    windows = plan_windows(rows, index)
    assert len(windows) >= 200 // (limits.WINDOW_SEGMENTS_MAX * 4)
    check(windows, rows)
    assert sum(piece.first for window in windows for piece in window.pieces) == 2
    assert sum(piece.last for window in windows for piece in window.pieces) == 2


def test_scattered_extents_fill_a_window_by_segments() -> None:
    index, ids = index_of(400)
    chance = random.Random(3)
    rows = [file(f"{number}", [Extent(chance.choice(ids), 0, 8192) for _ in range(64)]) for number in range(9)]
    rows.sort(key=lambda row: row.entry.path)
    check(plan_windows(rows, index), rows)


def test_entries_without_content_fill_a_window_by_number() -> None:
    index, _ = index_of(1)
    count = 2 * limits.WINDOW_PIECES_MAX + 3
    rows = [ManifestRow(Entry(f"{number:06}".encode(), EntryKind.DIRECTORY)) for number in range(count)]
    windows = plan_windows(rows, index)
    assert [len(window.pieces) for window in windows] == [limits.WINDOW_PIECES_MAX] * 2 + [3]
    check(windows, rows)


def test_holes_need_no_segment() -> None:
    index, ids = index_of(1)
    rows = [file("sparse", [Extent(HOLE, 0, 1 << 45), Extent(ids[0], 0, 9), Extent(HOLE, 0, 1 << 40)])]
    windows = plan_windows(rows, index)
    assert [window.content_bytes for window in windows] == [9]
    check(windows, rows)


def test_a_chunk_that_no_pack_holds_is_missing_and_fetches_nothing() -> None:
    index, _ = index_of(1)
    rows = [file("lost", [Extent(b"x" * 32, 0, 9)])]
    (window,) = plan_windows(rows, index)
    assert window.segments == {}
    assert window.pieces[0].parts[0].location is MISSING


@pytest.mark.parametrize("rows", [[], [file("empty", [])]], ids=["nothing", "empty-file"])
def test_nothing_to_fetch(rows: list[ManifestRow]) -> None:
    check(plan_windows(rows, ChunkIndex()), rows)


def test_files_that_end_exactly_at_a_windows_limit() -> None:
    index, ids = index_of(limits.WINDOW_SEGMENTS_MAX * 8, per_segment=4)
    group = 4 * limits.WINDOW_SEGMENTS_MAX
    rows = [
        file("a", [Extent(one, 0, MIB) for one in ids[:group]]),
        file("b", [Extent(one, 0, MIB) for one in ids[group:]]),
    ]
    check(plan_windows(rows, index), rows)


def test_segments_that_are_there_fill_no_window() -> None:
    index, ids = index_of(400)
    rows = [file(f"{number:04}", [Extent(one, 0, 9)]) for number, one in enumerate(ids)]
    plan = plan_content(needs_of(rows), index)
    windows = list(cutting.plan_windows(rows, plan, lambda key, _: int(key[0] == 0)))
    assert [len(window.segments) for window in windows] == [100]
    assert [window.memory for window in windows] == [4]


def test_rows_in_another_order_than_planned_are_refused() -> None:
    """Content is let go after its last planned use, so other rows could not be given theirs."""
    index, ids = index_of(4)
    rows = [file("a", [Extent(ids[0], 0, 9)]), file("b", [Extent(ids[1], 0, 9)])]
    plan = plan_content(needs_of(rows), index)
    with pytest.raises(Bug, match="not planned"):
        list(cutting.plan_windows(rows[::-1], plan))


def test_each_window_knows_where_it_begins() -> None:
    index, ids = index_of(200)
    rows = [file("big", [Extent(one, 0, MIB) for one in ids]), file("small", [Extent(ids[0], 0, 5)])]
    windows = plan_windows(rows, index)
    position = 0
    for window in windows:
        assert window.start == position
        position += sum(len(piece.parts) for piece in window.pieces)
