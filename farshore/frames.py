"""Frames of a letter, a length and a body: all that passes over the pipes between processes of our own."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from farshore.errors import Bug, Failure

Frame = tuple[bytes, bytes]  # letter, body

_HEAD = struct.Struct("<cI")
_JOINED_BYTES_MAX = 4096  # a pipe takes that much in one piece, also where it is not buffered


def write_frame(pipe: IO[bytes], letter: bytes, *parts: bytes | memoryview) -> None:
    """Send a frame whose body is `parts`, end to end. Blocks while the pipe is full."""
    length = sum(len(part) for part in parts)
    head = _HEAD.pack(letter, length)
    if _HEAD.size + length <= _JOINED_BYTES_MAX:
        pipe.write(b"".join((head, *parts)))
    else:
        pipe.write(head)
        for part in parts:
            pipe.write(part)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> Frame | None:
    """Receive a frame; None where the other end is gone."""
    head = _read(pipe, _HEAD.size)
    if len(head) < _HEAD.size:
        return None
    letter, length = _HEAD.unpack(head)
    body = _read(pipe, length)
    return (letter, body) if len(body) == length else None


def _read(pipe: IO[bytes], size: int) -> bytes:
    """Return `size` bytes, fewer only where the other end is gone. A pipe without a buffer gives what is there."""
    data = pipe.read(size)
    while len(data) < size and (more := pipe.read(size - len(data))):
        data += more
    return data


@contextmanager
def reporting_failure(pipe: IO[bytes], letter: bytes, what: str) -> Iterator[None]:
    """Send the error that ends `what`, pickled, as a frame; send nothing where the other end is gone."""
    try:
        yield
    except BrokenPipeError:
        return  # nobody waits for it any more
    except Failure as error:
        write_frame(pipe, letter, pickle.dumps(error))
    except Exception as error:  # noqa: BLE001  # the parent raises it; nobody reads this process
        write_frame(pipe, letter, pickle.dumps(Bug(f"{what} failed: {type(error).__name__}: {error}")))
