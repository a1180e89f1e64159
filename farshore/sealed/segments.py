"""Segments: gather chunks, compress, seal, check; and open again. docs/reference/format.md, section 4."""

from __future__ import annotations

import struct
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import limits
from farshore.clock import Clock
from farshore.compress import compress, decompress_into, opens_to
from farshore.crypto import TAG_BYTES, associated, derive_key
from farshore.errors import Bug, ObjectCorrupt
from farshore.format.origin import SALT_BYTES, Origin
from farshore.model import ChunkId, dataclass
from farshore.page_pool import PagePool
from farshore.sealed.data_key import DataKey

SEGMENTS_PER_SALT = 65_536  # a fresh subkey after 256 GiB keeps AES-GCM far from its bounds
_NUMBER = struct.Struct(">8xI")
_BINDING = struct.Struct("<IBI")
_per_thread = threading.local()
_BUFFER_STEP_BYTES = limits.MIB // 2  # so that it grows seldom


@dataclass(frozen=True, slots=True)
class PlainSegment:
    """Chunks gathered for one segment, with the nonce they will be sealed under."""

    origin: Origin
    number: int
    raw: bytes | memoryview
    chunks: tuple[tuple[ChunkId, int, int], ...]  # id, offset, length


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A segment ready for a pack."""

    origin: Origin
    number: int
    codec: int
    raw_length: int
    sealed: bytes | memoryview
    chunks: tuple[tuple[ChunkId, int, int], ...]


class SegmentParts:
    """Chunks on their way into one segment. One thread.

    Args:
        kept_max: How many pages for a segment are kept to be used again.
        segment_bytes: Where a segment is full; at most `limits.SEGMENT_BYTES`, which readers expect.
    """

    def __init__(self, *, kept_max: int, segment_bytes: int = limits.SEGMENT_BYTES) -> None:
        self._segment_bytes = segment_bytes
        self._pool = PagePool(page_bytes=segment_bytes, kept_max=kept_max)
        self._raw = memoryview(b"")
        self._chunks: list[tuple[ChunkId, int, int]] = []
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """Whether there is none."""
        return not self._chunks

    def has_room(self, length: int) -> bool:
        """Return whether a chunk of this length still goes into the segment."""
        return self._bytes + length <= self._segment_bytes and len(self._chunks) < limits.SEGMENT_CHUNKS_MAX

    def add(self, chunk_id: ChunkId, data: bytes | memoryview) -> None:
        """Append a chunk. Its bytes are copied at once: the buffer behind a view may be several times as large."""
        end = self._bytes + len(data)
        if end > len(self._raw):
            grown = self._pool.take(max(end, self._segment_bytes))
            grown[: self._bytes] = self._raw[: self._bytes]
            self._raw = grown
        self._raw[self._bytes : end] = data
        self._chunks.append((chunk_id, self._bytes, len(data)))
        self._bytes = end

    def build(self, origin: Origin, number: int) -> PlainSegment:
        """Return the segment, and start a new one."""
        segment = PlainSegment(origin, number, self._raw[: self._bytes].toreadonly(), tuple(self._chunks))
        self._raw, self._chunks, self._bytes = memoryview(b""), [], 0
        return segment


class SegmentNumbers:
    """Hands out a fresh (origin, number) for every segment of a run, so no nonce is ever used twice. One thread."""

    def __init__(self, *, data_key: DataKey, clock: Clock) -> None:
        self._data_key = data_key
        self._clock = clock
        self._next = SEGMENTS_PER_SALT
        self._origin = Origin(data_key.key_id, b"")

    def next_number(self) -> tuple[Origin, int]:
        """Return the next origin and number."""
        if self._next == SEGMENTS_PER_SALT:
            self._origin = Origin(self._data_key.key_id, self._clock.random_bytes(SALT_BYTES))
            self._next = 0
        self._next += 1
        return self._origin, self._next - 1


def seal_segment(
    segment: PlainSegment, data_key: DataKey, repository_id: bytes, *, thorough: bool = False
) -> SealedSegment:
    """Compress and seal; then open, decompress and compare, so that bad memory or a bad library is caught here.

    Safe from many threads; nearly all of it runs with the GIL released.

    Args:
        thorough: As in `compress`.
    """
    codec, stored = compress(segment.raw, thorough=thorough)
    key = derive_key(data_key.secret, "segment", repository_id, segment.origin.salt)
    bound = _segment_binding(repository_id, segment.origin, segment.number, codec, len(segment.raw))
    sealed = AESGCM(key).encrypt(_NUMBER.pack(segment.number), stored, bound)
    del stored  # up to 4 MiB in each sealing thread that the check does not need
    result = SealedSegment(segment.origin, segment.number, codec, len(segment.raw), sealed, segment.chunks)
    if not opens_to(codec, decrypt_segment(sealed, result, data_key, repository_id), segment.raw):
        raise Bug("a sealed segment does not decode to its input", "Check this machine's memory, then run again.")
    return result


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """The fields that open a segment of a pack."""

    origin: Origin
    number: int
    codec: int
    raw_length: int


def open_segment_into(
    raw: memoryview, sealed: bytes | memoryview, ref: SegmentRef, data_key: DataKey, repository_id: bytes
) -> None:
    """Fill `raw`, which has the segment's raw length, with its plain bytes.

    Raises:
        ObjectCorrupt: The segment was altered, moved under another number, or sealed with another key.
    """
    key = derive_key(data_key.secret, "segment", repository_id, ref.origin.salt)
    bound = _segment_binding(repository_id, ref.origin, ref.number, ref.codec, ref.raw_length)
    length = max(len(sealed) - TAG_BYTES, 0)
    stored = memoryview(_buffer(length))[:length]
    try:
        AESGCM(key).decrypt_into(_NUMBER.pack(ref.number), sealed, bound, stored)
    except (InvalidTag, ValueError) as error:
        raise _unopened(ref) from error
    decompress_into(ref.codec, stored, raw)


def decrypt_segment(
    sealed: bytes | memoryview, ref: SegmentRef | SealedSegment, data_key: DataKey, repository_id: bytes
) -> bytes:
    """Return the sealed bytes still compressed, for `decompress_segment_into`. Raises as `open_segment_into`."""
    key = derive_key(data_key.secret, "segment", repository_id, ref.origin.salt)
    bound = _segment_binding(repository_id, ref.origin, ref.number, ref.codec, ref.raw_length)
    try:
        return AESGCM(key).decrypt(_NUMBER.pack(ref.number), sealed, bound)
    except (InvalidTag, ValueError) as error:
        raise _unopened(ref) from error


def decompress_segment_into(raw: memoryview, stored: bytes, ref: SegmentRef) -> None:
    """Fill `raw`, of the segment's raw length, from the bytes that `decrypt_segment` returned.

    Raises:
        ObjectCorrupt: The codec is unknown, or the bytes do not decompress to the raw length.
    """
    decompress_into(ref.codec, stored, raw)


def _buffer(length: int) -> bytearray:
    """Return at least `length` bytes, this thread's until its next call."""
    buffer: bytearray | None = getattr(_per_thread, "buffer", None)
    if buffer is None or len(buffer) < length:
        buffer = _per_thread.buffer = bytearray(-(-length // _BUFFER_STEP_BYTES) * _BUFFER_STEP_BYTES)
    return buffer


def _unopened(ref: SegmentRef | SealedSegment) -> ObjectCorrupt:
    return ObjectCorrupt(f"segment {ref.number} does not open: it was altered, or sealed with another key")


def _segment_binding(repository_id: bytes, origin: Origin, number: int, codec: int, raw_length: int) -> bytes:
    numbers = _BINDING.pack(number, codec, raw_length)
    return associated("segment", repository_id, origin.key_id, origin.salt, numbers)
