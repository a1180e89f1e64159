"""Directories opened by path below one root, never through a symlink. Shared by the directory source and target.

Every step is an `openat` with O_NOFOLLOW from the directory above, so a parent that is swapped for a symlink leads
nowhere, and paths may be longer than the kernel accepts in one call. A bounded number of directories stays open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import OrderedDict

from farshore.host_resources import open_files_max

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ATIME = getattr(os, "O_NOATIME", 0)


class Handle:
    """A file descriptor that closes when nobody holds it any more, so a cache may forget what others still use.

    Hand on the handle, never its number alone: while a caller holds only the number, the file may close, and the number
    may mean another file by then.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close now. Safe to repeat.

        Raises:
            OSError: The file system reports a late write error.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                self.close()


def open_unnoticed(name: bytes, flags: int, *, dir_fd: int) -> int:
    """Open for reading without touching the access time, where the kernel lets us (owner or privileged)."""
    try:
        return os.open(name, flags | _NO_ATIME, dir_fd=dir_fd)
    except PermissionError as error:
        if error.errno != errno.EPERM or not _NO_ATIME:
            raise
    return os.open(name, flags, dir_fd=dir_fd)


class HandleCache:
    """The `open_max` handles used last, by path; others close once nobody holds them. Safe from any thread.

    They are fewer where the process may not have that many files open.
    """

    def __init__(self, *, open_max: int) -> None:
        self._open_max = open_files_max(open_max)
        self._open: OrderedDict[bytes, Handle] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: bytes) -> Handle | None:
        """Return the handle kept for `path`."""
        with self._lock:
            handle = self._open.get(path)
            if handle is not None:
                self._open.move_to_end(path)
            return handle

    def put(self, path: bytes, handle: Handle) -> None:
        """Keep `handle` for `path`."""
        dropped = None
        with self._lock:
            self._open[path] = handle
            if len(self._open) > self._open_max:
                _, dropped = self._open.popitem(last=False)
        del dropped  # closes outside the lock

    def pop(self, path: bytes) -> Handle | None:
        """Return the handle kept for `path` and forget it."""
        with self._lock:
            return self._open.pop(path, None)

    def clear(self) -> None:
        """Forget every handle."""
        with self._lock:
            dropped, self._open = self._open, OrderedDict()
        dropped.clear()


class DirectoryHandles:
    """Open directories below `root`, by relative path. Safe from any thread."""

    def __init__(self, *, root: Handle, open_max: int) -> None:
        self._root = root
        self._cache = HandleCache(open_max=open_max)
        self._last: tuple[bytes, Handle] = b"", root  # files come directory by directory

    @property
    def root(self) -> Handle:
        """The root directory."""
        return self._root

    def get(self, path: bytes, *, make_mode: int | None = None) -> Handle:
        """Return the directory at `path`; with `make_mode`, make it and its parents where they are missing.

        Raises:
            NotADirectoryError: Something on the way is a symlink or no directory.
            OSError: A directory could not be opened.
        """
        last = self._last
        if last[0] == path:
            return last[1]
        known, handle = self._nearest(path)
        while known < len(path):
            start = known + 1 if known else 0
            end = path.find(b"/", start)
            known = len(path) if end < 0 else end
            handle = self.below(handle, path[start:known], path[:known], make_mode=make_mode)
        self._last = path, handle
        return handle

    def below(self, above: Handle, name: bytes, path: bytes, *, make_mode: int | None = None) -> Handle:
        """Open the directory `name` in `above` and keep it as `path`. Raises as `get`."""
        try:
            fd = open_unnoticed(name, DIRECTORY_FLAGS, dir_fd=above.fd)
        except FileNotFoundError:
            if make_mode is None:
                raise
            with contextlib.suppress(FileExistsError):  # another thread was first
                os.mkdir(name, make_mode, dir_fd=above.fd)
            fd = os.open(name, DIRECTORY_FLAGS, dir_fd=above.fd)
        handle = Handle(fd)
        self._cache.put(path, handle)
        return handle

    def close(self) -> None:
        """Close the handles that nobody holds; the root belongs to the caller."""
        self._last = b"", self._root
        self._cache.clear()

    def _nearest(self, path: bytes) -> tuple[int, Handle]:
        """Return the longest part of `path` that is open, as its length, with its handle."""
        known = len(path)
        while known > 0:
            handle = self._cache.get(path[:known])
            if handle is not None:
                return known, handle
            known = max(0, path.rfind(b"/", 0, known))
        return 0, self._root
