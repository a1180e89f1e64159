"""What passes between a backup and its reading processes, over two pipes: frames of a letter, a length and a body.

    to a process      G what to work with · B batch of entries · V which chunks of the oldest batch are new
                      L seal all that is new of the first so many batches · E end
    from a process    R what was read of a batch · S a sealed segment · M all of an L is sealed · D done, after E
                      X what went wrong

Both ends are this program on this machine; nothing of it is ever stored.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from farshore.chunking.content import CutSizes
from farshore.format.origin import Origin
from farshore.model import Entry, EntryKind
from farshore.sealed.keys import DataKey
from farshore.sealed.segments import SealedSegment

GROUND, BATCH, VERDICT, SEAL, END = b"G", b"B", b"V", b"L", b"E"
READ, SEGMENT, SEALED, DONE, FAILED = b"R", b"S", b"M", b"D", b"X"
EXTENT = struct.Struct("<32sIQ")  # as `farshore.format.extents` has it, which loads an array library
_KINDS = tuple(EntryKind)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_COUNT = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ReaderSetup:
    """What a process works with. `chunk_key` and `data_key` are those of this run; it has no other."""

    sizes: CutSizes
    cut_seed: int
    chunk_key: bytes
    data_key: DataKey
    repository_id: bytes
    settled_before_ns: int


class BatchRead(NamedTuple):
    """What was read of one batch, column by column.

    `states`: for each entry 1 where it was read, 0 where the backup must look at it itself. Of those that were read,
    in order: `hashes` has the hash of the content, `counts` the number of extents, `extents` 44 bytes for each extent.
    `xattrs` has those of entries that have any, by place in the batch.
    """

    states: bytes
    hashes: Sequence[bytes]
    counts: Sequence[int]
    extents: bytes
    xattrs: dict[int, tuple[tuple[bytes, bytes], ...]]


def encode_ground(ground: ReaderSetup) -> bytes:
    """Return what a process works with as bytes."""
    return pickle.dumps(ground)


def decode_ground(data: bytes) -> ReaderSetup:
    """Return it again."""
    ground: ReaderSetup = pickle.loads(data)  # noqa: S301 - our own process wrote it
    return ground


def encode_batch(entries: Sequence[Entry]) -> bytes:
    """Return entries as bytes."""
    return marshal.dumps([(entry[0], _KIND_NUMBERS[entry[1]], *entry[2:]) for entry in entries])


def decode_batch(data: bytes) -> list[Entry]:
    """Return entries again."""
    kinds = _KINDS
    return [Entry(fields[0], kinds[fields[1]], *fields[2:]) for fields in marshal.loads(data)]  # noqa: S302


def encode_count(count: int) -> bytes:
    """Return a number of batches as bytes."""
    return _COUNT.pack(count)


def decode_count(data: bytes) -> int:
    """Return it again."""
    (count,) = _COUNT.unpack(data)
    return int(count)


def encode_read(read: BatchRead) -> bytes:
    """Return what was read of a batch as bytes."""
    return marshal.dumps((read.states, list(read.hashes), list(read.counts), read.extents, read.xattrs))


def decode_read(data: bytes) -> BatchRead:
    """Return it again."""
    return BatchRead(*marshal.loads(data))  # noqa: S302 - our own process wrote it


def encode_segment(segment: SealedSegment) -> bytes:
    """Return what is to know of a sealed segment, to go before its bytes."""
    facts = (segment.origin.salt, segment.number, segment.codec, segment.raw_length, segment.chunks)
    head = marshal.dumps(facts)
    return struct.pack("<I", len(head)) + head


def decode_segment(data: bytes, key_id: bytes) -> SealedSegment:
    """Return a sealed segment again; its bytes are a view of `data`."""
    (length,) = struct.unpack_from("<I", data)
    salt, number, codec, raw_length, chunks = marshal.loads(data[4 : 4 + length])  # noqa: S302
    return SealedSegment(Origin(key_id, salt), number, codec, raw_length, memoryview(data)[4 + length :], chunks)
