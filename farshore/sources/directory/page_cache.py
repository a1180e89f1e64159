"""Reading a large file leaves the page cache as it was before.

A backup reads everything once, so pages that it brings in are dropped again. But the hot pages of a database are its
own, and dropping them would slow it down every night.
"""

from __future__ import annotations

import errno
import os

from farshore import limits

LARGE_BYTES = 8 * limits.MIB  # a file below this disturbs nobody
_SAMPLES = 16
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux: read what is in the cache, and nothing else


def begin_reading(fd: int, start: int, length: int) -> bool:
    """Advise the kernel that a range will be read in order; return whether to drop it behind the reader."""
    if length < LARGE_BYTES:
        return False
    keep = is_cached(fd, start, length)  # before the advice, which makes the kernel read ahead
    _advise(fd, start, length, "POSIX_FADV_SEQUENTIAL")
    return not keep


def drop(fd: int, start: int, length: int) -> None:
    """Drop a range from the page cache. Pages that were written and not yet flushed stay."""
    _advise(fd, start, length, "POSIX_FADV_DONTNEED")


def is_cached(fd: int, start: int, length: int) -> bool:
    """Whether most of a range is in the page cache, by a few samples; False where the kernel does not say.

    Each probe makes the kernel read the probed page, so ask once, before reading.
    """
    if not _NOWAIT:
        return False
    cached = sum(_is_byte_cached(fd, start + length * sample // _SAMPLES) for sample in range(_SAMPLES))
    return cached > _SAMPLES // 2


def _is_byte_cached(fd: int, offset: int) -> bool:
    try:
        return os.preadv(fd, [bytearray(1)], offset, _NOWAIT) == 1
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return False
        raise


def _advise(fd: int, offset: int, length: int, advice: str) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, getattr(os, advice))
