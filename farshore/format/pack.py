"""The layout of packs: header, segments, footer, tail. Pure; docs/reference/format.md, section 4.

Tables of segments and chunks are numpy arrays with the very layout of the bytes, so reading one is a view, not a parse.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format.origin import KEY_ID_BYTES, SALT_BYTES, Origin

MAGIC = b"FSPK"
TAIL_MAGIC = b"FSPF"
VERSION = 1
HEADER_BYTES = 56
TAIL_BYTES = 8

SEGMENT_DTYPE = np.dtype(
    [
        ("origin", "<u2"),
        ("codec", "u1"),
        ("zero", "u1"),
        ("number", "<u4"),
        ("offset", "<u4"),
        ("stored", "<u4"),
        ("raw", "<u4"),
    ]
)
CHUNK_DTYPE = np.dtype([("id", "V32"), ("segment", "<u4"), ("offset", "<u4"), ("length", "<u4")])
_HEADER = struct.Struct("<4sB3x16s32s")
_TAIL = struct.Struct("<I4s")
Table = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Footer:
    """The tables of a pack: `segments` of `SEGMENT_DTYPE`, `chunks` of `CHUNK_DTYPE`, in pack order."""

    origins: tuple[Origin, ...]
    segments: Table
    chunks: Table


def encode_header(origin: Origin) -> bytes:
    """Return a pack's first 56 bytes."""
    return _HEADER.pack(MAGIC, VERSION, origin.key_id, origin.salt)


def decode_header(data: bytes) -> Origin:
    """Return the origin named by a pack's first 56 bytes."""
    if len(data) < HEADER_BYTES:
        raise ObjectCorrupt("a pack is shorter than its header")
    magic, version, key_id, salt = _HEADER.unpack(data[:HEADER_BYTES])
    if magic != MAGIC:
        raise ObjectCorrupt("an object under packs/ is not a pack")
    if version != VERSION:
        raise FormatTooNew(f"a pack has version {version}; this Farshore knows {VERSION}")
    return Origin(key_id, salt)


def encode_tail(footer_length: int) -> bytes:
    """Return a pack's last 8 bytes."""
    return _TAIL.pack(footer_length, TAIL_MAGIC)


def decode_tail(data: bytes, pack_length: int) -> int:
    """Return the length of the sealed footer, checked against the pack's length."""
    if len(data) != TAIL_BYTES:
        raise ObjectCorrupt("a pack is shorter than its tail")
    length, magic = _TAIL.unpack(data)
    if magic != TAIL_MAGIC or length > pack_length - HEADER_BYTES - TAIL_BYTES:
        raise ObjectCorrupt("a pack's tail is damaged")
    return int(length)


def encode_footer(footer: Footer) -> bytes:
    """Return the plain footer."""
    origins = b"".join(origin.key_id + origin.salt for origin in footer.origins)
    return b"".join(
        (
            struct.pack("<H", len(footer.origins)),
            origins,
            struct.pack("<I", len(footer.segments)),
            footer.segments.tobytes(),
            struct.pack("<I", len(footer.chunks)),
            footer.chunks.tobytes(),
        )
    )


def decode_footer(data: bytes | memoryview, body_end: int | None = None) -> Footer:
    """Return the footer as views over `data`, with every reference checked.

    Args:
        data: The plain footer.
        body_end: Offset in the pack where segments end; when given, each segment must end before it.
    """
    view = memoryview(data)
    try:
        (origin_count,) = struct.unpack_from("<H", view, 0)
        at = 2
        size = KEY_ID_BYTES + SALT_BYTES
        raw_origins = bytes(view[at : at + origin_count * size])
        at += origin_count * size
        (segment_count,) = struct.unpack_from("<I", view, at)
        at += 4
        segments = np.frombuffer(view, SEGMENT_DTYPE, segment_count, at)
        at += segment_count * SEGMENT_DTYPE.itemsize
        (chunk_count,) = struct.unpack_from("<I", view, at)
        at += 4
        chunks = np.frombuffer(view, CHUNK_DTYPE, chunk_count, at)
        at += chunk_count * CHUNK_DTYPE.itemsize
    except (struct.error, ValueError) as error:
        raise ObjectCorrupt("a pack's footer is cut short") from error
    if at != len(view) or len(raw_origins) != origin_count * size:
        raise ObjectCorrupt("a pack's footer has the wrong length")
    origins = tuple(
        Origin(raw_origins[i : i + KEY_ID_BYTES], raw_origins[i + KEY_ID_BYTES : i + size])
        for i in range(0, len(raw_origins), size)
    )
    _check(origins, segments, chunks, body_end)
    return Footer(origins, segments, chunks)


def _check(origins: tuple[Origin, ...], segments: Table, chunks: Table, body_end: int | None) -> None:
    if len(segments) and int(segments["origin"].max()) >= len(origins):
        raise ObjectCorrupt("a pack's footer names an origin it does not list")
    if len(segments):
        ends = segments["offset"].astype(np.int64) + segments["stored"]
        limit = limits.PACK_BYTES_MAX if body_end is None else body_end
        raw_max = limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX
        if (
            int(ends.max()) > limit
            or int(segments["offset"].min()) < HEADER_BYTES
            or int(segments["raw"].max()) > raw_max
        ):
            raise ObjectCorrupt("a pack's footer names a segment outside the pack")
    if len(chunks):
        if int(chunks["segment"].max()) >= len(segments):
            raise ObjectCorrupt("a pack's footer names a segment it does not list")
        ends = chunks["offset"].astype(np.int64) + chunks["length"]
        if (ends > segments["raw"][chunks["segment"]]).any():
            raise ObjectCorrupt("a pack's footer names a chunk outside its segment")


@dataclass(frozen=True, slots=True)
class PackedFooter:
    """One pack of an index fragment."""

    pack_id: bytes
    pack_bytes: int
    footer: Footer
