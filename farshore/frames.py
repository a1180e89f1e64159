"""Frames of a letter, a length and a body: what passes over the pipes between processes of our own."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from farshore.errors import Bug, FarshoreError

_FRAME = struct.Struct("<cI")


def write_frame(pipe: IO[bytes], letter: bytes, *parts: bytes | memoryview) -> None:
    """Send a frame. Blocks while the pipe is full."""
    pipe.write(_FRAME.pack(letter, sum(len(part) for part in parts)))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Receive a frame; None where the other end is gone."""
    head = pipe.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    letter, length = _FRAME.unpack(head)
    body = pipe.read(length)
    return (letter, body) if len(body) == length else None


@contextmanager
def telling_failure(pipe: IO[bytes], letter: bytes, what: str) -> Iterator[None]:
    """Send the error that ends `what`, pickled, as a frame; say nothing where the other end is gone."""
    try:
        yield
    except BrokenPipeError:
        return  # nobody waits for it any more
    except FarshoreError as error:
        write_frame(pipe, letter, pickle.dumps(error))
    except Exception as error:  # noqa: BLE001  # the backup tells it; nobody reads this process
        write_frame(pipe, letter, pickle.dumps(Bug(f"{what} failed: {type(error).__name__}: {error}")))
