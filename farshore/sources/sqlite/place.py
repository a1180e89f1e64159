"""The name by which to open a database, and whether it is at rest.

SQLite keeps the last commits (`-wal`), and the pages to roll back after a crash (`-journal`), beside the name by which
the database was opened. By another name of the same file it finds neither, and reads an older or half-written state.
Locks, though, belong to the file and are seen by all of its names.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

from farshore.clock import Clock
from farshore.errors import SourceChanged, SourceUnsupported
from farshore.model import dataclass
from farshore.sources.posix_names import find_names

_LOGS = ("-wal", "-journal")
_SIGNS = ("-wal", "-shm", "-journal")
# The bytes of a database file that SQLite locks: pending, reserved, and 510 shared ones.
_LOCKS_OFFSET, _LOCKS_BYTES = 0x40000000, 512
_FLOCK = struct.Struct("hhqqi4x")
_LOOKS, _LOOK_S = 10, 0.2  # a program that just opens the database makes its -shm a moment after it has the lock
_NAME_HINT = (
    "Give path as the name by which the application opens the database, seen from where the backup runs; mount the "
    "directory instead of the single file."
)


def choose_name(path: Path, *, wal: bool, clock: Clock) -> Path:
    """Return the name by which to open the database at `path`.

    Args:
        wal: Whether it is in WAL mode.
    Raises:
        SourceUnsupported: It has another name that cannot be seen, beside which the rest of its data may be.
        OSError: It cannot be looked at.
    """
    real = path.resolve()
    names = find_names(real)
    with_log = [name for name in names.paths if _any_content(name, _LOGS)]
    if len(with_log) > 1:
        raise SourceUnsupported(
            f"the database {path} is one file with {with_log[1]}, and both have a log of their own beside them",
            "Two programs opened it by two names, which damages a database. Stop both, and see which log is wanted.",
        )
    used = with_log or [name for name in names.paths if _any_there(name, _SIGNS)]
    if real in used:
        return real
    if used:
        return used[0]
    if not names.complete:
        raise SourceUnsupported(
            f"the database {path} has other names (hard links, or it is mounted as a file) that are not seen here",
            "What was committed last may be beside another name. " + _NAME_HINT,
        )
    if wal and _stays_open_elsewhere(real, clock):
        raise SourceUnsupported(
            f"the database {path} is open in WAL mode by another name: there is no -wal or -shm beside this one",
            _NAME_HINT,
        )
    return real


def is_open(path: Path) -> bool | None:
    """Return whether another process has a lock on the database: in WAL mode, whether it has it open at all.

    None where the system has no answer. Do not call it while this process has the database open: closing the file
    would give up all of its locks.
    """
    if sys.platform != "linux":
        return None
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCKS_OFFSET, _LOCKS_BYTES, 0)
    with path.open("rb") as file:
        try:
            (kind, *_) = _FLOCK.unpack(fcntl.fcntl(file.fileno(), fcntl.F_GETLK, asked))
        except OSError:  # a file system without locks
            return None
    return bool(kind != fcntl.F_UNLCK)


@dataclass(frozen=True, slots=True)
class Rest:
    """A database at rest: nobody has it open, and no log waits to be applied. Then the file alone is all of it."""

    path: Path
    nobody_writes: bool  # as far as is known: the only evidence where locks cannot be read
    stamp: tuple[int, int, int, int]

    def check(self) -> None:
        """Check that it has been at rest until now.

        Raises:
            SourceChanged: Somebody opened it meanwhile.
        """
        if find_rest(self.path, nobody_writes=self.nobody_writes) != self:
            raise SourceChanged(f"the database {self.path} was opened while it was copied", "Run the backup again.")


def find_rest(path: Path, *, nobody_writes: bool = False) -> Rest | None:
    """Return the database at rest, or None if it is at work or that cannot be known.

    Raises:
        OSError: It cannot be looked at.
    """
    opened = is_open(path)
    if _any_content(path, _LOGS) or opened or (opened is None and not nobody_writes):
        return None
    status = path.stat()
    return Rest(path, nobody_writes, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


def waiting_log(path: Path) -> Path | None:
    """Return the log with content beside a name, if there is one."""
    return next((beside for suffix in _LOGS if _has_content(beside := path.with_name(path.name + suffix))), None)


def _any_content(path: Path, suffixes: tuple[str, ...]) -> bool:
    return any(_has_content(path.with_name(path.name + suffix)) for suffix in suffixes)


def _any_there(path: Path, suffixes: tuple[str, ...]) -> bool:
    return any(path.with_name(path.name + suffix).exists() for suffix in suffixes)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _stays_open_elsewhere(path: Path, clock: Clock) -> bool:
    for _ in range(_LOOKS):
        if _any_there(path, _SIGNS) or not is_open(path):
            return False
        clock.wait_s(_LOOK_S)
    return True
