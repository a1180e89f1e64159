"""Bytes into files of a restore target, and the whole file system to its disk."""

from __future__ import annotations

import ctypes
import errno
import os

from farshore import limits
from farshore.handles import Handle


def write_all(file: Handle, offset: int, data: bytes | memoryview) -> None:
    """Write all of `data` at `offset`; one call in the usual case.

    Raises:
        OSError: The disk is full, or fails.
    """
    written = os.pwrite(file.fd, data, offset) if len(data) else 0
    if written < len(data):  # full, over quota, or above what one call takes: the next call says which
        rest = memoryview(data).cast("B")[written:]
        while rest:
            offset += written
            written = os.pwrite(file.fd, rest, offset)
            rest = rest[written:]


def copy_runs(first: Handle, copy: Handle, size: int) -> None:
    """Copy the data of one file into another of the same size, leaving holes as they are."""
    at = 0
    while at < size:
        try:
            at = os.lseek(first.fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole to the end
                return
            raise
        end = min(os.lseek(first.fd, at, os.SEEK_HOLE), size)
        while at < end:
            data = os.pread(first.fd, min(limits.READ_BYTES, end - at), at)
            if not data:
                raise OSError(errno.EIO, "the file is shorter than it was restored")
            write_all(copy, at, data)
            at += len(data)


def sync_file_system(directory: Handle) -> None:
    """Make everything on the file system of `directory` durable: one call instead of one for each of a million files.

    Raises:
        OSError: Something written since `directory` was opened did not reach the disk.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(directory.fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
