"""One run of the needs of a snapshot: the objects that it cannot be restored without, for anybody to read. Pure.

docs/reference/format.md, section 5:

    header     `FSND` ‖ version u8 ‖ 3 zero bytes ‖ packs u32 ‖ data keys u32 ‖ fragments u32
    packs      each: pack id (32) ‖ bytes u32 ‖ segments u16 ‖ bitmap of the segments in use
    data keys  each: key id (16) ‖ recipient id (16) ‖ hash (32)
    fragments  each: hash (32) ‖ bytes u64

each table sorted and without duplicates, so equal needs are equal bytes and one object.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.model import dataclass

MAGIC = b"FSND"
VERSION = 1
_HEADER = struct.Struct("<4sB3xIII")
_PACK = struct.Struct("<32sIH")
_DATA_KEY = struct.Struct("<16s16s32s")
_OBJECT = struct.Struct("<32sQ")


@dataclass(frozen=True, slots=True, order=True)
class NeededPack:
    """A pack, its bytes, and which of its segments are used: bit i of `segments` is segment i; None: all of them."""

    pack_id: str
    bytes: int
    segments: tuple[int, int] | None = None  # how many segments the pack has, and the bits of those in use

    def uses(self, segment: int) -> bool:
        """Whether the snapshot uses a segment of the pack, by its number in the footer."""
        return self.segments is None or bool(self.segments[1] >> segment & 1)

    @property
    def used_bytes(self) -> int:
        """About the bytes of the segments in use."""
        if self.segments is None:
            return self.bytes
        return self.bytes * self.segments[1].bit_count() // max(self.segments[0], 1)

    def covers(self, other: NeededPack) -> bool:
        """Whether this names every segment of the same pack that `other` does."""
        if self.segments is None:
            return True
        if other.segments is None or other.segments[0] != self.segments[0]:
            return False
        return not other.segments[1] & ~self.segments[1]


@dataclass(frozen=True, slots=True, order=True)
class NeededKey:
    """A data key by the parts of its name."""

    key_id: str
    recipient: str
    blake3: str

    @property
    def name(self) -> str:
        """The object's name."""
        return names.data_key(self.key_id, self.recipient, self.blake3)


@dataclass(frozen=True, slots=True, order=True)
class NeededFragment:
    """An index fragment by its hash, and its bytes."""

    blake3: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Needs:
    """Objects that one snapshot needs, beside the runs of its commit. Each tuple is sorted and without duplicates."""

    packs: tuple[NeededPack, ...] = ()
    data_keys: tuple[NeededKey, ...] = ()
    fragments: tuple[NeededFragment, ...] = ()

    @property
    def pack_sizes(self) -> list[tuple[str, int]]:
        """Id and bytes of each pack."""
        return [(pack.pack_id, pack.bytes) for pack in self.packs]

    @property
    def used_bytes(self) -> int:
        """About the bytes of its packs that are in use: of a pack that is used in part, by number of segments."""
        return sum(pack.used_bytes for pack in self.packs)


def join_needs(parts: Iterable[Needs]) -> Needs:
    """Return all that several needs name; a pack of two is used in the segments of both."""
    packs: dict[str, NeededPack] = {}
    keys: set[NeededKey] = set()
    fragments: set[NeededFragment] = set()
    for part in parts:
        for pack in part.packs:
            before = packs.get(pack.pack_id)
            packs[pack.pack_id] = pack if before is None else _joined(before, pack)
        keys.update(part.data_keys)
        fragments.update(part.fragments)
    joined = tuple(sorted(packs.values(), key=_id_of))
    return Needs(joined, tuple(sorted(keys)), tuple(sorted(fragments)))


def encode_needs(needs: Needs) -> bytes:
    """Return the bytes of a needs object."""
    counts = (len(needs.packs), len(needs.data_keys), len(needs.fragments))
    parts = [_HEADER.pack(MAGIC, VERSION, *counts)]
    parts += [_encode_pack(pack) for pack in sorted(needs.packs, key=_id_of)]
    parts += [
        _DATA_KEY.pack(bytes.fromhex(key.key_id), bytes.fromhex(key.recipient), bytes.fromhex(key.blake3))
        for key in sorted(needs.data_keys)
    ]
    parts += [_OBJECT.pack(bytes.fromhex(one.blake3), one.bytes) for one in sorted(needs.fragments)]
    return b"".join(parts)


def decode_needs(data: bytes, what: str) -> Needs:
    """Return the needs of an object.

    Raises:
        ObjectCorrupt: It is cut, longer than its tables, or a table is not in order. The message names `what`.
        FormatTooNew: A later version.
    """
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise ObjectCorrupt(f"{what} is not the needs of a snapshot")
    _, version, packs, keys, fragments = _HEADER.unpack_from(data)
    if version != VERSION:
        raise FormatTooNew(f"{what} has version {version}; this Farshore knows {VERSION}")
    least = packs * _PACK.size + keys * _DATA_KEY.size + fragments * _OBJECT.size
    if _HEADER.size + least > len(data):  # before anything is made of the counts
        raise ObjectCorrupt(f"{what} is shorter than its tables")
    try:
        needed, at = _decode_packs(data, _HEADER.size, packs)
        end = at + keys * _DATA_KEY.size
        data_keys = tuple(NeededKey(*(part.hex() for part in row)) for row in _DATA_KEY.iter_unpack(data[at:end]))
        at, end = end, end + fragments * _OBJECT.size
        fragment_rows = tuple(NeededFragment(digest.hex(), size) for digest, size in _OBJECT.iter_unpack(data[at:end]))
    except struct.error as error:
        raise ObjectCorrupt(f"{what} is cut short") from error
    if end != len(data):
        raise ObjectCorrupt(f"{what} has another length than its tables")
    for ids in ([pack.pack_id for pack in needed], data_keys, fragment_rows):
        if not _ascends(ids):
            raise ObjectCorrupt(f"{what} is not in order")
    return Needs(needed, data_keys, fragment_rows)


def _decode_packs(data: bytes, at: int, count: int) -> tuple[tuple[NeededPack, ...], int]:
    needed = []
    for _ in range(count):
        pack_id, size, segments = _PACK.unpack_from(data, at)
        at += _PACK.size
        end = at + (segments + 7) // 8
        bits = int.from_bytes(data[at:end], "little")
        if end > len(data) or size > limits.PACK_BYTES_MAX or bits >> segments:
            raise ObjectCorrupt("the needs of a snapshot name a pack that cannot be")
        needed.append(NeededPack(pack_id.hex(), size, (segments, bits) if segments else None))
        at = end
    return tuple(needed), at


def _encode_pack(pack: NeededPack) -> bytes:
    count, bits = pack.segments or (0, 0)
    return _PACK.pack(bytes.fromhex(pack.pack_id), pack.bytes, count) + bits.to_bytes((count + 7) // 8, "little")


def _joined(one: NeededPack, other: NeededPack) -> NeededPack:
    if one.segments is None or other.segments is None or one.segments[0] != other.segments[0]:
        return NeededPack(one.pack_id, one.bytes)
    return NeededPack(one.pack_id, one.bytes, (one.segments[0], one.segments[1] | other.segments[1]))


def _ascends(items: Sequence[object]) -> bool:
    return all(first < second for first, second in pairwise(items))  # type: ignore[operator]


def _id_of(pack: NeededPack) -> str:
    return pack.pack_id
