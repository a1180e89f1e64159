"""Asking on the terminal: for a secret without echo, and as the bytes that were typed, whatever the locale."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_LINE_BYTES_MAX = 64 * 1024


def ask_hidden(prompt: str, stream: TextIO) -> bytes:
    """Return one line that a person types, without its end. Reads the controlling terminal, else standard input.

    Raises:
        EOFError: There is no more to read.
    """
    descriptor, own = _terminal()
    try:
        with _no_echo(descriptor):
            stream.write(prompt)
            stream.flush()
            line = _read_line(descriptor)
        stream.write("\n")
        stream.flush()
    finally:
        if own:
            os.close(descriptor)
    return line


def ask_shown(prompt: str, stream: TextIO) -> bytes:
    """Return one line that a person types and sees, without its end. Reads as `ask_hidden` does.

    Raises:
        EOFError: There is no more to read.
    """
    descriptor, own = _terminal()
    try:
        stream.write(prompt)
        stream.flush()
        return _read_line(descriptor)
    finally:
        if own:
            os.close(descriptor)


def _terminal() -> tuple[int, bool]:
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC), True
    except OSError:
        return sys.stdin.fileno(), False


@contextmanager
def _no_echo(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    hidden = [*before]
    hidden[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _LINE_BYTES_MAX:
        piece = os.read(descriptor, 4096)  # the terminal gives a line at a time
        if not piece:
            if line:
                break
            raise EOFError
        line += piece
    return line.removesuffix(b"\n").removesuffix(b"\r")
