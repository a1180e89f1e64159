"""Compression of segments: zstd, or none where it gains nothing. Pure; releases the GIL.

Level 1 by default: it needs two thirds of the time of level 3 and stores up to a seventh more. Where there is time,
both are tried and the smaller one is kept; docs/reference/benchmarks.md has the figures.
A compressor is not safe to share between threads, so each thread keeps its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import zstandard

from farshore.errors import ObjectCorrupt

CODEC_NONE = 0
CODEC_ZSTD = 1
FAST_LEVEL = 1
THOROUGH_LEVEL = 3
_COMPARED_BYTES = 256 * 1024  # at once: stays in a core's own cache


class _Contexts(threading.local):
    """The compressor and decompressor of one thread."""

    def __init__(self) -> None:
        self.compressors = {level: zstandard.ZstdCompressor(level=level) for level in (FAST_LEVEL, THOROUGH_LEVEL)}
        self.decompressor = zstandard.ZstdDecompressor()


_own = _Contexts()


def compress(
    raw: bytes | bytearray | memoryview, *, thorough: bool = False
) -> tuple[int, bytes | bytearray | memoryview]:
    """Return the codec used and the bytes: zstd when it saves anything, else the input itself.

    Args:
        thorough: Spend three times as long to store less.
    """
    packed = _own.compressors[FAST_LEVEL].compress(raw)
    if thorough:
        packed = min(packed, _own.compressors[THOROUGH_LEVEL].compress(raw), key=len)
    return (CODEC_ZSTD, packed) if len(packed) < len(raw) else (CODEC_NONE, raw)


def decompress_into(codec: int, stored: bytes | memoryview, raw: memoryview) -> None:
    """Fill `raw` with exactly as many bytes as it holds; never allocates beyond them.

    Raises:
        ObjectCorrupt: The codec is unknown, or the result has another length.
    """
    if not _is_packed(codec):
        if len(stored) != len(raw):
            raise ObjectCorrupt(f"a segment has {len(stored)} bytes, not {len(raw)}")
        raw[:] = stored
        return
    filled = 0
    with _frame(stored, len(raw)), _own.decompressor.stream_reader(stored) as reader:
        while filled < len(raw) and (count := reader.readinto(raw[filled:])):
            filled += count
        more = len(reader.read(1))
    if filled + more != len(raw):
        raise ObjectCorrupt(f"a segment has not the {len(raw)} bytes that it should have")


def opens_to(codec: int, stored: bytes, raw: bytes | memoryview) -> bool:
    """Return whether these bytes give exactly `raw`. Compares piece by piece, so that nothing is held a second time.

    Raises:
        ObjectCorrupt: The codec is unknown, or the frame does not open, or declares another length.
    """
    if not _is_packed(codec):
        return len(stored) == len(raw) and stored.startswith(raw)
    room, opened = bytearray(_COMPARED_BYTES), 0
    with _frame(stored, len(raw)), _own.decompressor.stream_reader(stored) as reader:
        while count := reader.readinto(room):
            if opened + count > len(raw) or not room.startswith(raw[opened : opened + count]):
                return False
            opened += count
    return opened == len(raw)


def _is_packed(codec: int) -> bool:
    if codec not in (CODEC_NONE, CODEC_ZSTD):
        raise ObjectCorrupt(f"unknown codec {codec}")
    return codec == CODEC_ZSTD


@contextlib.contextmanager
def _frame(stored: bytes | memoryview, raw_length: int) -> Iterator[None]:
    """Open a frame inside: it declares exactly its length, and errors of zstandard become `ObjectCorrupt`."""
    try:
        declared = zstandard.frame_content_size(stored)
        if declared != raw_length:
            said = f"{declared} bytes" if declared >= 0 else "no length"
            raise ObjectCorrupt(f"a compressed frame declares {said}, not {raw_length} bytes")
        yield
    except zstandard.ZstdError as error:
        raise ObjectCorrupt(f"a compressed frame does not open: {error}") from error
