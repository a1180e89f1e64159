from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import SourceCorrupt
from farshore.sources.postgres.wal import WalCheck, WalGeometry, WalRange, decode_lsn

PAGE = 8192
SEGMENT = 4 * PAGE
SYSTEM = 7391234567890123456
GEOMETRY = WalGeometry(segment_bytes=SEGMENT, page_bytes=PAGE, system_identifier=SYSTEM)


def record(order: str, size: int, manager: int, kind: int) -> bytes:
    head = struct.pack(order + "IIQBB2xI", size, 0, 0, kind, manager, 0)
    return (head + b"\x55" * (size - len(head))).ljust(-(-size // 8) * 8, b"\0")


def segment(number: int, order: str = "<", system: int = SYSTEM, pages: int = 4, switch: str = "") -> bytes:
    """A segment as PostgreSQL lays it out, of which `pages` have been written.

    `switch` says how the log left it: not at all, by a record on the last written page (`record`), or by one that began
    on the page before it (`split`).
    """
    data = b""
    for page in range(pages):
        address = number * SEGMENT + page * PAGE
        last = page == pages - 1
        split = last and switch == "split"
        head = struct.pack(order + "HHIQI4x", 0xD118, (0 if page else 2) | split, 1, address, 8 if split else 0)
        if page == 0:
            head += struct.pack(order + "QII", system, SEGMENT, PAGE)
        if split:
            body = bytes(8)
        elif last and switch:
            body = record(order, 100, 10, 0) + record(order, 24, 0, 0x40)
        elif last and pages < 4:
            body = record(order, 100, 10, 0) + record(order, 114, 0, 0x10)
        else:
            body = b"\x55" * (PAGE - len(head))
        data += (head + body).ljust(PAGE, b"\0")
    return data + bytes(SEGMENT - len(data))


def check(segments: dict[tuple[int, int], bytes], ranges: list[WalRange], step: int = 1000) -> None:
    wal = WalCheck(GEOMETRY)
    for (timeline, number), data in segments.items():
        path = f"pg_wal/{GEOMETRY.segment_name(timeline, number)}".encode()
        reader = wal.reader(path)
        assert reader is not None
        for start in range(0, len(data), step):
            reader.update(data[start : start + step])
        wal.add(path, len(data), reader)
    wal.check(ranges)


def one_range(start: int, end: int, timeline: int = 1) -> list[WalRange]:
    return [WalRange(timeline=timeline, start=start, end=end)]


@pytest.mark.parametrize(("text", "value"), [("0/2000028", 0x2000028), ("16/B374D848", 0x16B374D848), ("0/0", 0)])
def test_positions(text: str, value: int) -> None:
    assert decode_lsn(text) == value


@pytest.mark.parametrize("text", ["", "0", "0/", "x/1", "0/123456789", "0/1 "])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(SourceCorrupt):
        decode_lsn(text)


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**40), st.sampled_from([2**20, 2**24, 2**30]))
def test_segment_names_come_back(timeline: int, number: int, segment_bytes: int) -> None:
    geometry = WalGeometry(segment_bytes=segment_bytes, page_bytes=PAGE, system_identifier=SYSTEM)
    number %= 2**32 * ((1 << 32) // segment_bytes)
    name = geometry.segment_name(timeline, number)
    assert len(name) == 24
    assert geometry.segment_of(f"pg_wal/{name}".encode()) == (timeline, number)


def test_names_of_a_real_server() -> None:
    geometry = WalGeometry(segment_bytes=2**24, page_bytes=PAGE, system_identifier=SYSTEM)
    assert geometry.segment_name(1, 0x16B374D848 // 2**24) == "0000000100000016000000B3"
    for other in (b"pg_wal/00000002.history", b"pg_wal/archive_status/000000010000000000000001.done", b"base/1/1"):
        assert geometry.segment_of(other) is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("step", [1, 40, 1000, PAGE, SEGMENT])
def test_whole_segments_pass_in_any_pieces(order: str, step: int) -> None:
    start, end = 7 * SEGMENT + 40, 9 * SEGMENT + PAGE + 100
    check({(1, n): segment(n, order) for n in (7, 8, 9)}, one_range(start, end), step)


def test_end_at_a_border_needs_no_further_segment() -> None:
    check({(1, 7): segment(7)}, one_range(7 * SEGMENT + 40, 8 * SEGMENT))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("pages", "switch"), [(1, "record"), (3, "record"), (2, "split")])
@pytest.mark.parametrize("step", [1000, PAGE, SEGMENT])
def test_segment_left_early_is_zeros_behind_the_switch(order: str, pages: int, switch: str, step: int) -> None:
    left = segment(7, order, pages=pages, switch=switch)
    check({(1, 7): left, (1, 8): segment(8, order, pages=1)}, one_range(7 * SEGMENT + 40, 8 * SEGMENT + 200), step)
    check({(1, 7): left}, one_range(7 * SEGMENT + 40, 8 * SEGMENT), step)  # a standby stops at the border


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_segment_of_zeros_without_a_switch_was_cut(pages: int) -> None:
    for end in (8 * SEGMENT, 8 * SEGMENT + 200):
        with pytest.raises(SourceCorrupt, match="incomplete"):
            check({(1, 7): segment(7, pages=pages), (1, 8): segment(8)}, one_range(7 * SEGMENT + 40, end))


def test_nothing_is_expected_behind_a_switch_in_the_same_segment() -> None:
    with pytest.raises(SourceCorrupt, match="incomplete"):
        check({(1, 7): segment(7, pages=1, switch="record")}, one_range(7 * SEGMENT + 40, 7 * SEGMENT + PAGE + 300))


def test_last_segment_of_a_timeline_may_come_from_the_next() -> None:
    ranges = [
        WalRange(timeline=2, start=8 * SEGMENT + 100, end=9 * SEGMENT + 100),
        WalRange(timeline=1, start=7 * SEGMENT + 40, end=8 * SEGMENT + 100),
    ]
    check({(1, 7): segment(7), (2, 8): segment(8), (2, 9): segment(9)}, ranges)


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (8, None),
        (8, segment(8)[:-512]),
        (8, bytes(SEGMENT)),
        (8, segment(6)),
        (8, segment(8, system=SYSTEM + 1)),
        (9, None),
        (9, segment(9, pages=1)),
        (9, segment(9)[:PAGE] + segment(8)[PAGE:]),
        (7, None),
    ],
    ids=["missing", "short", "zeros", "recycled", "stranger", "no end", "cut before the end", "mixed", "no start"],
)
def test_damage_is_found(number: int, data: bytes | None) -> None:
    segments = {(1, n): segment(n) for n in (7, 8, 9)}
    del segments[1, number]
    if data is not None:
        segments[1, number] = data
    with pytest.raises(SourceCorrupt, match=GEOMETRY.segment_name(1, number)):
        check(segments, one_range(7 * SEGMENT + 40, 9 * SEGMENT + PAGE + 100))


@pytest.mark.parametrize("ranges", [[], one_range(100, 100), one_range(200, 100)])
def test_no_range_is_no_backup(ranges: list[WalRange]) -> None:
    with pytest.raises(SourceCorrupt):
        check({(1, 0): segment(0)}, ranges)
