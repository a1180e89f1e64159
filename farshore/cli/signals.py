"""Ctrl-C and its relatives: the first asks the command to stop, the second stops the process at once.

After the first, a call that looks at no signal or a request that hangs delays a command by at most
`INTERRUPT_PATIENCE_S`: then a thread that hears the signal beside it ends the process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from farshore.limits import INTERRUPT_PATIENCE_S

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop. Passes through `except Exception`, as KeyboardInterrupt does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = signal.Signals(number)
        self.exit_code = 128 + number  # a shell's code for a program ended by this signal
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

    with _ended_in_time(say):
        yield from _hear(handle)


def _hear(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    # Signals that the parent ignores stay ignored: nohup ignores SIGHUP, a shell's background job SIGINT.
    heard = [number for number in _NAMES if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ended_in_time(say: Callable[[bytes], None]) -> Iterator[None]:
    """End the process where it goes on for `INTERRUPT_PATIENCE_S` after a signal."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(reading, True)
    ended = threading.Event()

    def watch() -> None:
        heard = os.read(reading, 1)  # written by Python's own handler, whatever the main thread is at
        if not heard or heard[0] not in tuple(_NAMES) or ended.wait(INTERRUPT_PATIENCE_S):
            return
        say(b"stopped; nothing that was committed is lost\n")
        os._exit(128 + heard[0])

    threading.Thread(target=watch, name="interrupts", daemon=True).start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(writing)
