"""Frames of a letter, a length and a body: what passes over the pipes between processes of our own."""

from __future__ import annotations

import struct
from typing import IO

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
