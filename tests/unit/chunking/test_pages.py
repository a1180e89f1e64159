from __future__ import annotations

from blake3 import blake3

from farshore.chunking.page_hashes import hash_pages
from farshore.chunking.pages import ExtentCursor, append_extent, changed_runs
from farshore.model import HOLE, Extent

KEY = bytes(range(32))
A, B = b"a" * 32, b"b" * 32


def hashes(*pages: str) -> bytes:
    return b"".join(page.encode().ljust(16, b".") for page in pages)


def test_a_page_hash_is_the_start_of_its_keyed_hash() -> None:
    data = b"first page.." + b"second"
    expected = blake3(b"first page..", key=KEY).digest(16) + blake3(b"second", key=KEY).digest(16)
    assert hash_pages(data, 12, KEY) == expected
    assert hash_pages(b"", 12, KEY) == b""
    assert hash_pages(data, 12, KEY[::-1]) != expected


def test_a_short_last_page_is_not_the_page_filled_up() -> None:
    assert hash_pages(b"ab", 4, KEY) != hash_pages(b"ab\0\0", 4, KEY)


def test_runs_cover_all_pages_and_tell_what_changed() -> None:
    assert changed_runs(hashes("1", "2", "3", "4"), hashes("1", "x", "y", "4")) == [
        (0, 1, False), (1, 3, True), (3, 4, False)
    ]  # fmt: skip
    assert changed_runs(hashes("1", "2"), hashes("1", "2")) == [(0, 2, False)]
    assert changed_runs(b"", hashes("1")) == [(0, 1, True)]
    assert changed_runs(b"", b"") == []


def test_a_file_that_grew_or_shrank() -> None:
    assert changed_runs(hashes("1"), hashes("1", "2", "3")) == [(0, 1, False), (1, 3, True)]
    assert changed_runs(hashes("1", "2", "3"), hashes("1", "2")) == [(0, 2, False)]
    assert changed_runs(hashes("1", "2", "3"), hashes("1", "x")) == [(0, 1, False), (1, 2, True)]


def test_a_cursor_reads_ranges_out_of_extents() -> None:
    cursor = ExtentCursor([Extent(A, 100, 10), Extent(HOLE, 0, 20), Extent(B, 5, 10)])
    assert cursor.read(0, 4) == [Extent(A, 100, 4)]
    assert cursor.read(6, 15) == [Extent(A, 106, 4), Extent(HOLE, 0, 5)]
    assert cursor.read(15, 15) == []
    assert cursor.read(28, 35) == [Extent(HOLE, 0, 2), Extent(B, 5, 5)]
    assert cursor.read(38, 50) == [Extent(B, 13, 2)]
    assert cursor.read(50, 60) == []


def test_a_cursor_skips_whole_extents() -> None:
    cursor = ExtentCursor([Extent(A, 0, 10), Extent(B, 0, 10), Extent(A, 10, 10)])
    assert cursor.read(25, 30) == [Extent(A, 15, 5)]


def test_extents_that_continue_are_joined() -> None:
    extents: list[Extent] = []
    for extent in (
        Extent(A, 0, 10), Extent(A, 10, 5), Extent(A, 16, 1), Extent(B, 17, 1),
        Extent(HOLE, 0, 8), Extent(HOLE, 0, 8), Extent(B, 18, 1),
    ):  # fmt: skip
        append_extent(extents, extent)
    assert extents == [Extent(A, 0, 15), Extent(A, 16, 1), Extent(B, 17, 1), Extent(HOLE, 0, 16), Extent(B, 18, 1)]
