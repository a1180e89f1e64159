"""Packs, whole: lay segments out, seal the footer, check; and back. docs/reference/format.md, section 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import limits
from farshore.clock import Clock
from farshore.crypto import ZERO_NONCE, associated, derive_key
from farshore.errors import Bug, ObjectCorrupt
from farshore.format import pack as layout
from farshore.format.fragments import FragmentEntry
from farshore.format.origin import SALT_BYTES, Origin
from farshore.format.pack import PackHeader, PackTail
from farshore.format.pack_id import signed_digest
from farshore.model import ChunkId, Signature, dataclass
from farshore.page_pool import PagePool, give_back_tail
from farshore.sealed import KeySet
from farshore.sealed.segments import SealedSegment
from farshore.signing import SignedKind, sign

SUBJECT = "packs/"  # what the signature of a pack names, because its own name follows from its bytes

# Of a pack under construction, beyond the target: the last segment and a large footer. Unused pages cost nothing.
_SPARE_BYTES = 2 * limits.SEGMENT_BYTES + limits.FRAGMENT_FOOTERS_BYTES


@dataclass(frozen=True, slots=True)
class SealedPack:
    """A pack ready to leave. `entry`: its part of an index fragment; the id follows from that."""

    pack_id: bytes
    body: memoryview  # in pages that are used for another pack once the last replica has this one
    entry: FragmentEntry


@dataclass(frozen=True, slots=True)
class _Placed:
    """A segment of the pack, as its footer records it."""

    origin: Origin
    number: int
    codec: int
    raw_length: int
    offset: int
    stored: int
    chunks: tuple[tuple[ChunkId, int, int], ...]


class PackBuilder:
    """Lays sealed segments into a pack until it is full, which it is from `pack_bytes` on. One thread."""

    def __init__(
        self, *, keys: KeySet, key_id: bytes, clock: Clock, pack_bytes: int = limits.PACK_BYTES_TARGET
    ) -> None:
        self._pack_bytes = pack_bytes
        self._keys = keys
        self._key_id = key_id
        self._clock = clock
        self._pool = PagePool(page_bytes=pack_bytes + _SPARE_BYTES, kept_max=limits.PACK_PAGES_KEPT)
        self._placed: list[_Placed] = []
        self._body = memoryview(b"")
        self._end = layout.HEADER_BYTES
        self._rows_bytes = 0

    @property
    def full(self) -> bool:
        """Whether the pack has reached its target size."""
        return self._end + self._rows_bytes >= self._pack_bytes

    @property
    def empty(self) -> bool:
        """Whether nothing was added since the last pack."""
        return not self._placed

    def add(self, segment: SealedSegment) -> None:
        """Append a segment: its bytes are copied into the pack's pages, which hold them from here on."""
        end = self._end + len(segment.sealed)
        if end > len(self._body):
            self._move(max(end, self._pack_bytes + _SPARE_BYTES))
        self._body[self._end : end] = segment.sealed
        self._placed.append(_Placed(segment.origin, segment.number, segment.codec, segment.raw_length,
                                    self._end, len(segment.sealed), segment.chunks))  # fmt: skip
        self._end = end
        # Of millions of tiny files the footer is the larger part.
        self._rows_bytes += layout.SEGMENT_DTYPE.itemsize + layout.CHUNK_DTYPE.itemsize * len(segment.chunks)

    def build(self) -> SealedPack:
        """Return the pack, signed, its footer opened again and compared, and start a new one."""
        origin = Origin(self._key_id, self._clock.random_bytes(SALT_BYTES))
        end = self._end
        header = layout.encode_header(PackHeader(origin, self._keys.own, end))
        footer = layout.encode_footer(_footer_of(self._placed))
        sealed_footer = _footer_aead(self._keys, origin).encrypt(
            ZERO_NONCE, footer, associated("footer", self._keys.repository_id, header)
        )
        size = end + len(sealed_footer) + layout.TAIL_BYTES
        if size > len(self._body):
            self._move(size)
        body = self._body
        self._placed, self._body, self._end, self._rows_bytes = [], memoryview(b""), layout.HEADER_BYTES, 0
        body[: len(header)] = header
        body_hash = blake3(body[:end]).digest()
        tail = layout.encode_tail(PackTail(_sign(self._keys, body_hash, sealed_footer), len(sealed_footer)))
        body[end : end + len(sealed_footer)] = sealed_footer
        body[size - len(tail) : size] = tail
        give_back_tail(body, size)
        body = body[:size]
        if open_footer(self._keys, bytes(body[: layout.HEADER_BYTES]), sealed_footer) != footer:
            raise Bug("a sealed footer does not decode to its input", "Check this machine's memory, then run again.")
        layout.decode_footer(footer, end)
        entry = FragmentEntry(body_hash, size, header, sealed_footer, tail)
        return SealedPack(entry.pack_id, body, entry)

    def _move(self, length: int) -> None:
        """Move to more pages; seldom needed once a pack has begun."""
        pages = self._pool.take(length)
        pages[: len(self._body)] = self._body
        self._body = pages


def open_footer(keys: KeySet, header: bytes, sealed_footer: bytes) -> bytes:
    """Return the plain footer of a pack from its header and its sealed footer.

    Raises:
        ObjectCorrupt: It was altered, or belongs to another repository.
        KeyMissing: It is of a domain or an epoch whose keys are not at hand.
    """
    decoded = layout.decode_header(header)
    try:
        bound = associated("footer", keys.repository_id, header)
        return _footer_aead(keys.at(decoded.key_tag), decoded.origin).decrypt(ZERO_NONCE, sealed_footer, bound)
    except (InvalidTag, ValueError) as error:
        raise ObjectCorrupt(
            "a pack's footer does not open: it was altered, or belongs to another repository"
        ) from error


def entry_of(data: bytes) -> FragmentEntry:
    """Return what an index fragment has of a whole pack.

    Raises:
        ObjectCorrupt, FormatTooNew: Its header and its tail do not agree, or it is of a later version.
    """
    header, tail = data[: layout.HEADER_BYTES], data[-layout.TAIL_BYTES :]
    end = layout.decode_header(header).body_bytes
    length = layout.decode_tail(tail, len(data)).footer_bytes
    if end + length + layout.TAIL_BYTES != len(data):
        raise ObjectCorrupt("a pack's header and tail do not agree on where its footer is")
    return FragmentEntry(blake3(memoryview(data)[:end]).digest(), len(data), header, data[end : end + length], tail)


def _sign(keys: KeySet, body_hash: bytes, sealed_footer: bytes) -> Signature:
    if keys.signing_key is None:
        raise Bug("a pack is built with keys that cannot sign")
    digest = signed_digest(body_hash, sealed_footer)
    return sign(keys.signing_key, SignedKind.PACK, fingerprint=keys.fingerprint, subject=SUBJECT, digest=digest)


def _footer_aead(keys: KeySet, origin: Origin) -> AESGCM:
    return AESGCM(derive_key(keys.index_key, "footer", keys.repository_id, origin.salt))


def _footer_of(segments: Sequence[_Placed]) -> layout.Footer:
    origins = tuple(dict.fromkeys(segment.origin for segment in segments))
    numbers = {origin: index for index, origin in enumerate(origins)}
    table = np.zeros(len(segments), layout.SEGMENT_DTYPE)
    placed = [chunk for segment in segments for chunk in segment.chunks]
    chunks = np.zeros(len(placed), layout.CHUNK_DTYPE)
    chunks["id"] = np.frombuffer(b"".join([chunk_id for chunk_id, _, _ in placed]), chunks.dtype["id"])
    chunks["segment"] = np.repeat(np.arange(len(segments)), [len(segment.chunks) for segment in segments])
    chunks["offset"] = [start for _, start, _ in placed]
    chunks["length"] = [length for _, _, length in placed]
    for index, one in enumerate(segments):
        table[index] = (numbers[one.origin], one.codec, 0, one.number, one.offset, one.stored, one.raw_length)
    return layout.Footer(origins, table, chunks)
