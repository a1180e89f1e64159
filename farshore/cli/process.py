"""The process of a command: its signals, and the log of the engine on its standard error.

The first Ctrl-C, or a relative, asks the command to stop, the second stops the process at once. After the first, a
call that looks at no signal or a request that hangs delays a command by at most `INTERRUPT_PATIENCE_S`: then a thread
that hears the signal beside it ends the process. Logs of libraries are shown only where somebody asked for them.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from types import FrameType
from typing import TextIO

from farshore.cli.wording import shown_text
from farshore.errors import ConfigInvalid
from farshore.limits import INTERRUPT_PATIENCE_S

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
VARIABLE = "FARSHORE_LOG"
_SAID_MAX = 1000  # warnings remembered; a run that has more repeats some
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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


class _Lines(logging.Formatter):
    """`warning: message`, as the command line says its own warnings."""

    def format(self, record: logging.LogRecord) -> str:
        origin = "" if record.name.startswith("farshore") else f"{record.name}: "
        return f"{record.levelname.lower()}: {origin}{shown_text(record.getMessage())}"


class _Once(logging.Filter):
    """Lets a warning of ours through once: it is found again at each opening."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or not record.name.startswith("farshore"):
            return True
        said = record.getMessage()
        if said in self._said:
            return False
        if len(self._said) < _SAID_MAX:
            self._said.add(said)
        return True


def configure_logs(environment: Mapping[str, str], stderr: TextIO) -> None:
    """Send the log where people see it. Once per process.

    Without `FARSHORE_LOG` libraries stay silent: their retries and pools are not the user's business.

    Raises:
        ConfigInvalid: `FARSHORE_LOG` names no level.
    """
    word = environment.get(VARIABLE, "").strip().lower()
    if word and word not in LEVELS:
        close = get_close_matches(word, LEVELS, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise ConfigInvalid(f"{VARIABLE} is {word!r}, which is no level", f"{hint}Levels are {', '.join(LEVELS)}.")
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(_Once())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[word] if word else logging.CRITICAL + 1)
    logging.getLogger("farshore").setLevel(LEVELS[word] if word else logging.WARNING)
