"""Write a large object past the page cache where that can be done.

A replica's packs are not read again soon. Through the cache each byte is copied once more, pushes out what others use,
and waits for the flush at the end; with three replicas on one machine that costs more than sealing did.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

from farshore import limits

_DIRECT = getattr(os, "O_DIRECT", 0)


def write_pieces(file: int, pieces: Iterator[bytes | memoryview]) -> None:
    """Write pieces to a new file from its beginning; nothing is flushed.

    Whole blocks of large pieces, from memory that is aligned, go to the disk at once. The rest, and everything where
    the file system or the memory is not made for it, goes through the cache: a disk writes small pieces one by one.

    Raises:
        OSError: The disk is full, or fails.
    """
    direct = False
    for number, piece in enumerate(pieces):
        view = memoryview(piece).cast("B")
        if not number:
            direct = len(view) >= limits.DIRECT_WRITE_BYTES_MIN and _set_direct(file, wanted=True)
        while view:
            large = len(view) >= limits.DIRECT_WRITE_BYTES_MIN
            blocks = len(view) - len(view) % limits.DIRECT_ALIGNED_BYTES
            count = _write_direct(file, view[:blocks]) if direct and large else 0
            if direct and not count:
                _set_direct(file, wanted=False)
                direct = False
            view = view[count or os.write(file, view) :]


def _write_direct(file: int, view: memoryview) -> int:
    """Write past the cache; return 0 if that cannot be done from here on."""
    try:
        return os.write(file, view)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return 0  # of memory, a file system or, after a short write, an offset that cannot


def _set_direct(file: int, *, wanted: bool) -> bool:
    """Open or close the way past the cache; return whether that could be done."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | _DIRECT if wanted else flags & ~_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return bool(_DIRECT)
