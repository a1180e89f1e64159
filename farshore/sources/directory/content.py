"""The content of one file of a directory tree: data and holes as they are on disk, with proof that it held still.

The file is opened once and everything is asked of the open file, so no rename can mix two files. The proof is that
size, mtime, ctime and inode are the same before the first byte and after the last. Kernels stamp files by a clock tick,
so a file stamped within the last tick is given a moment first: a later write then always leaves a new stamp.
A process that writes through a shared memory map stamps the file only when the kernel flushes it: no reader sees that.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import TypeVar

from farshore import limits
from farshore.clock import Clock
from farshore.errors import SourceChanged
from farshore.handles import DirectoryHandles, Handle, open_unnoticed
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.sources.base import Data, Hole, Piece
from farshore.sources.directory import page_cache
from farshore.sources.directory.metadata import FILE_FLAGS, MetadataReader, split_path

_BLOCK_BYTES = 512  # st_blocks counts these, whatever the file system's own blocks are
_HOLE_BYTES_MIN = 4 * limits.KIB  # no file system keeps smaller holes: a file up to here is all data or all hole
_NS = 1_000_000_000
_Read = TypeVar("_Read", Data, int)
_WAIT_MARGIN_S = 0.001  # clocks tell microseconds, waits may end a little early


class FileContent:
    """Implements `BufferedContent` for a regular file. One thread; not reusable."""

    def __init__(
        self,
        *,
        entry: Entry,
        page_bytes: int,
        handles: DirectoryHandles,
        metadata: MetadataReader,
        clock: Clock,
        settled_before_ns: int,
        again: bool,
        unannounced_bytes_max: int,
    ) -> None:
        """Make the content of `entry`.

        Args:
            page_bytes: 0 for a file cut by content.
            settled_before_ns: A file stamped before this moment shows any later write by a new stamp.
            again: Whether its attributes were read before, so that what failed was reported then.
            unannounced_bytes_max: That are read behind the size that the file claims.
        """
        self._entry = entry
        self._settled_before_ns = settled_before_ns
        self._again = again
        self._unannounced_bytes_max = unannounced_bytes_max
        self._page_bytes = page_bytes
        self._handles = handles
        self._metadata = metadata
        self._clock = clock
        self._fd = -1
        self._before: os.stat_result | None = None
        self._bytes = 0
        self._cause = "it was not read"

    def __enter__(self) -> FileContent:
        return self

    def __exit__(self, *exception: object) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def pieces(self) -> Iterator[Piece]:
        def read(start: int, end: int) -> tuple[int, Data]:
            data = os.pread(self._fd, min(limits.READ_BYTES, end - start), start)
            return len(data), Data(data)

        return self._pieces(read)

    def pieces_into(self, buffer: Callable[[], memoryview]) -> Iterator[Hole | int]:
        def read(start: int, end: int) -> tuple[int, int]:
            into = buffer()
            length = min(len(into) - start % len(into), end - start)  # as if the file had no holes
            count = os.preadv(self._fd, [into[:length]], start)
            return count, count

        return self._pieces(read)

    def _pieces(self, read: Callable[[int, int], tuple[int, _Read]]) -> Iterator[Hole | _Read]:
        before = self._open()
        if before is None:
            return
        for start, end, hole in self._runs(before):
            if hole:
                self._bytes += end - start
                yield Hole(end - start)
            else:
                yield from self._read(start, end, read)
        if self._bytes == before.st_size and self._goes_on(before):
            yield from self._read(before.st_size, before.st_size + self._unannounced_bytes_max, read)
            if self._bytes == before.st_size + self._unannounced_bytes_max:
                raise OSError(
                    errno.EFBIG, f"it claims {before.st_size} bytes, and more follow than are read of such a file"
                )

    def _goes_on(self, before: os.stat_result) -> bool:
        """Whether a file has content behind its size, as those have that a kernel or a program makes up."""
        return bool(os.pread(self._fd, 1, before.st_size)) and _stamp(os.fstat(self._fd)) == _stamp(before)

    def settled(self) -> Entry:
        before = self._before
        if before is None:
            raise self._changed()
        path, device = self._entry.path, before.st_dev
        xattrs = self._metadata.xattrs(self._fd, path, device, again=self._again)
        if _stamp(os.fstat(self._fd)) != _stamp(before):
            self._cause = "its size or times are not what they were at the start"
            raise self._changed()
        if self._bytes < before.st_size:
            cut = f"it ends after {self._bytes} of the {before.st_size} bytes that it claims"
            self._metadata.report(path, ProblemCode.UNREADABLE, f"{cut}, and is stored as far as it goes")
        entry = self._metadata.entry(path, EntryKind.FILE, before, xattrs=xattrs, page_bytes=self._page_bytes)
        return entry if self._bytes == before.st_size else entry._replace(size=self._bytes)

    def _changed(self) -> SourceChanged:
        path = self._entry.path.decode("utf-8", "backslashreplace")
        return SourceChanged(f"{path} changed while it was read: {self._cause}")

    def _open(self) -> os.stat_result | None:
        """Open the file; None when something else has its name by now, which `settled` then reports."""
        above, name = split_path(self._entry.path)
        try:
            directory = self._handles.get(above)
        except (NotADirectoryError, FileNotFoundError) as error:
            raise FileNotFoundError(errno.ENOENT, "its directory is not there any more") from error
        try:
            self._fd = _open_regular(name, directory)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # symlink, socket
                raise
            self._cause = "it is no longer a regular file"
            return None
        status = os.fstat(self._fd)
        scanned = (self._entry.device, self._entry.inode)
        if not stat.S_ISREG(status.st_mode):
            self._cause = "it is no longer a regular file"
        elif self._entry.links > 1 and (status.st_dev, status.st_ino) != scanned:
            self._cause = "another file has taken one of its names"  # the other names would be linked to this one
        else:
            self._before = self._let_tick_pass(status)
            return self._before or status
        return None

    def _let_tick_pass(self, status: os.stat_result) -> os.stat_result | None:
        """Return the status once its stamps are old enough that any later write shows; None if they never are."""
        if status.st_ctime_ns < self._settled_before_ns:
            return status
        for _ in range(limits.TIMESTAMP_WAITS_MAX):
            wait_s = self._until_told_apart_s(status)
            if wait_s <= 0:
                return status
            self._clock.wait_s(wait_s + _WAIT_MARGIN_S)
            status = os.fstat(self._fd)
        if self._until_told_apart_s(status) <= 0:
            return status
        self._cause = "it is written to all the time"
        return None

    def _until_told_apart_s(self, status: os.stat_result) -> float:
        now_ns = int(self._clock.now_utc().timestamp() * _NS)
        coarse = status.st_ctime_ns % _NS == 0
        tick_s = limits.TIMESTAMP_COARSE_S if coarse else limits.TIMESTAMP_TICK_S
        age_s = (now_ns - status.st_ctime_ns) / _NS
        return tick_s - age_s if -tick_s < age_s < tick_s else 0.0  # a stamp from the future would never get old

    def _runs(self, status: os.stat_result) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, end, is a hole) from first byte to last, as the file system reports them."""
        fd, size = self._fd, status.st_size
        if size <= _HOLE_BYTES_MIN and status.st_blocks * _BLOCK_BYTES >= size:
            yield 0, size, False  # spares the questions, which cost as much as reading a small file
            return
        at = 0
        while at < size:
            data = min(_seek(fd, at, os.SEEK_DATA, size), size)
            if data > at:
                yield at, data, True
            if data >= size:
                return
            at = min(max(_seek(fd, data, os.SEEK_HOLE, size), data + 1), size)
            yield data, at, False

    def _read(self, start: int, end: int, read: Callable[[int, int], tuple[int, _Read]]) -> Iterator[_Read]:
        fd = self._fd
        passing = page_cache.begin_reading(fd, start, end - start)
        while start < end:
            count, piece = read(start, end)
            if not count:
                return
            if passing:
                page_cache.drop(fd, start, count)
            start += count
            self._bytes += count
            yield piece


def _open_regular(name: bytes, directory: Handle) -> int:
    """Open for reading; waits for a lease (file servers hold them) only on what is certainly a regular file."""
    try:
        return open_unnoticed(name, FILE_FLAGS, dir_fd=directory.fd)
    except BlockingIOError:
        flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_PATH
        held = Handle(os.open(name, flags, dir_fd=directory.fd))
        if not stat.S_ISREG(os.fstat(held.fd).st_mode):
            raise
        return os.open(b"/proc/self/fd/%d" % held.fd, os.O_RDONLY | os.O_CLOEXEC)


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _seek(fd: int, at: int, whence: int, size: int) -> int:
    try:
        return os.lseek(fd, at, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data from here on
            return size
        if error.errno in (errno.EINVAL, errno.ENOTSUP):  # the file system does not tell: all of it is data
            return at if whence == os.SEEK_DATA else size
        raise
