"""Stretches of large files on their way to the target: gathered, hashed, written by threads while the next is gathered.

Chunks are pieces of any size, from anywhere. Large ones that a disk can read where they are, as those of a database
are, are written from there. The others are gathered in a few buffers of their own and written in few calls, from memory
that a disk can read directly, and their segments can be let go.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from farshore import limits
from farshore.errors import TargetFailed
from farshore.model import Entry
from farshore.page_pool import make_pages
from farshore.sealed.content_hash import ContentHash
from farshore.targets.base import Target

_IN_PLACE_BYTES_MIN = limits.MIB  # below this a copy costs less than another call
_WRITING_MAX = 2 * limits.STAGES  # stretches handed to the threads: the next is there when one is written


class FileWriteBuffer:
    """Writes content of one file after another, each from first byte to last. One thread."""

    def __init__(self, *, target: Target) -> None:
        self._target = target
        self._pool = ThreadPoolExecutor(1 if target.in_order else limits.STAGES, thread_name_prefix="write")
        self._free: list[memoryview] = []
        self._made = 0
        self._writing: deque[tuple[Future[None], memoryview | None]] = deque()  # with the stage that gets free
        self._stage = memoryview(b"")
        self._filled = 0
        self._at = 0

    def add(self, entry: Entry, hasher: ContentHash, offset: int, data: memoryview) -> None:
        """Add bytes of a file at `offset`; they are copied, or kept as they are until they are written.

        Raises:
            TargetFailed: Earlier bytes could not be written.
        """
        if offset != self._at + self._filled:
            self.flush(entry, hasher)
        if not self._filled and _can_be_written_in_place(offset, data):
            self._at = offset + len(data)
            self._write(entry, hasher, offset, data, None)
            return
        while data:
            if not self._filled:
                self._stage = self._stage or self._free_stage()
                self._at = offset
            count = min(len(data), limits.STAGE_BYTES - self._filled)
            self._stage[self._filled : self._filled + count] = data[:count]
            self._filled += count
            offset += count
            data = data[count:]
            if self._filled == limits.STAGE_BYTES:
                self.flush(entry, hasher)

    def flush(self, entry: Entry, hasher: ContentHash) -> None:
        """Hash what was gathered, and start writing it."""
        if not self._filled:
            return
        self._write(entry, hasher, self._at, self._stage[: self._filled], self._stage)
        self._stage, self._filled = memoryview(b""), 0

    def wait(self) -> None:
        """Wait until all that was flushed is written.

        Raises:
            TargetFailed: It could not be.
        """
        while self._writing:
            self._finish_one()

    def close(self) -> None:
        """Stop the threads. Safe to repeat."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _write(
        self, entry: Entry, hasher: ContentHash, offset: int, stretch: memoryview, stage: memoryview | None
    ) -> None:
        """Hash a stretch and start writing it. The memory that is hashed is the one that is written."""
        while len(self._writing) >= _WRITING_MAX:
            self._finish_one()
        hasher.update(stretch)
        self._writing.append((self._pool.submit(self._target.write, entry, offset, stretch), stage))

    def _free_stage(self) -> memoryview:
        if not self._free and self._made < limits.STAGES:
            self._made += 1
            return make_pages(limits.STAGE_BYTES)  # as writing past the cache needs them
        while not self._free:
            self._finish_one()
        return self._free.pop()

    def _finish_one(self) -> None:
        future, stage = self._writing.popleft()
        if stage is not None:
            self._free.append(stage)
        try:
            future.result()
        except OSError as error:
            raise TargetFailed(f"the target cannot be written: {error.strerror or error}") from error


def _can_be_written_in_place(offset: int, data: memoryview) -> bool:
    if len(data) < _IN_PLACE_BYTES_MIN:
        return False
    address = np.frombuffer(data, np.uint8).ctypes.data
    return not (offset | len(data) | address) % limits.DIRECT_ALIGNED_BYTES
