"""The hashing processes of a backup: started with the first large page-structured file, given buffers of shared memory.

The file is read into a buffer, and nothing writes there until its data is hashed, compared and stored, so hash,
comparison and stored data are of the same bytes. A page's hash is one call, which hands the interpreter's lock over:
beside other threads of this process it costs twice the time.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from mmap import mmap
from typing import NamedTuple, TypeGuard

from farshore import limits
from farshore.chunking.page_hashes import HASH_BYTES
from farshore.errors import Bug
from farshore.model import Entry
from farshore.ops.backup.pages import hashing_process as protocol
from farshore.sources.base import BufferedContent, Content, Hole
from farshore.workers import Worker, close_all, make_shared, spawn

_MODULE = "farshore.ops.backup.pages.hashing_process"
_log = logging.getLogger(__name__)


class HashedData(NamedTuple):
    """The next bytes of a file with the hashes of their pages. The memory is used again after the next piece."""

    data: memoryview
    hashes: bytes


class _Order(NamedTuple):
    buffer: int
    length: int
    pages: int


class PageHashers:
    """Reads large page-structured files and has their pages hashed. Used by one thread; `close` ends the processes.

    Args:
        processes: How many to start; 0 for none, then no file is read here.
        file_bytes_min: Smaller files are not read here.
    """

    def __init__(self, *, page_key: bytes, processes: int, file_bytes_min: int = limits.HASHING_FILE_BYTES_MIN) -> None:
        self._page_key = page_key
        self._processes = processes
        self._file_bytes_min = file_bytes_min
        self._buffers = processes * limits.HASHING_BUFFERS_PER_PROCESS
        self._memory = memoryview(b"")
        self._hashers: list[Worker] = []
        self._buffer = 0  # that the next data is read into
        self._given: deque[_Order] = deque()  # not answered

    def reads(self, content: Content, entry: Entry) -> TypeGuard[BufferedContent]:
        """Return whether to read a file here; the first one starts the processes."""
        return entry.size >= self._file_bytes_min and isinstance(content, BufferedContent) and self._start()

    def read(self, content: BufferedContent, page_bytes: int) -> Iterator[Hole | HashedData]:
        """Yield the pieces; another thread reads ahead, as far as there are free buffers.

        Raises:
            ToolUnavailable: A process is gone.
            Exception: As reading the content raises.
        """
        pieces = content.pieces_into(lambda: self._view(self._buffer, limits.HASHING_BUFFER_BYTES))
        pending: deque[Future[Hole | _Order | None]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
            try:
                for _ in range(self._buffers):
                    pending.append(pool.submit(self._next, pieces, page_bytes))
                while (piece := pending.popleft().result()) is not None:
                    yield piece if isinstance(piece, Hole) else self._answered(piece)
                    pending.append(pool.submit(self._next, pieces, page_bytes))
            finally:
                pool.shutdown(cancel_futures=True)
                while self._given:  # of a file that is not read to its end
                    self._answered(self._given[0])

    def close(self) -> None:
        """End every process. Safe to repeat."""
        hashers, self._hashers, self._processes = self._hashers, [], 0
        close_all(hashers)

    def _start(self) -> bool:
        """Return whether there are processes."""
        if self._hashers or not self._processes:
            return bool(self._hashers)
        try:
            shared = make_shared("farshore-pages", self._buffers * limits.HASHING_BUFFER_BYTES)
            try:
                self._memory = memoryview(mmap(shared, self._buffers * limits.HASHING_BUFFER_BYTES))
                for _ in range(self._processes):
                    self._hashers.append(self._spawn(shared))
            finally:
                os.close(shared)
        except OSError as error:
            _log.warning("no process to hash pages could be started, so a thread goes on: %s", error)
            self.close()
        return bool(self._hashers)

    def _spawn(self, shared: int) -> Worker:
        hasher = spawn(_MODULE, [str(shared), str(self._buffers * limits.HASHING_BUFFER_BYTES)], pass_fds=(shared,))
        hasher.send(protocol.KEY, self._page_key)
        return hasher

    def _next(self, pieces: Iterator[Hole | int], page_bytes: int) -> Hole | _Order | None:
        """Read a piece, and order its hashes from the process of its buffer."""
        piece = next(pieces, None)
        if piece is None or isinstance(piece, Hole):
            return piece
        order = _Order(self._buffer, piece, -(-piece // page_bytes))
        self._buffer = (self._buffer + 1) % self._buffers
        self._given.append(order)
        self._hasher_of(order).send(protocol.HASH, protocol.ORDER.pack(order.buffer, order.length, page_bytes))
        return order

    def _answered(self, order: _Order) -> HashedData:
        """Wait for the hashes of the oldest order that is not answered."""
        if self._given.popleft() is not order:
            raise Bug("buffers of hashed pages were asked for out of order")
        hasher = self._hasher_of(order)
        frame = hasher.receive()
        if frame is None:
            raise hasher.gone("hashes pages")
        letter, hashes = frame
        if letter == protocol.FAILED:
            raise pickle.loads(hashes)  # noqa: S301 - our own process wrote it
        if len(hashes) != order.pages * HASH_BYTES:
            raise Bug("a hashing process answered with other pages than it was given")
        return HashedData(self._view(order.buffer, order.length), hashes)

    def _hasher_of(self, order: _Order) -> Worker:
        return self._hashers[order.buffer % len(self._hashers)]

    def _view(self, buffer: int, length: int) -> memoryview:
        return self._memory[buffer * limits.HASHING_BUFFER_BYTES : buffer * limits.HASHING_BUFFER_BYTES + length]
