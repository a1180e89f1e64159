from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from farshore.errors import Bug, ObjectCorrupt
from farshore.format.page_maps import SLOT_PAGES, PageCursor, PageMap, PageRow, PagesWriter, absent


def hashes(first: int, count: int) -> bytes:
    return b"".join(number.to_bytes(16) for number in range(first, first + count))


def full(path: bytes, slot: int, first: int, count: int, page_bytes: int = 4096) -> PageRow:
    return PageRow(path, slot, page_bytes, whole=True, positions=b"", hashes=hashes(first, count))


def run_of(rows: Sequence[PageRow]) -> io.BytesIO:
    file = io.BytesIO()
    writer = PagesWriter(file)
    for row in rows:
        writer.add(row)
    writer.close()
    assert (writer.rows, writer.pages) == (len(rows), sum(row.pages for row in rows))
    return file


ROWS = [
    full(b"a", 0, 0, SLOT_PAGES),
    full(b"a", 1, SLOT_PAGES, 10),
    full(b"a", 3, 9_000, 10),
    full(b"\xff", 0, 500, 3, 8192),
]


def test_the_rows_of_a_path_are_in_order() -> None:
    pages = PageMap(run_of(ROWS))
    assert list(pages.rows(b"a")) == ROWS[:3]
    assert list(pages.rows(b"\xff")) == ROWS[3:]
    assert list(pages.rows(b"b")) == []
    assert pages.paths() == {b"a", b"\xff"}


def test_a_cursor_reads_over_the_borders_of_slots() -> None:
    cursor = PageMap(run_of(ROWS)).cursor(b"a", 4096)
    assert cursor is not None
    assert cursor.read(0, 3) == hashes(0, 3)
    assert cursor.read(SLOT_PAGES - 2, 5) == hashes(SLOT_PAGES - 2, 5)
    assert cursor.read(SLOT_PAGES + 5, 0) == b""
    assert cursor.read(SLOT_PAGES + 8, 100) == hashes(SLOT_PAGES + 8, 2)
    assert cursor.read(2 * SLOT_PAGES, 4) == b""
    assert cursor.read(3 * SLOT_PAGES + 1, 2) == hashes(9_001, 2)
    assert cursor.read(9 * SLOT_PAGES, 4) == b""


def test_pages_of_another_size_are_no_help() -> None:
    pages = PageMap(run_of(ROWS))
    assert pages.cursor(b"a", 8192) is None
    assert pages.cursor(b"nowhere", 4096) is None


def test_two_files_may_be_read_in_turns() -> None:
    paths = (b"a", b"b", b"c")
    rows = [full(path, slot, slot * SLOT_PAGES, SLOT_PAGES) for path in paths for slot in range(10)]
    pages = PageMap(run_of(rows))
    first, last = pages.cursor(b"a", 4096), pages.cursor(b"c", 4096)
    assert first is not None
    assert last is not None
    for at in range(0, 40_000, 9_999):
        assert first.read(at, 2) == hashes(at, 2)
        assert last.read(at, 2) == hashes(at, 2)


def test_a_map_without_runs_and_one_without_rows_know_nothing() -> None:
    for pages in (PageMap(), PageMap(run_of([]))):
        assert pages.cursor(b"a", 4096) is None
        assert pages.paths() == set()
    assert PageCursor(iter(())).read(0, 5) == b""


def test_rows_out_of_order_are_not_written_and_not_read() -> None:
    for rows in ([full(b"b", 0, 0, 1), full(b"a", 0, 0, 1)], [full(b"a", 0, 0, 1)] * 2):
        with pytest.raises(Bug, match="out of order"):
            run_of(rows)
    file = run_of([full(b"a", 0, 0, 1), full(b"b", 0, 0, 1), full(b"c", 0, 0, 1)])
    pages = PageMap(file)
    held = list(pages._runs[0]._block(0))  # noqa: SLF001 - a block that no writer makes
    pages._runs[0]._held = (0, [held[1], held[0], held[2]])  # noqa: SLF001
    with pytest.raises(ObjectCorrupt, match="out of order"):
        list(pages.merged(all_runs=True))


def test_the_newest_run_says_what_is_gone() -> None:
    changed = PageRow(b"a", 0, 4096, whole=False, positions=b"\2\0", hashes=hashes(77, 1), gone=b"\0\0\1\0")
    pages = PageMap(run_of(ROWS), run_of([changed, absent(b"a", 1), absent(b"a", 3), absent(b"\xff", 0)]))
    (row,) = pages.rows(b"a")
    assert row.pages == SLOT_PAGES - 2
    cursor = pages.cursor(b"a", 4096)
    assert cursor is not None
    assert cursor.read(0, 5) == b""
    assert cursor.read(2, 2) == hashes(77, 1) + hashes(3, 1)
    assert cursor.read(SLOT_PAGES, 5) == b""
    assert list(pages.rows(b"\xff")) == []


def test_changes_cost_their_pages() -> None:
    """A thousand scattered pages of a file of sixteen million cost less than 60 bytes each."""
    rows = [
        PageRow(b"disk.img", slot, 4096, whole=False, positions=b"\7\0", hashes=bytes([slot % 251]) * 16)
        for slot in range(0, 4000, 4)
    ]
    assert len(run_of(rows).getvalue()) < 1_000 * 60
    assert len(run_of(rows[:1]).getvalue()) < 2_500


@pytest.mark.parametrize("data", [b"", b"PAR1PAR1", b"x" * 100])
def test_what_is_no_map_is_corrupt(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match="a page map"):
        PageMap(io.BytesIO(data))
