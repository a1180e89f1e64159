"""Processes that walk a directory tree beside this one, each of n every n-th span of it; see `walk`."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Queue

from farshore import limits
from farshore.frames import Frame
from farshore.handles import Handle
from farshore.sources.directory import walking_protocol as protocol
from farshore.sources.directory.metadata import Report
from farshore.sources.directory.walk import WalkOptions, is_below
from farshore.workers import Worker, close_all, spawn

_MODULE = "farshore.sources.directory.walking_process"


@dataclass(slots=True)
class _Walker:
    worker: Worker
    frames: Queue[Frame | None] = field(default_factory=lambda: Queue(limits.WALK_FRAMES_AHEAD))  # None: it is gone
    gone: bool = False


class Walkers:
    """Some processes that walk below one open directory. Used by one thread; `close` ends them all.

    Args:
        cuts: Paths in manifest order, none twice and none empty, that need not exist: the spans are between them.

    Raises:
        OSError: A process could not be started; none is left.
    """

    def __init__(self, *, root: Handle, options: WalkOptions, cuts: Sequence[bytes], processes: int) -> None:
        self._spans = len(cuts) + 1
        self._walkers: list[_Walker] = []
        self._entered: set[bytes] = set()  # directories that the last span ended below
        try:
            for first in range(min(processes, self._spans)):
                self._walkers.append(_start(root, protocol.WalkOrders(options, tuple(cuts), first, processes)))
        except BaseException:
            self.close()
            raise

    def names(self, report: Report) -> Iterator[tuple[bytes, bytes]]:
        """Yield frames of names in manifest order, each with a directory whose content among them to leave out.

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
                if letter == protocol.NAMES:
                    yield body, unwanted
                elif letter == protocol.PROBLEM:
                    report(*pickle.loads(body))  # noqa: S301 - our own process wrote it
                elif letter == protocol.BEGIN:
                    unwanted = self._begin(pickle.loads(body), report)  # noqa: S301 - likewise
                elif letter == protocol.END:
                    straddling = pickle.loads(body)  # noqa: S301 - likewise
                    self._entered = {path for path in straddling if not unwanted or not _within(path, unwanted)}
                    break
                else:
                    raise pickle.loads(body)  # noqa: S301 - likewise

    def close(self) -> None:
        """End every process: there is nothing that it would have to finish. Safe to repeat."""
        walkers, self._walkers = self._walkers, []
        for walker in walkers:
            walker.worker.process.kill()
        for walker in walkers:
            while not walker.gone:  # or its listener waits for room
                walker.gone = walker.frames.get() is None
        close_all(walker.worker for walker in walkers)

    def _begin(self, started: protocol.WalkStarted, report: Report) -> bytes:
        """Report what a span lost of a directory that the span before had entered; return the directory to leave out.

        The span before has reported why it did not enter a directory, and a manifest has nothing below such a one.
        """
        if started.lost is not None and started.lost[0] in self._entered:
            report(*started.lost)
        return next((path for path in started.entered if path not in self._entered), b"")


def _within(path: bytes, directory: bytes) -> bool:
    return path == directory or is_below(path, directory)


def _start(root: Handle, orders: protocol.WalkOrders) -> _Walker:
    walker = _Walker(spawn(_MODULE, [str(root.fd)], pass_fds=(root.fd,)))
    walker.worker.listen(walker.frames.put)
    walker.worker.send(protocol.ORDERS, protocol.encode_orders(orders))
    return walker


def _next(walker: _Walker) -> Frame:
    frame = None if walker.gone else walker.frames.get()
    if frame is None:
        walker.gone = True
        raise walker.worker.gone("walks the source")
    return frame
