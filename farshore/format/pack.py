"""The layout of packs: header, segments, footer, tail. Pure; docs/reference/format.md, section 4.

Tables of segments and chunks are numpy arrays with the very layout of the bytes, so reading one is a view, not a parse.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import TRAILER_BYTES, decode_trailer, encode_trailer
from farshore.format.origin import KEY_ID_BYTES, SALT_BYTES, Origin
from farshore.model import Signature, dataclass

MAGIC = b"FSPK"
TAIL_MAGIC = b"FSPF"
VERSION = 1
HEADER_BYTES = 80
TAIL_BYTES = TRAILER_BYTES + 8

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
_HEADER = struct.Struct("<4sB3x16s32s16sI4x")
_TAIL = struct.Struct("<I4s")
_BODY_BYTES = struct.Struct("<I")
_BODY_BYTES_AT = 72
_KEY_TAG = slice(56, 72)
Table = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PackHeader:
    """A pack's first 80 bytes. `key_tag`: of the keys that seal it; `body_bytes`: where its footer begins."""

    origin: Origin
    key_tag: bytes
    body_bytes: int


@dataclass(frozen=True, slots=True)
class PackTail:
    """A pack's last 88 bytes. Its signature is not checked by reading it."""

    signature: Signature
    footer_bytes: int


@dataclass(frozen=True, slots=True)
class Footer:
    """The tables of a pack: `segments` of `SEGMENT_DTYPE`, `chunks` of `CHUNK_DTYPE`, in pack order."""

    origins: tuple[Origin, ...]
    segments: Table
    chunks: Table


def encode_header(header: PackHeader) -> bytes:
    """Return a pack's first 80 bytes."""
    origin = header.origin
    return _HEADER.pack(MAGIC, VERSION, origin.key_id, origin.salt, header.key_tag, header.body_bytes)


def decode_header(data: bytes) -> PackHeader:
    """Return what a pack's first 80 bytes say."""
    if len(data) < HEADER_BYTES:
        raise ObjectCorrupt("a pack is shorter than its header")
    magic, version, key_id, salt, key_tag, body_bytes = _HEADER.unpack(data[:HEADER_BYTES])
    if magic != MAGIC:
        raise ObjectCorrupt("an object under packs/ is not a pack")
    if version != VERSION:
        raise FormatTooNew(f"a pack has version {version}; this Farshore knows {VERSION}")
    if body_bytes < HEADER_BYTES:
        raise ObjectCorrupt("a pack's header is damaged")
    return PackHeader(Origin(key_id, salt), key_tag, body_bytes)


def encode_tail(tail: PackTail) -> bytes:
    """Return a pack's last 88 bytes."""
    return encode_trailer(tail.signature) + _TAIL.pack(tail.footer_bytes, TAIL_MAGIC)


def decode_tail(data: bytes, pack_length: int) -> PackTail:
    """Return what a pack's last 88 bytes say, the footer's length checked against the pack's."""
    if len(data) != TAIL_BYTES:
        raise ObjectCorrupt("a pack is shorter than its tail")
    length, magic = _TAIL.unpack(data[TRAILER_BYTES:])
    if magic != TAIL_MAGIC or length > pack_length - HEADER_BYTES - TAIL_BYTES:
        raise ObjectCorrupt("a pack's tail is damaged")
    return PackTail(decode_trailer(data[:TRAILER_BYTES], "a pack"), int(length))


def body_bytes_of(header: bytes) -> int:
    """Return where the footer begins by a pack's first 80 bytes, of whatever version; 0 where they are of no pack."""
    end = int(_BODY_BYTES.unpack_from(header, _BODY_BYTES_AT)[0])
    return end if header.startswith(MAGIC) and end >= HEADER_BYTES else 0


def key_tag_of(header: bytes) -> bytes:
    """Return the key tag in a pack's first 80 bytes."""
    return header[_KEY_TAG]


def footer_bytes_of(tail: bytes) -> int:
    """Return the length of the sealed footer by a pack's last 88 bytes, of whatever version; -1 where they are none."""
    length, magic = _TAIL.unpack_from(tail, TRAILER_BYTES)
    return int(length) if magic == TAIL_MAGIC else -1


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
