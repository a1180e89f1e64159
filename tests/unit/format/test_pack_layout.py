from __future__ import annotations

import struct

import numpy as np
import pytest

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format.footers import decode_fragment, encode_fragment
from farshore.format.origin import Origin
from farshore.format.pack import (
    CHUNK_DTYPE,
    HEADER_BYTES,
    SEGMENT_DTYPE,
    Footer,
    decode_footer,
    decode_header,
    decode_tail,
    encode_footer,
    encode_header,
    encode_tail,
)

ORIGIN = Origin(b"k" * 16, b"s" * 32)


def footer(
    *, offset: int = HEADER_BYTES, stored: int = 100, raw: int = 90, chunk_offset: int = 40, length: int = 50
) -> Footer:
    segments = np.array([(0, 1, 0, 0, HEADER_BYTES, 100, 90), (1, 0, 0, 7, offset, stored, raw)], SEGMENT_DTYPE)
    chunks = np.array([(b"a" * 32, 0, 0, 40), (b"b" * 32, 1, chunk_offset, length)], CHUNK_DTYPE)
    return Footer((ORIGIN, Origin(b"l" * 16, b"t" * 32)), segments, chunks)


def test_the_header_has_the_bytes_of_the_format() -> None:
    assert encode_header(ORIGIN) == b"FSPK\x01\0\0\0" + b"k" * 16 + b"s" * 32
    assert decode_header(encode_header(ORIGIN) + b"more") == ORIGIN


@pytest.mark.parametrize("data", [b"", b"FSPK", encode_header(ORIGIN)[:-1], b"FSPX" + encode_header(ORIGIN)[4:]])
def test_what_is_no_pack_is_corrupt(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_header(data)


def test_a_later_version_of_a_pack_is_reported() -> None:
    with pytest.raises(FormatTooNew):
        decode_header(b"FSPK\x02" + encode_header(ORIGIN)[5:])


def test_the_tail_tells_the_length_of_the_footer() -> None:
    assert encode_tail(258) == b"\x02\x01\0\0FSPF"
    assert decode_tail(encode_tail(258), 1000) == 258
    assert decode_tail(encode_tail(936), 1000) == 936


@pytest.mark.parametrize(
    ("tail", "pack_bytes"),
    [
        (b"", 1000),
        (encode_tail(5)[1:], 1000),
        (b"\x05\0\0\0FSPX", 1000),
        (encode_tail(937), 1000),
        (encode_tail(0), 63),
    ],
)
def test_a_damaged_tail_is_corrupt(tail: bytes, pack_bytes: int) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_tail(tail, pack_bytes)


def test_a_footer_has_the_bytes_of_the_format() -> None:
    data = encode_footer(footer())
    assert data[:2] == b"\x02\0"
    assert data[2:98] == b"k" * 16 + b"s" * 32 + b"l" * 16 + b"t" * 32
    assert struct.unpack_from("<IHBBIIII", data, 98) == (2, 0, 1, 0, 0, 56, 100, 90)
    assert struct.unpack_from("<I32sIII", data, 142) == (2, b"a" * 32, 0, 0, 40)
    assert len(data) == 146 + 88


def test_a_footer_is_read_as_it_was_written() -> None:
    written = footer()
    read = decode_footer(encode_footer(written), body_end=200)
    assert read.origins == written.origins
    assert (read.segments == written.segments).all()
    assert (read.chunks == written.chunks).all()


def test_a_footer_may_hold_nothing() -> None:
    empty = Footer((), np.zeros(0, SEGMENT_DTYPE), np.zeros(0, CHUNK_DTYPE))
    assert decode_footer(encode_footer(empty)).origins == ()


def test_a_footer_cut_anywhere_or_longer_is_corrupt() -> None:
    data = encode_footer(footer())
    for length in range(len(data)):
        with pytest.raises(ObjectCorrupt):
            decode_footer(data[:length])
    with pytest.raises(ObjectCorrupt):
        decode_footer(data + b"\0")


@pytest.mark.parametrize(
    "wrong",
    [
        footer(offset=HEADER_BYTES - 1),
        footer(offset=101),
        footer(stored=145),
        footer(offset=0xFFFFFFFF, stored=0xFFFFFFFF),
        footer(raw=limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX + 1),
        footer(chunk_offset=41),
        footer(length=51),
        footer(chunk_offset=0xFFFFFFFF, length=2),
    ],
    ids=["in-header", "behind-end", "over-end", "overflow", "raw", "chunk-offset", "chunk-length", "chunk-overflow"],
)
def test_everything_a_footer_names_lies_inside(wrong: Footer) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_footer(encode_footer(wrong), body_end=200)


def test_a_footer_names_only_what_it_lists() -> None:
    origin, segment = footer(), footer()
    origin.segments["origin"][1] = 2
    segment.chunks["segment"][1] = 2
    for wrong in (origin, segment):
        with pytest.raises(ObjectCorrupt, match="does not list"):
            decode_footer(encode_footer(wrong), body_end=200)


def test_without_the_pack_a_footer_is_held_to_the_largest_pack() -> None:
    decode_footer(encode_footer(footer(offset=limits.PACK_BYTES_MAX - 100)))
    with pytest.raises(ObjectCorrupt):
        decode_footer(encode_footer(footer(offset=limits.PACK_BYTES_MAX - 99)))


def test_a_fragment_is_the_footers_of_its_packs() -> None:
    plain = encode_footer(footer())
    packs = decode_fragment(encode_fragment([(b"p" * 32, 1000, plain), (b"q" * 32, 1 << 40, plain)]))
    assert [(one.pack_id, one.pack_bytes) for one in packs] == [(b"p" * 32, 1000), (b"q" * 32, 1 << 40)]
    assert encode_footer(packs[1].footer) == plain
    assert list(decode_fragment(b"")) == []


def test_a_fragment_cut_anywhere_else_than_between_packs_is_corrupt() -> None:
    plain = encode_footer(footer())
    data = encode_fragment([(b"p" * 32, 1000, plain), (b"q" * 32, 1000, plain)])
    for length in range(1, len(data)):
        if length != len(data) // 2:
            with pytest.raises(ObjectCorrupt):
                decode_fragment(data[:length])
