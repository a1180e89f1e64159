"""This host as a run finds it: limits of a process, directories that a run writes to, and private scratch directories.

Reaching a limit (open files, memory, processes) is no fault of files or replicas: code that turns an error of the
system into a problem of one entry, or of one replica, asks here first. The directories hold nothing that a repository
needs: a run goes on without them where it can, and otherwise ends with an error that names the directory and the
setting that names it.

Nobody else reads a scratch directory, and a killed process does not leave it for ever. Each is made with mode 0700 and
removed on the way out. A process that is killed cannot remove its own, so each holds a lock for as long as its owner
lives, and the process that makes the next one removes those whose lock nobody holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import io
import logging
import os
import resource
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.errors import ConfigInvalid, FarshoreError, HostExhausted, StoreFull

_OPEN_FILES_SHARE = 16  # each cache of open files may have this part of them, so a run with several fits
_OPEN_FILES_MIN = 4
_MEMORY = "this host, or what the process may have of it, is out of memory"
_MEMORY_HINT = "Give the process more memory (a limit of its container, MemoryMax= of its unit), then run again."
_PROCESSES = "no further process or thread can be started"
_PROCESSES_HINT = "Raise the limit of processes (ulimit -u, TasksMax= of a unit, pids of a container), then run again."
_DISK = "no space is left on a disk that this run writes to"
_DISK_HINT = "Free space there, or name other directories with TMPDIR and FARSHORE_CACHE, then run again."
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TRIED_BYTES = 4096  # one block: a full disk refuses it
_UNBORN_PREFIX = "farshore-new-"  # not yet locked, so not yet to be found by `remove_orphans`
_LOCK_NAME = "lock"
_PRIVATE = 0o700
_OTHERS = 0o077
_OURS = frozenset({"audit", "cache", "credentials", "logs", "objects", "spool"})  # inside state directory and cache
_PROJECT = "farshore"
_SET_DUMPABLE = 4  # PR_SET_DUMPABLE
_log = logging.getLogger(__name__)


def open_files_max(most: int) -> int:
    """Return how many files a cache keeps open: `most`, or its share of what the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft < 0 else max(_OPEN_FILES_MIN, min(most, soft // _OPEN_FILES_SHARE))


def forbid_core_dumps() -> None:
    """Have the system write no memory of this process to a disk: it may hold keys, and what they open. Safe to repeat.

    Children need a call of their own. The limit is not enough where dumps go to a program (systemd-coredump, apport).
    The flag also keeps other processes of the same user from reading this one's memory and environment; this one still
    reads its own /proc/self/fd.
    """
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        prctl = getattr(ctypes.CDLL(None), "prctl", None)
        if prctl is not None:
            prctl(_SET_DUMPABLE, 0, 0, 0, 0)


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


@dataclass(frozen=True, slots=True)
class HostPlace:
    """One such directory: its name for people, and the settings that name it."""

    name: str
    setting: str


CACHE = HostPlace("cache directory", "FARSHORE_CACHE, or cache under [state],")
STATE = HostPlace("state directory", "FARSHORE_STATE_DIR, or dir under [state],")
TEMPORARY = HostPlace("temporary directory", "TMPDIR")


def unusable(place: HostPlace, path: Path | str, error: OSError) -> FarshoreError:
    """Return what to raise where a directory has no space (`StoreFull`) or cannot be used (`ConfigInvalid`).

    `HostExhausted` where that is no matter of the directory.
    """
    exhausted = what_is_exhausted(error)
    if exhausted is not None:
        return exhausted
    named = f"{place.name} {path}".rstrip()
    if error.errno in _FULL:
        return StoreFull(
            f"no space is left in the {named}",
            f"Free space there; {place.setting} can name another directory.",
        )
    return ConfigInvalid(
        f"the {named} cannot be used: {_reason(error)}",
        f"{place.setting} names it: let it be a directory that this user can write.",
    )


def make_private(place: HostPlace, path: Path) -> None:
    """Make a directory that only this user may enter, or close one that is there. Safe to repeat.

    One that others may enter is closed where that locks nobody out: it belongs to this user, and nothing but Farshore
    uses it. Any other is refused.

    Raises:
        ConfigInvalid: Others may enter it, and it is not closed here.
        OSError: It cannot be made or looked at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=_PRIVATE, exist_ok=True)
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if not mode & _OTHERS:
        return
    if status.st_uid == os.geteuid() and _is_ours(path):
        path.chmod(_PRIVATE)
        _log.warning("others could enter the %s %s (mode %04o); it has mode 0700 now", place.name, path, mode)
        return
    raise ConfigInvalid(
        f"others than its owner may enter the {place.name} {path} (mode {mode:04o})",
        f"If nothing else uses it: chmod 700 {path}, as its owner. Else let {place.setting} name one inside it: "
        "that is made with mode 0700.",
    )


def try_writing(path: Path) -> None:
    """Make a directory where it is not there, and write a block in it that is gone afterwards.

    Raises:
        OSError: Nothing can be written there now.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path, prefix=".try-", buffering=0) as file:
        if file.write(bytes(_TRIED_BYTES)) != _TRIED_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def open_new_file(path: Path, place: HostPlace) -> io.BufferedWriter:
    """Open a new file for writing in a directory of this host.

    Its failures are never those of what is read meanwhile: `write` and `close` raise as `unusable` says.
    """
    return io.BufferedWriter(_File(path, place))


class _File(io.FileIO):
    def __init__(self, path: Path, place: HostPlace) -> None:
        self._path, self._place = path, place
        try:
            super().__init__(path, "wb")
        except OSError as error:
            raise unusable(place, path.parent, error) from error

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            raise unusable(self._place, self._path.parent, error) from error


def _is_ours(path: Path) -> bool:
    """Whether nothing but Farshore uses a directory, by its name or by the names inside."""
    inside = {one.name for one in path.iterdir() if not one.name.startswith(".")}
    return _PROJECT in path.name.lower() or inside <= _OURS


def _reason(error: OSError) -> str:
    if isinstance(error, FileExistsError):
        return "a file, or a link to nothing, has its name"
    if isinstance(error, NotADirectoryError):
        return "it, or a part of its path, is a file"
    return error.strerror or str(error)


@contextlib.contextmanager
def scratch_directory(prefix: str, root: Path | None = None) -> Iterator[Path]:
    """Make an empty directory of our own, and remove it with all it holds, whatever happened. Safe from many threads.

    Args:
        prefix: Of its name; directories of killed processes are looked for by it.
        root: Where it is made, and made itself where it is not there; the system's place for temporary files if None.

    Raises:
        OSError: It could not be made.
    """
    place = Path(tempfile.gettempdir()) if root is None else root
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_orphans(place, prefix)
    unborn = Path(tempfile.mkdtemp(prefix=_UNBORN_PREFIX, dir=place))
    made = unborn
    try:
        with (unborn / _LOCK_NAME).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = unborn.rename(unborn.with_name(prefix + unborn.name.removeprefix(_UNBORN_PREFIX)))
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def temporary_directory(prefix: str) -> Iterator[Path]:
    """As `scratch_directory` in the system's place for temporary files.

    Raises:
        StoreFull, ConfigInvalid: It could not be made; the message names the place and the setting.
    """
    with contextlib.ExitStack() as resources:
        try:
            place = resources.enter_context(scratch_directory(prefix))
        except OSError as error:
            raise unusable(TEMPORARY, error.filename or "", error) from error
        yield place


@contextlib.contextmanager
def writable_or_temporary(place: HostPlace, path: Path) -> Iterator[Path]:
    """Return a private directory that can be written now: `path`, else a temporary one, with a warning.

    Raises:
        StoreFull, ConfigInvalid: Neither can be had; the message names `path` and its setting.
    """
    with contextlib.ExitStack() as resources:
        try:
            make_private(place, path)
            try_writing(path)
        except ConfigInvalid as trouble:
            path = resources.enter_context(temporary_instead(place, trouble))
        except OSError as error:
            path = resources.enter_context(temporary_instead(place, unusable(place, path, error)))
        yield path


@contextlib.contextmanager
def scratch_or_temporary(prefix: str, place: HostPlace, root: Path) -> Iterator[Path]:
    """As `scratch_directory` below `root`, which is in a directory of this host; else a temporary one, with a warning.

    Raises:
        StoreFull, ConfigInvalid: Neither could be made; the message names `root` and its setting.
    """
    with contextlib.ExitStack() as resources:
        try:
            made = resources.enter_context(scratch_directory(prefix, root))
        except OSError as error:
            made = resources.enter_context(temporary_instead(place, unusable(place, root, error)))
        yield made


@contextlib.contextmanager
def temporary_instead(place: HostPlace, trouble: FarshoreError) -> Iterator[Path]:
    """Return a temporary directory in place of one that proved unusable, with a warning.

    Raises:
        StoreFull, ConfigInvalid: `trouble`, where there can be no temporary one either.
    """
    with contextlib.ExitStack() as resources:
        try:
            own = resources.enter_context(temporary_directory(f"farshore-{place.name.partition(' ')[0]}-"))
        except FarshoreError as error:
            raise type(trouble)(f"{trouble.message}; and {error.message}", f"{trouble.hint} {error.hint}") from error
        _log.warning("%s; going on without it. %s", trouble.message, trouble.hint)
        yield own


def remove_orphans(root: Path, prefix: str) -> None:
    """Remove the directories of processes that are gone. Does nothing about those it cannot judge or remove."""
    for place in root.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # held by a living process, gone already, or of another user
            descriptor = os.open(place / _LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place, ignore_errors=True)
            finally:
                os.close(descriptor)


def free_bytes(place: Path) -> int:
    """Return how many bytes may still be written in the file system of `place`."""
    return shutil.disk_usage(place).free


def memory_bytes() -> int:
    """Return the memory of this host."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
