"""Segments and packs, whole: compress, seal, check, lay out; and back. docs/format.md, section 4."""

from __future__ import annotations

import contextlib
import mmap
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import limits
from farshore.clock import Clock
from farshore.compress import compress, decompress, decompress_into
from farshore.crypto.derive import TAG_BYTES, ZERO_NONCE, associated, derive_key
from farshore.errors import Bug, ObjectCorrupt
from farshore.format import pack as layout
from farshore.model import ChunkId
from farshore.repository.keys import DataKey, KeySet

SEGMENTS_PER_SALT = 65_536  # a fresh subkey after 256 GiB keeps AES-GCM far from its bounds
_NUMBER = struct.Struct(">8xI")
_BINDING = struct.Struct("<IBI")
_LARGE_PAGE_BYTES = 2 * limits.MIB
_per_thread = threading.local()


@dataclass(frozen=True, slots=True)
class PlainSegment:
    """Chunks gathered for one segment, with the nonce they will be sealed under."""

    origin: layout.Origin
    number: int
    raw: bytes
    chunks: tuple[tuple[ChunkId, int, int], ...]  # id, offset, length


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A segment ready for a pack."""

    origin: layout.Origin
    number: int
    codec: int
    raw_length: int
    sealed: bytes
    chunks: tuple[tuple[ChunkId, int, int], ...]


@dataclass(frozen=True, slots=True)
class SealedPack:
    """A pack ready to leave: its id is the hash of its bytes."""

    pack_id: bytes
    body: memoryview  # of pages of its own, which go back to the system when the last replica has it
    footer: bytes  # plain, for index fragments


class SegmentNumbers:
    """Hands out a fresh (origin, number) for every segment of a run, so no nonce is ever used twice. One thread."""

    def __init__(self, *, data_key: DataKey, clock: Clock) -> None:
        self._data_key = data_key
        self._clock = clock
        self._next = SEGMENTS_PER_SALT
        self._origin = layout.Origin(data_key.key_id, b"")

    def take(self) -> tuple[layout.Origin, int]:
        """Return the next origin and number."""
        if self._next == SEGMENTS_PER_SALT:
            self._origin = layout.Origin(self._data_key.key_id, self._clock.random_bytes(layout.SALT_BYTES))
            self._next = 0
        self._next += 1
        return self._origin, self._next - 1


def seal_segment(
    segment: PlainSegment, data_key: DataKey, repository_id: bytes, *, thorough: bool = False
) -> SealedSegment:
    """Compress and seal; then open, decompress and compare, so that bad memory or a bad library is caught here.

    Safe from many threads; nearly all of it runs with the GIL released. `thorough` as in `compress`.
    """
    codec, stored = compress(segment.raw, thorough=thorough)
    key = derive_key(data_key.secret, "segment", repository_id, segment.origin.salt)
    bound = _segment_binding(repository_id, segment.origin, segment.number, codec, len(segment.raw))
    sealed = AESGCM(key).encrypt(_NUMBER.pack(segment.number), stored, bound)
    del stored  # up to 4 MiB in each sealing thread that the check does not need
    result = SealedSegment(segment.origin, segment.number, codec, len(segment.raw), sealed, segment.chunks)
    if open_segment(result.sealed, result, data_key, repository_id) != segment.raw:
        raise Bug("a sealed segment does not decode to its input", "Check this machine's memory, then run again.")
    return result


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """What is needed to open a segment that lies in a pack."""

    origin: layout.Origin
    number: int
    codec: int
    raw_length: int


def open_segment(
    sealed: bytes | memoryview, ref: SegmentRef | SealedSegment, data_key: DataKey, repository_id: bytes
) -> bytes:
    """Return the plain bytes of a segment.

    Raises:
        ObjectCorrupt: It was altered, moved under another number, or sealed with another key.
    """
    key = derive_key(data_key.secret, "segment", repository_id, ref.origin.salt)
    bound = _segment_binding(repository_id, ref.origin, ref.number, ref.codec, ref.raw_length)
    try:
        stored = AESGCM(key).decrypt(_NUMBER.pack(ref.number), sealed, bound)
    except (InvalidTag, ValueError) as error:
        raise _unopened(ref) from error
    return decompress(ref.codec, stored, ref.raw_length)


def open_segment_into(
    raw: memoryview, sealed: bytes | memoryview, ref: SegmentRef, data_key: DataKey, repository_id: bytes
) -> None:
    """Fill `raw`, which has the segment's raw length, with its plain bytes. Raises as `open_segment`."""
    key = derive_key(data_key.secret, "segment", repository_id, ref.origin.salt)
    bound = _segment_binding(repository_id, ref.origin, ref.number, ref.codec, ref.raw_length)
    stored = _opened(max(len(sealed) - TAG_BYTES, 0))
    try:
        AESGCM(key).decrypt_into(_NUMBER.pack(ref.number), sealed, bound, stored)
    except (InvalidTag, ValueError) as error:
        raise _unopened(ref) from error
    decompress_into(ref.codec, stored, raw)


def make_pages(length: int) -> memoryview:
    """Return memory of its own for the plain bytes of a segment.

    Segments come by the thousand, from many threads, and are let go in another order: on the heap they would leave
    holes worth more than themselves. Pages go back at once, and large pages cost next to nothing to get.
    """
    pages = mmap.mmap(-1, max(length, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if length >= _LARGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without large pages
            pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)[:length]


def _opened(length: int) -> memoryview:
    """Return memory for an opened segment: this thread's, until it opens the next."""
    buffer = getattr(_per_thread, "opened", None)
    if buffer is None or len(buffer) < length:
        buffer = _per_thread.opened = bytearray(max(length, limits.SEGMENT_BYTES))
    return memoryview(buffer)[:length]


def _unopened(ref: SegmentRef | SealedSegment) -> ObjectCorrupt:
    return ObjectCorrupt(f"segment {ref.number} does not open: it was altered, or sealed with another key")


class PackBuilder:
    """Collects sealed segments until a pack is full. One thread."""

    def __init__(self, *, keys: KeySet, key_id: bytes, clock: Clock) -> None:
        self._keys = keys
        self._key_id = key_id
        self._clock = clock
        self._segments: list[SealedSegment] = []
        self._bytes = layout.HEADER_BYTES

    @property
    def full(self) -> bool:
        """Whether the pack has reached its target size."""
        return self._bytes >= limits.PACK_BYTES_TARGET

    @property
    def empty(self) -> bool:
        """Whether nothing was added since the last pack."""
        return not self._segments

    def add(self, segment: SealedSegment) -> None:
        """Append a segment."""
        self._segments.append(segment)
        rows = layout.SEGMENT_DTYPE.itemsize + layout.CHUNK_DTYPE.itemsize * len(segment.chunks)
        self._bytes += len(segment.sealed) + rows  # of millions of tiny files the footer is the larger part

    def build(self) -> SealedPack:
        """Return the pack, its footer opened again and compared, and start a new one."""
        header_origin = layout.Origin(self._key_id, self._clock.random_bytes(layout.SALT_BYTES))
        header = layout.encode_header(header_origin)
        footer = layout.encode_footer(_footer_of(self._segments))
        sealed_footer = _footer_aead(self._keys, header_origin).encrypt(
            ZERO_NONCE, footer, associated("footer", self._keys.repository_id, header)
        )
        parts = [header, *(segment.sealed for segment in self._segments), sealed_footer]
        self._segments = []
        body = _join_pages([*parts, layout.encode_tail(len(sealed_footer))])
        if open_footer(self._keys, bytes(body[: layout.HEADER_BYTES]), sealed_footer) != footer:
            raise Bug("a sealed footer does not decode to its input", "Check this machine's memory, then run again.")
        layout.decode_footer(footer, len(body) - len(sealed_footer) - layout.TAIL_BYTES)
        self._bytes = layout.HEADER_BYTES
        return SealedPack(blake3(body).digest(), body, footer)


def _join_pages(parts: list[bytes]) -> memoryview:
    """Return the parts end to end in pages of their own; each part is let go as soon as it is copied."""
    body = make_pages(sum(len(part) for part in parts))
    at = len(body)
    while parts:
        part = parts.pop()
        body[at - len(part) : at] = part
        at -= len(part)
    return body


def open_footer(keys: KeySet, header: bytes, sealed_footer: bytes) -> bytes:
    """Return the plain footer of a pack from its header and its sealed footer.

    Raises:
        ObjectCorrupt: It was altered, or belongs to another repository.
    """
    origin = layout.decode_header(header)
    try:
        bound = associated("footer", keys.repository_id, header)
        return _footer_aead(keys, origin).decrypt(ZERO_NONCE, sealed_footer, bound)
    except (InvalidTag, ValueError) as error:
        raise ObjectCorrupt(
            "a pack's footer does not open: it was altered, or belongs to another repository"
        ) from error


def _footer_aead(keys: KeySet, origin: layout.Origin) -> AESGCM:
    return AESGCM(derive_key(keys.index_key, "footer", keys.repository_id, origin.salt))


def _footer_of(segments: Sequence[SealedSegment]) -> layout.Footer:
    origins = tuple(dict.fromkeys(segment.origin for segment in segments))
    numbers = {origin: index for index, origin in enumerate(origins)}
    table = np.zeros(len(segments), layout.SEGMENT_DTYPE)
    placed = [chunk for segment in segments for chunk in segment.chunks]
    chunks = np.zeros(len(placed), layout.CHUNK_DTYPE)
    chunks["id"] = np.frombuffer(b"".join([chunk_id for chunk_id, _, _ in placed]), chunks.dtype["id"])
    chunks["segment"] = np.repeat(np.arange(len(segments)), [len(segment.chunks) for segment in segments])
    chunks["offset"] = [start for _, start, _ in placed]
    chunks["length"] = [length for _, _, length in placed]
    offset = layout.HEADER_BYTES
    for index, segment in enumerate(segments):
        stored = len(segment.sealed)
        table[index] = (
            numbers[segment.origin], segment.codec, 0, segment.number, offset, stored, segment.raw_length,
        )  # fmt: skip
        offset += stored
    return layout.Footer(origins, table, chunks)


def _segment_binding(repository_id: bytes, origin: layout.Origin, number: int, codec: int, raw_length: int) -> bytes:
    numbers = _BINDING.pack(number, codec, raw_length)
    return associated("segment", repository_id, origin.key_id, origin.salt, numbers)
