"""Processes that walk a directory tree beside this one, each every so many-th span of it; see `posix_walk`."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import IO

from farshore import limits
from farshore.errors import Bug
from farshore.frames import read_frame
from farshore.handles import Handle
from farshore.processes import process_gone, start_process
from farshore.sources.directory import walking_protocol as wire
from farshore.sources.directory.metadata import Report
from farshore.sources.directory.walk import WalkOptions, is_below

_MODULE = "farshore.sources.directory.walking_process"
_Frame = tuple[bytes, bytes]


@dataclass(slots=True)
class _Walker:
    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    frames: Queue[_Frame | None] = field(default_factory=lambda: Queue(limits.WALK_FRAMES_AHEAD))  # None: it is gone
    listener: threading.Thread | None = None
    gone: bool = False


class Walkers:
    """Some processes that walk below one open directory. Used by one thread; `close` ends them all.

    Args:
        cuts: Paths in manifest order, none twice and none empty, that need not exist: the spans lie between them.

    Raises:
        OSError: A process could not be started; none is left.
    """

    def __init__(self, *, root: Handle, options: WalkOptions, cuts: Sequence[bytes], processes: int) -> None:
        self._spans = len(cuts) + 1
        self._walkers: list[_Walker] = []
        self._entered: set[bytes] = set()  # directories that the last span ended below
        try:
            for first in range(min(processes, self._spans)):
                self._walkers.append(_start(root, wire.WalkOrders(options, tuple(cuts), first, processes)))
        except BaseException:
            self.close()
            raise

    def names(self, report: Report) -> Iterator[tuple[bytes, bytes]]:
        """Yield frames of names in manifest order, each with a directory whose content among them is to be left out.

        That directory is empty, mostly: then nothing is left out.

        Raises:
            SourceUnavailable: The root itself cannot be listed.
            ToolUnavailable: A process is gone.
        """
        for number in range(self._spans):
            walker = self._walkers[number % len(self._walkers)]
            unwanted = b""
            while True:
                letter, body = _next(walker)
                if letter == wire.NAMES:
                    yield body, unwanted
                elif letter == wire.PROBLEM:
                    report(*pickle.loads(body))  # noqa: S301 - our own process wrote it
                elif letter == wire.BEGIN:
                    unwanted = self._begin(pickle.loads(body), report)  # noqa: S301 - likewise
                elif letter == wire.END:
                    straddling = pickle.loads(body)  # noqa: S301 - likewise
                    self._entered = {path for path in straddling if not unwanted or not _within(path, unwanted)}
                    break
                else:
                    raise pickle.loads(body)  # noqa: S301 - likewise

    def close(self) -> None:
        """End every process: there is nothing that it would have to finish. Safe to repeat."""
        walkers, self._walkers = self._walkers, []
        for walker in walkers:
            walker.process.kill()
        for walker in walkers:
            walker.process.wait()
            while not walker.gone:  # or its listener waits for room
                walker.gone = walker.frames.get() is None
            if walker.listener is not None:
                walker.listener.join()
            walker.answers.close()

    def _begin(self, begun: wire.Begun, report: Report) -> bytes:
        """Tell what a span has lost of a directory that the one before it had entered; return what it must not hold.

        The one before told why it did not enter a directory, and a manifest has nothing below what is not in it.
        """
        if begun.lost is not None and begun.lost[0] in self._entered:
            report(*begun.lost)
        return next((path for path in begun.entered if path not in self._entered), b"")


def _within(path: bytes, directory: bytes) -> bool:
    return path == directory or is_below(path, directory)


def _start(root: Handle, orders: wire.WalkOrders) -> _Walker:
    process = start_process(_MODULE, [str(root.fd)], pass_fds=(root.fd,))
    if process.stdin is None or process.stdout is None:
        raise Bug("a process was started without pipes")
    walker = _Walker(process, process.stdout)
    walker.listener = threading.Thread(target=_listen, args=(walker,), name="listen", daemon=True)
    walker.listener.start()
    with contextlib.suppress(BrokenPipeError), process.stdin:  # one that is gone is told by its answers
        process.stdin.write(wire.encode_orders(orders))
    return walker


def _listen(walker: _Walker) -> None:
    while (frame := read_frame(walker.answers)) is not None:
        walker.frames.put(frame)
    walker.frames.put(None)


def _next(walker: _Walker) -> _Frame:
    frame = None if walker.gone else walker.frames.get()
    if frame is None:
        walker.gone = True
        raise process_gone(walker.process, "walks the source")
    return frame
