"""How batches of small files reach the writing processes: in slots of memory that all of them share.

A slot holds the content of the files end to end and, from `CONTENT_BYTES` on, their records: name and metadata of each.
An order is a few bytes in a pipe, so sending one never blocks; an answer is as long as it must be.

    to a process      P place a batch: slot u32 ‖ bytes of records u32
    from a process    A a pickle of (slot, `Answer`)
"""

from __future__ import annotations

import marshal
import mmap
import pickle
import struct
from collections.abc import Iterable, Sequence
from dataclasses import field

from farshore import limits
from farshore.errors import Failure
from farshore.model import Problem, dataclass
from farshore.targets.base import Placed, SmallFile
from farshore.workers import make_shared

CONTENT_BYTES = limits.SLOT_CONTENT_BYTES
RECORD_BYTES = limits.SLOT_RECORD_BYTES
SLOT_BYTES = CONTENT_BYTES + RECORD_BYTES
PLACE, ANSWER = b"P", b"A"
ORDER = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one batch: the files, problems of metadata, and the error that ends the restore."""

    placed: Placed = field(default_factory=Placed)
    problems: Sequence[Problem] = ()
    error: Failure | None = None


def make_slots(slots: int) -> int:
    """Return the descriptor of new memory for `slots` slots; nothing of it has a name."""
    return make_shared("farshore-restore", slots * SLOT_BYTES)


def map_shared(fd: int, slots: int) -> mmap.mmap:
    """Return the memory behind a descriptor."""
    return mmap.mmap(fd, slots * SLOT_BYTES)


def encode_records(files: Iterable[SmallFile]) -> bytes:
    """Return the name and metadata of files as bytes."""
    return marshal.dumps([tuple(file) for file in files])


def decode_records(data: bytes) -> list[SmallFile]:
    """Inverse of `encode_records`; only for what the other end of our own pipe has encoded."""
    return [SmallFile(*fields) for fields in marshal.loads(data)]  # noqa: S302  # our own process wrote it


def encode_answer(slot: int, answer: Answer) -> bytes:
    """Return an answer as bytes, with the slot that is free again."""
    return pickle.dumps((slot, answer))


def decode_answer(data: bytes) -> tuple[int, Answer]:
    """Inverse of `encode_answer`."""
    slot, answer = pickle.loads(data)  # noqa: S301  # our own process wrote it
    return slot, answer
