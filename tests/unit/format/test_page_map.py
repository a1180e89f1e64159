from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.page_maps import PageCursor, PageMap, PageRow, PagesWriter


def hashes(first: int, count: int) -> bytes:
    return b"".join(number.to_bytes(16) for number in range(first, first + count))


def page_map(rows: Sequence[PageRow]) -> PageMap:
    file = io.BytesIO()
    writer = PagesWriter(file)
    for row in rows:
        writer.add(row)
    writer.close()
    assert writer.rows == len(rows)
    file.seek(0)
    return PageMap(file)


ROWS = [
    PageRow(b"a", 4096, 0, hashes(0, 10)),
    PageRow(b"a", 4096, 10, hashes(10, 10)),
    PageRow(b"\xff", 8192, 0, hashes(500, 3)),
]


def test_the_rows_of_a_path_come_in_order() -> None:
    pages = page_map(ROWS)
    assert list(pages.rows(b"a")) == ROWS[:2]
    assert list(pages.rows(b"\xff")) == ROWS[2:]
    assert list(pages.rows(b"b")) == []


def test_a_cursor_reads_over_the_borders_of_rows() -> None:
    cursor = page_map(ROWS).cursor(b"a", 4096)
    assert cursor is not None
    assert cursor.read(0, 3) == hashes(0, 3)
    assert cursor.read(8, 5) == hashes(8, 5)
    assert cursor.read(13, 0) == b""
    assert cursor.read(18, 100) == hashes(18, 2)
    assert cursor.read(118, 4) == b""


def test_pages_of_another_size_are_no_help() -> None:
    pages = page_map(ROWS)
    assert pages.cursor(b"a", 8192) is None
    assert pages.cursor(b"nowhere", 4096) is None


def test_two_files_may_be_read_in_turns() -> None:
    rows = [PageRow(path, 4096, 0, hashes(seed, 40_000)) for seed, path in enumerate((b"a", b"b", b"c"))]
    pages = page_map(rows)
    first, last = pages.cursor(b"a", 4096), pages.cursor(b"c", 4096)
    assert first is not None
    assert last is not None
    for at in range(0, 40_000, 9_999):
        assert first.read(at, 2) == hashes(at, 2)
        assert last.read(at, 2) == hashes(at + 2, 2)


def test_rows_of_a_file_larger_than_a_row_group() -> None:
    count = limits.PAGES_PER_ROW_MAX
    rows = [PageRow(b"big", 4096, number * count, hashes(number * count, count)) for number in range(3)]
    cursor = page_map(rows).cursor(b"big", 4096)
    assert cursor is not None
    assert cursor.read(count - 1, 2) == hashes(count - 1, 2)
    assert cursor.read(3 * count - 1, 9) == hashes(3 * count - 1, 1)


def test_an_empty_map_knows_nothing() -> None:
    assert page_map([]).cursor(b"a", 4096) is None


def test_a_cursor_over_nothing() -> None:
    assert PageCursor(iter(())).read(0, 5) == b""
    assert PageCursor(iter([PageRow(b"a", 4096, 0, b"")])).read(0, 5) == b""


@pytest.mark.parametrize("data", [b"", b"PAR1PAR1", b"x" * 100])
def test_what_is_no_map_is_corrupt(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt):
        PageMap(io.BytesIO(data))


def test_a_damaged_row_group_is_corrupt() -> None:
    class Damaged(io.BytesIO):
        broken = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.broken:
                raise ObjectCorrupt("frame 0 is damaged")
            return super().read(size)

    whole = io.BytesIO()
    writer = PagesWriter(whole)
    writer.add(ROWS[0])
    writer.close()
    file = Damaged(whole.getvalue())
    pages = PageMap(file)
    file.broken = True
    with pytest.raises(ObjectCorrupt, match="frame 0"):
        pages.cursor(b"a", 4096)
