"""Files that keep part of their content: in a clone, in a copy of the kept ranges, or written where they are."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable

from farshore import limits
from farshore.handles import Handle
from farshore.model import dataclass
from farshore.targets.directory.posix_files import write_all

_CLONE = 0x40049409  # FICLONE
_PUNCH = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
Stamp = tuple[int, int, int, int]  # device, inode, size, mtime_ns
Ranges = tuple[tuple[int, int], ...]  # start, end


@dataclass(frozen=True, slots=True)
class Patch:
    """The parts of an existing file that the restored one keeps.

    `seen` is its stamp when it was compared. `kept` are ranges with the right content, `holes` those that must be
    holes; all else is written. `in_place`: it may be written as it is, where it cannot be cloned.
    """

    seen: Stamp
    kept: Ranges
    holes: Ranges
    in_place: bool


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp that identifies a file and shows whether it changed."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def clone(first: Handle, copy: Handle) -> bool:
    """Make an empty file share all content of another; return whether the file system can."""
    try:
        fcntl.ioctl(copy.fd, _CLONE, first.fd)
    except OSError:
        return False
    return True


def copy_ranges(first: Handle, copy: Handle, ranges: Iterable[tuple[int, int]]) -> None:
    """Copy ranges of one file into another; the kernel does it, and shares what it can.

    Raises:
        OSError: The file is shorter than it was, or the disk is full.
    """
    for at, end in ranges:
        left = end - at
        while left:
            done = _copy_some(first, copy, end - left, left)
            if not done:
                raise OSError(errno.EIO, "the file became shorter")
            left -= done


def dig_holes(file: Handle, ranges: Iterable[tuple[int, int]]) -> None:
    """Turn ranges of a file into holes, or into zeros where the file system has none.

    Raises:
        OSError: The disk is full, or fails.
    """
    for start, end in ranges:
        for data, stop in data_runs(file, start, end):
            if not _punch(file, data, stop - data):
                for at in range(data, stop, limits.READ_BYTES):
                    write_all(file, at, bytes(min(limits.READ_BYTES, stop - at)))


def data_runs(file: Handle, start: int, end: int) -> list[tuple[int, int]]:
    """Return where a file has data within a range."""
    runs = []
    while start < end:
        try:
            data = os.lseek(file.fd, start, os.SEEK_DATA)
            if data >= end:
                break
            start = min(os.lseek(file.fd, data, os.SEEK_HOLE), end)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                break
            data, start = start, end  # the file system does not say
        runs.append((data, start))
    return runs


def _copy_some(first: Handle, copy: Handle, at: int, count: int) -> int:
    with contextlib.suppress(OSError, AttributeError):  # across file systems, or of a kind that cannot
        done = os.copy_file_range(first.fd, copy.fd, count, at, at)
        if done:
            return done
    data = os.pread(first.fd, min(count, limits.READ_BYTES), at)
    write_all(copy, at, data)
    return len(data)


def _punch(file: Handle, start: int, length: int) -> bool:
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return int(fallocate(file.fd, _PUNCH, start, length)) == 0
