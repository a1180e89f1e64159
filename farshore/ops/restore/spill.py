"""A file without a name for opened content that is needed again later than memory can hold it.

Each segment has a place of its own there, as long as its content, of which only what is needed again is written. Places
are used again, so the file is as long as what it held at once. It is gone with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from farshore import limits
from farshore.errors import TargetFailed
from farshore.handles import Handle
from farshore.host_resources import free_bytes
from farshore.targets.directory.posix_files import write_all

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of fallocate(2)
_LOOKED_EVERY_BYTES = 16 * limits.MIB  # written between two looks at what is free


class SpillFile:
    """Segments on disk. Safe from many threads.

    Args:
        place: A directory on the disk to use; the file is made when it is first needed.
        reserved_bytes: How much of that disk others are going to need.
    """

    def __init__(self, *, place: Path, reserved_bytes: Callable[[], int] = lambda: 0) -> None:
        self._place = place
        self._reserved_bytes = reserved_bytes
        self._file: Handle | None = None
        self._lock = threading.Lock()
        self._free: dict[int, list[int]] = {}  # places to use again, by how many slots they have
        self._end = 0
        self._left_bytes = 0  # that may be written before the next look at the disk
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.written_bytes = 0  # for tests: nothing else reads it
        self.full = False

    def write(self, ranges: Iterable[tuple[int, int]], data: memoryview) -> SpilledSegment | None:
        """Keep ranges (start, end) of a segment's content; None where there is no room for them."""
        chosen = list(ranges)
        file = self._admit(sum(end - start for start, end in chosen))
        if file is None:
            return None
        base = self._allocate_slots(len(data))
        try:
            for start, end in chosen:
                write_all(file, base + start, data[start:end])
        except OSError:
            self.forget(base, len(data))
            self.full = True
            return None
        return SpilledSegment(self, base, len(data))

    def read(self, at: int, length: int) -> memoryview:
        """Return bytes that were kept.

        Raises:
            TargetFailed: The disk fails.
        """
        file = self._file
        try:
            data = b"" if file is None else os.pread(file.fd, length, at)
        except OSError as error:
            raise TargetFailed(f"content kept aside at the target cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise TargetFailed("content kept aside at the target is cut short")
        return memoryview(data)

    def forget(self, base: int, length: int) -> None:
        """Use the place again for others, and give its disk back meanwhile, on file systems that can."""
        punch = getattr(self._libc, "fallocate", None)
        if self._file is not None and punch is not None:
            flags = _KEEP_SIZE | _PUNCH_HOLE
            punch(self._file.fd, flags, ctypes.c_int64(base), ctypes.c_int64(length))
        with self._lock:
            self._free.setdefault(_slots(length), []).append(base)
            self.full = False

    def close(self) -> None:
        """Forget everything. Safe to repeat."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _allocate_slots(self, length: int) -> int:
        with self._lock:
            free = self._free.get(_slots(length))
            if free:
                return free.pop()
            base, self._end = self._end, self._end + _slots(length) * limits.SEGMENT_BYTES
            return base

    def _admit(self, length: int) -> Handle | None:
        """Return the file if `length` bytes may be written: others need some of the disk, too."""
        with self._lock:
            if self.full:
                return None
            try:
                if self._left_bytes < length:
                    free = free_bytes(self._place) - self._reserved_bytes() - limits.SPOOL_FREE_BYTES_MIN
                    self._left_bytes = min(free, max(_LOOKED_EVERY_BYTES, length))
                if self._left_bytes < length:
                    self.full = True
                    return None
                self._left_bytes -= length
                if self._file is None:
                    with tempfile.TemporaryFile(dir=self._place) as file:
                        self._file = Handle(os.dup(file.fileno()))
            except OSError:
                self.full = True
                return None
            self.written_bytes += length
            return self._file


def _slots(length: int) -> int:
    return max(1, -(-length // limits.SEGMENT_BYTES))


class SpilledSegment(NamedTuple):
    """A segment of which what is needed later is in a spill file."""

    file: SpillFile
    base: int
    length: int

    def read(self, offset: int, length: int) -> memoryview:
        """Return bytes of the segment. Raises as `SpillFile.read`."""
        return self.file.read(self.base + offset, length)

    def forget(self) -> None:
        """Give its place back; nothing of it is read any more."""
        self.file.forget(self.base, self.length)
