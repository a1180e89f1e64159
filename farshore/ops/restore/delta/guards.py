"""Databases that must not be written into: running, locked, or another one than the snapshot is of.

A process is found by its files and its working directory, as far as this user may look; one in a container whose
processes are not visible here is not found.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from farshore.errors import TargetForbidden
from farshore.plural import count_of
from farshore.targets.directory.replacing_tree import is_temporary

_PROCESSES = Path("/proc")
_MARKS = ("PG_VERSION", "global/pg_control")  # one of which a data directory has, a half restored one too
_IDENTIFIER = struct.Struct("=Q")  # the first bytes of pg_control, in the byte order of its machine
_LOCK_BYTE, _LOCK_BYTES = 0x40000000, 512  # of an SQLite database: where its connections hold their locks
_SHARED_LOCK_BYTE = 128  # of its -shm: held by every connection
_FLOCK = struct.Struct("hhqqi4x")
BESIDE = ("-wal", "-shm", "-journal")  # files that SQLite keeps beside a database


def check_postgres(path: Path, facts: Mapping[str, str], *, delete: bool, selected: bool) -> None:
    """Check that a directory is that of a stopped server, and of the cluster that the snapshot is of.

    Raises:
        TargetForbidden: It is not, or only part of the cluster would be brought back.
    """
    if selected:
        raise TargetForbidden(
            "a part of a PostgreSQL cluster beside files of another moment is no cluster",
            "Leave the patterns out, or restore the files that you need into a new directory.",
        )
    with contextlib.suppress(OSError):
        found = (path / "global" / "pg_control").read_bytes()[: _IDENTIFIER.size]
        wanted = facts.get("system_identifier", "")
        if len(found) == _IDENTIFIER.size and wanted and str(_IDENTIFIER.unpack(found)[0]) != wanted:
            raise TargetForbidden(
                f"{path} is another PostgreSQL cluster: its system identifier is {_IDENTIFIER.unpack(found)[0]}, that "
                f"of the snapshot {wanted}",
                "Nothing was changed. Name the data directory that the snapshot is of, or a new one.",
            )
    there = [name for name in _names(path) if not is_temporary(os.fsencode(name))]
    if there and not any((path / mark).exists() for mark in _MARKS):
        raise TargetForbidden(
            f"{path} has {count_of(len(there), 'name')} in it and is no PostgreSQL data directory",
            "Nothing was changed. Name the data directory of the stopped server, or an empty one.",
        )
    process = _postmaster(path)
    if process:
        raise TargetForbidden(
            f"a PostgreSQL server is running in {path} (process {process})",
            "Stop it ('pg_ctl stop'), then run again. If there is none, remove its postmaster.pid.",
        )
    if not delete and there:
        raise TargetForbidden(
            f"{path} may hold files of another moment, such as WAL, that must not stay beside those of the snapshot",
            "Nothing was changed. Run again with --delete, after a look with --dry-run.",
        )


def check_sqlite(path: Path, databases: Sequence[str]) -> None:
    """Check that nobody has one of the databases in a directory open.

    Raises:
        TargetForbidden: Somebody has.
    """
    for name in databases:
        files = [path / name, *(path / f"{name}{ending}" for ending in BESIDE)]
        if _is_locked(files[0], _LOCK_BYTE, _LOCK_BYTES) or _is_locked(files[2], _SHARED_LOCK_BYTE, 1):
            raise TargetForbidden(f"the SQLite database {files[0]} is in use: another process holds a lock on it")
        process = _process_with(files)
        if process:
            raise TargetForbidden(
                f"the SQLite database {files[0]} is in use: process {process} has it open",
                "Nothing was changed. Stop the application, then run again.",
            )


def _names(path: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (one.name for one in path.iterdir())


def _postmaster(path: Path) -> int:
    """Return the process of the server that runs in a data directory; 0 where there is none."""
    for process in _pids():
        if _runs_in(process, path) and "postgres" in _command(process):
            return process
    with contextlib.suppress(OSError, ValueError, IndexError):
        process = abs(int((path / "postmaster.pid").read_text("utf-8", "replace").splitlines()[0]))
        if process and _is_alive(process) and _runs_in(process, path) is not False:
            return process
    return 0


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def _runs_in(process: int, path: Path) -> bool | None:
    """Return whether a process has a directory as its own; None where we may not look."""
    try:
        return (_PROCESSES / str(process) / "cwd").samefile(path)
    except OSError:
        return None


def _command(process: int) -> str:
    with contextlib.suppress(OSError):
        return (_PROCESSES / str(process) / "comm").read_text("utf-8", "replace")
    return ""


def _process_with(files: Sequence[Path]) -> int:
    """Return a process that has one of some files open; 0 where there is none that we may see."""
    wanted = set()
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            wanted.add((status.st_dev, status.st_ino))
    for process in _pids() if wanted else ():
        with contextlib.suppress(OSError), os.scandir(_PROCESSES / str(process) / "fd") as descriptors:
            for one in descriptors:
                with contextlib.suppress(OSError):
                    status = one.stat()
                    if (status.st_dev, status.st_ino) in wanted:
                        return process
    return 0


def _pids() -> Iterator[int]:
    """Yield processes but this one."""
    for name in _names(_PROCESSES):
        if name.isdigit() and int(name) != os.getpid():
            yield int(name)


def _is_locked(file: Path, start: int, length: int) -> bool:
    """Return whether another process holds a lock within a range of a file."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # there is none, or it is closed to us
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        return bool(_FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
