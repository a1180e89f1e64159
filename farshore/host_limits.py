"""Limits of this host for a process: open files, memory, processes. Reaching one is no fault of files or replicas.

Code that turns an error of the system into a problem of one entry, or of one replica, asks here first.
"""

from __future__ import annotations

import errno
import os
import resource

from farshore.errors import HostExhausted

_OPEN_FILES_SHARE = 16  # each cache of open files may have this part of them, so a run with several fits
_OPEN_FILES_MIN = 4
_MEMORY = "this host, or what the process may have of it, is out of memory"
_MEMORY_HINT = "Give the process more memory (a limit of its container, MemoryMax= of its unit), then run again."
_PROCESSES = "no further process or thread can be started"
_PROCESSES_HINT = "Raise the limit of processes (ulimit -u, TasksMax= of a unit, pids of a container), then run again."
_DISK = "no space is left on a disk that this run writes to"
_DISK_HINT = "Free space there, or name other directories with TMPDIR and FARSHORE_CACHE, then run again."
_FULL = (errno.ENOSPC, errno.EDQUOT)


def open_files_max(most: int) -> int:
    """Return how many files a cache keeps open: `most`, or its share of what the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft < 0 else max(_OPEN_FILES_MIN, min(most, soft // _OPEN_FILES_SHARE))


def try_open_files(count: int = _OPEN_FILES_MIN) -> HostExhausted | None:
    """Return the limit that keeps this process from opening `count` more files; None if nothing does.

    For libraries that say no more than that a file could not be opened.
    """
    opened: list[int] = []
    try:
        while len(opened) < count:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return what_is_exhausted(error)
    finally:
        for fd in opened:
            os.close(fd)
    return None


def check_host(error: OSError, *, reading: bool = False) -> None:
    """Do nothing, unless an error of the system is about this process or host.

    Args:
        reading: It happened while reading, so a full disk is one of ours.

    Raises:
        HostExhausted: It is.
    """
    exhausted = what_is_exhausted(error)
    if exhausted is None and reading and error.errno in _FULL:
        exhausted = HostExhausted(_DISK, _DISK_HINT)
    if exhausted is not None:
        raise exhausted from error


def what_is_exhausted(error: BaseException, *, unexpected: bool = False) -> HostExhausted | None:
    """Return the error of a run for an exception; None if this process reached no limit.

    Args:
        unexpected: Nothing expected it, so that starting a process or a thread may have failed.
    """
    number = error.errno if isinstance(error, OSError) else 0
    if number == errno.EMFILE:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return HostExhausted(
            f"too many open files: this process may have {soft}",
            "Raise the limit to 1,024 or more (ulimit -n, LimitNOFILE= of a unit), then run again.",
        )
    if number == errno.ENFILE:
        return HostExhausted(
            "too many open files on this host", "See which process has them, or raise fs.file-max, then run again."
        )
    if number == errno.ENOMEM or isinstance(error, MemoryError):
        return HostExhausted(_MEMORY, _MEMORY_HINT)
    if unexpected and (number == errno.EAGAIN or "can't start new thread" in str(error)):
        return HostExhausted(_PROCESSES, _PROCESSES_HINT)
    return None
