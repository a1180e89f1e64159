"""The frames between a backup and its reading processes; see `farshore.workers`.

    to a process      G its setup · B batch of entries · V which chunks of the oldest batch are new
                      L seal the new chunks of the first n batches · E end
    from a process    R the result of a batch · S a sealed segment · M all of an L is sealed · D done, after E
                      X the error that ended it

Both ends are this program on this machine; nothing of it is ever stored.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from collections.abc import Sequence
from typing import NamedTuple

from farshore.chunking.content import CutSizes
from farshore.format.origin import Origin
from farshore.model import Entry, EntryKind, dataclass
from farshore.sealed.data_key import DataKey
from farshore.sealed.segments import SealedSegment

SETUP, BATCH, VERDICT, SEAL, END = b"G", b"B", b"V", b"L", b"E"
READ, SEGMENT, SEALED, DONE, FAILED = b"R", b"S", b"M", b"D", b"X"
EXTENT = struct.Struct("<32sIQ")  # as `farshore.format.extents` has it, which loads an array library
_KINDS = tuple(EntryKind)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_COUNT = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ReaderSetup:
    """The keys and sizes a process works with. `chunk_key` and `data_key` are those of this run; it has no other."""

    sizes: CutSizes
    cut_seed: int
    chunk_key: bytes
    data_key: DataKey
    repository_id: bytes
    settled_before_ns: int


class BatchRead(NamedTuple):
    """The result of reading one batch, column by column.

    `states`: for each entry 1 where it was read, 0 where the backup must look at it itself. Of those that were read,
    in order: `hashes` has the hash of the content, `counts` the number of extents, `extents` 44 bytes for each extent.
    `xattrs` has those of entries that have any, by place in the batch.
    """

    states: bytes
    hashes: Sequence[bytes]
    counts: Sequence[int]
    extents: bytes
    xattrs: dict[int, tuple[tuple[bytes, bytes], ...]]


def encode_setup(setup: ReaderSetup) -> bytes:
    """Return a setup as bytes."""
    return pickle.dumps(setup)


def decode_setup(data: bytes) -> ReaderSetup:
    """Inverse of `encode_setup`."""
    setup: ReaderSetup = pickle.loads(data)  # noqa: S301 - our own process wrote it
    return setup


def encode_batch(entries: Sequence[Entry]) -> bytes:
    """Return entries as bytes."""
    return marshal.dumps([(entry[0], _KIND_NUMBERS[entry[1]], *entry[2:]) for entry in entries])


def decode_batch(data: bytes) -> list[Entry]:
    """Inverse of `encode_batch`."""
    kinds = _KINDS
    return [Entry(fields[0], kinds[fields[1]], *fields[2:]) for fields in marshal.loads(data)]  # noqa: S302


def encode_count(count: int) -> bytes:
    """Return a number of batches as bytes."""
    return _COUNT.pack(count)


def decode_count(data: bytes) -> int:
    """Inverse of `encode_count`."""
    (count,) = _COUNT.unpack(data)
    return int(count)


def encode_read(read: BatchRead) -> bytes:
    """Return the result of a batch as bytes."""
    return marshal.dumps((read.states, list(read.hashes), list(read.counts), read.extents, read.xattrs))


def decode_read(data: bytes) -> BatchRead:
    """Inverse of `encode_read`."""
    return BatchRead(*marshal.loads(data))  # noqa: S302 - our own process wrote it


def encode_segment(segment: SealedSegment) -> bytes:
    """Return the facts of a sealed segment as bytes; the sealed bytes follow them in the frame."""
    facts = (segment.origin.salt, segment.number, segment.codec, segment.raw_length, segment.chunks)
    head = marshal.dumps(facts)
    return struct.pack("<I", len(head)) + head


def decode_segment(data: bytes, key_id: bytes) -> SealedSegment:
    """Inverse of `encode_segment`, with the sealed bytes as a view of `data`."""
    (length,) = struct.unpack_from("<I", data)
    salt, number, codec, raw_length, chunks = marshal.loads(data[4 : 4 + length])  # noqa: S302
    return SealedSegment(Origin(key_id, salt), number, codec, raw_length, memoryview(data)[4 + length :], chunks)
