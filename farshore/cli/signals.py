"""Ctrl-C and its relatives: the first asks the command to stop, the second stops the process at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop. Passes through `except Exception`, as KeyboardInterrupt does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = signal.Signals(number)
        self.exit_code = 128 + number  # what a shell reports of a program ended by this signal
        self.meaning = "nothing was changed"

    def __str__(self) -> str:
        return f"interrupted by {_NAMES[self.number]}: {self.meaning}"


@contextmanager
def stop_on_signals(stderr: TextIO) -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first signal; end the process at the second."""
    seen: list[int] = []

    def say(line: bytes) -> None:
        # os.write, because a handler may interrupt a write that is under way on the same stream.
        with suppress(OSError):
            os.write(stderr.fileno(), line)

    def handle(number: int, _: FrameType | None) -> None:
        if seen:
            say(b"stopped at once; nothing that was committed is lost\n")
            os._exit(128 + number)
        seen.append(number)
        say(b"\nstopping; once more to stop at once\n")
        raise Stopped(number)

    # What the parent made deaf stays deaf: nohup ignores SIGHUP, a shell's background job SIGINT.
    heard = [number for number in _NAMES if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
