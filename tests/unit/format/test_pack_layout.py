from __future__ import annotations

import struct

import numpy as np
import pytest

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format.origin import Origin
from farshore.format.pack import (
    CHUNK_DTYPE,
    HEADER_BYTES,
    SEGMENT_DTYPE,
    TAIL_BYTES,
    Footer,
    PackHeader,
    PackTail,
    body_bytes_of,
    decode_footer,
    decode_header,
    decode_tail,
    encode_footer,
    encode_header,
    encode_tail,
    footer_bytes_of,
    key_tag_of,
)
from farshore.model import Signature

ORIGIN = Origin(b"k" * 16, b"s" * 32)
HEADER = PackHeader(ORIGIN, b"t" * 16, 258)
SIGNATURE = Signature("ab" * 16, b"e" * 64)


def tail(footer_bytes: int) -> bytes:
    return encode_tail(PackTail(SIGNATURE, footer_bytes))


def footer(
    *, offset: int = HEADER_BYTES, stored: int = 100, raw: int = 90, chunk_offset: int = 40, length: int = 50
) -> Footer:
    segments = np.array([(0, 1, 0, 0, HEADER_BYTES, 100, 90), (1, 0, 0, 7, offset, stored, raw)], SEGMENT_DTYPE)
    chunks = np.array([(b"a" * 32, 0, 0, 40), (b"b" * 32, 1, chunk_offset, length)], CHUNK_DTYPE)
    return Footer((ORIGIN, Origin(b"l" * 16, b"t" * 32)), segments, chunks)


def test_the_header_has_the_bytes_of_the_format() -> None:
    data = encode_header(HEADER)
    assert data == b"FSPK\x01\0\0\0" + b"k" * 16 + b"s" * 32 + b"t" * 16 + b"\x02\x01\0\0" + bytes(4)
    assert decode_header(data + b"more") == HEADER
    assert (key_tag_of(data), body_bytes_of(data)) == (b"t" * 16, 258)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"FSPK",
        encode_header(HEADER)[:-1],
        b"FSPX" + encode_header(HEADER)[4:],
        encode_header(PackHeader(ORIGIN, b"t" * 16, 79)),
    ],
)
def test_what_is_no_pack_is_corrupt(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_header(data)
    if len(data) == HEADER_BYTES:
        assert body_bytes_of(data) == 0


def test_a_later_version_of_a_pack_is_reported() -> None:
    later = b"FSPK\x02" + encode_header(HEADER)[5:]
    with pytest.raises(FormatTooNew):
        decode_header(later)
    assert body_bytes_of(later) == 258, "so that its bytes can be hashed"


def test_the_tail_has_the_signature_and_the_length_of_the_footer() -> None:
    assert tail(258) == b"\xab" * 16 + b"e" * 64 + b"\x02\x01\0\0FSPF"
    assert decode_tail(tail(258), 1000) == PackTail(SIGNATURE, 258)
    assert decode_tail(tail(832), 1000).footer_bytes == footer_bytes_of(tail(832)) == 832


@pytest.mark.parametrize(
    ("data", "pack_bytes"),
    [
        (b"", 1000),
        (tail(5)[1:], 1000),
        (tail(5)[:-4] + b"FSPX", 1000),
        (tail(833), 1000),
        (tail(0), HEADER_BYTES + TAIL_BYTES - 1),
    ],
)
def test_a_damaged_tail_is_corrupt(data: bytes, pack_bytes: int) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_tail(data, pack_bytes)


def test_a_footer_has_the_bytes_of_the_format() -> None:
    data = encode_footer(footer())
    assert data[:2] == b"\x02\0"
    assert data[2:98] == b"k" * 16 + b"s" * 32 + b"l" * 16 + b"t" * 32
    assert struct.unpack_from("<IHBBIIII", data, 98) == (2, 0, 1, 0, 0, 80, 100, 90)
    assert struct.unpack_from("<I32sIII", data, 142) == (2, b"a" * 32, 0, 0, 40)
    assert len(data) == 146 + 88


def test_a_footer_is_read_as_it_was_written() -> None:
    written = footer()
    read = decode_footer(encode_footer(written), body_end=224)
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
        footer(offset=125),
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
        decode_footer(encode_footer(wrong), body_end=224)


def test_a_footer_names_only_what_it_lists() -> None:
    origin, segment = footer(), footer()
    origin.segments["origin"][1] = 2
    segment.chunks["segment"][1] = 2
    for wrong in (origin, segment):
        with pytest.raises(ObjectCorrupt, match="does not list"):
            decode_footer(encode_footer(wrong), body_end=224)


def test_without_the_pack_a_footer_is_held_to_the_largest_pack() -> None:
    decode_footer(encode_footer(footer(offset=limits.PACK_BYTES_MAX - 100)))
    with pytest.raises(ObjectCorrupt):
        decode_footer(encode_footer(footer(offset=limits.PACK_BYTES_MAX - 99)))
