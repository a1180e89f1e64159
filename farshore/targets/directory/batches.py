"""How batches of small files reach the writing processes: in slots of memory that all of them share.

A slot holds the content of the files end to end and, from `CONTENT_BYTES` on, what else is to know of them. An order is
8 bytes in a pipe, so giving one never blocks; an answer is as long as it must be.

    order     slot u32 ‖ bytes of records u32
    answer    length u32, then a pickle of (slot, `Answer`)
"""

from __future__ import annotations

import marshal
import mmap
import pickle
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO

from farshore import limits
from farshore.errors import FarshoreError
from farshore.model import Problem
from farshore.processes import make_shared
from farshore.targets.base import Placed, SmallFile

CONTENT_BYTES = limits.SLOT_CONTENT_BYTES
RECORD_BYTES = limits.SLOT_RECORD_BYTES
SLOT_BYTES = CONTENT_BYTES + RECORD_BYTES
ORDER = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one batch: the files, what could not be put back as it was, and what ends the restore."""

    placed: Placed = field(default_factory=Placed)
    problems: Sequence[Problem] = ()
    error: FarshoreError | None = None


def make_slots(slots: int) -> int:
    """Return the descriptor of new memory for `slots` slots; nothing of it has a name."""
    return make_shared("farshore-restore", slots * SLOT_BYTES)


def map_shared(fd: int, slots: int) -> mmap.mmap:
    """Return the memory behind a descriptor."""
    return mmap.mmap(fd, slots * SLOT_BYTES)


def encode_records(files: Iterable[SmallFile]) -> bytes:
    """Return what is to know of files besides their content."""
    return marshal.dumps([tuple(file) for file in files])


def decode_records(data: bytes) -> list[SmallFile]:
    """Return files again; only what the other end of our own pipe has encoded."""
    return [SmallFile(*fields) for fields in marshal.loads(data)]  # noqa: S302  # our own process wrote it


def write_answer(pipe: IO[bytes], slot: int, answer: Answer) -> None:
    """Send an answer."""
    data = pickle.dumps((slot, answer))
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def read_answer(pipe: IO[bytes]) -> tuple[int, Answer]:
    """Receive an answer.

    Raises:
        EOFError: The other end is gone.
    """
    data = _read_all(pipe, _LENGTH.size)
    slot, answer = pickle.loads(_read_all(pipe, *_LENGTH.unpack(data)))  # noqa: S301  # our own process wrote it
    return slot, answer


def _read_all(pipe: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = pipe.read(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
