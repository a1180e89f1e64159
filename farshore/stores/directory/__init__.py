"""A store in a directory of a local or mounted file system: one file per object, below a root that must exist.

A put writes a file without a name, flushes it to the disk, gives it its name by a link that replaces nothing, and
flushes the directory: a reader or a power cut finds all of the object or none. Where the file system has no files
without names, the file is written beside its place under a name with a `~`, which no object name has, so that one left
behind by a crash is never listed. Symbolic links below the root are never followed. An object that is deleted as it was
seen is kept in a trash.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.clock import Clock
from farshore.errors import (
    BucketNotFound,
    FarshoreError,
    LockUnsupported,
    ObjectCorrupt,
    ObjectNotFound,
    StoreConflict,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from farshore.host_resources import what_is_exhausted
from farshore.limits import GIB, WHOLE_READ_BYTES_MAX
from farshore.stores.base import (
    ANY_OBJECT,
    Body,
    Capabilities,
    DeletionErrors,
    ObjectInfo,
    PutOutcome,
    SeenObjects,
    Trash,
    Wanted,
    check_name,
    check_range,
    check_seen,
    is_name,
)
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention
from farshore.stores.traffic import ServiceClock

if TYPE_CHECKING:
    from farshore.stores.directory.copying import DirectoryCopying
    from farshore.stores.directory.trash import DirectoryTrash
    from farshore.stores.directory.writing import DirectoryWriter

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_AN_OBJECT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}  # ENXIO: a socket
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _DIRECTORY | os.O_NOFOLLOW


class DirectoryStore:
    """Objects as files below `path`. Needs a file system with hard links; the root itself may be a symbolic link."""

    capabilities = Capabilities(kind="directory", checksum="", object_bytes_max=512 * GIB)

    def __init__(self, *, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self.service_clock = ServiceClock(clock)
        self._flushed: set[tuple[str, ...]] = set()  # folders whose own names are known to be on the disk
        self.url = path.as_uri()

    def __repr__(self) -> str:
        return f"DirectoryStore({self.url!r})"

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        check_name(name)
        if retention.lock is not None:
            raise self._no_locks()
        return self._writer.put(name, body)

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        check_range(offset, length)
        folders, stem = split(check_name(name))
        with self.boundary("get", name), self.folder(folders) as folder, open_object(folder, stem) as file:
            size = os.fstat(file).st_size
            Wanted(f"{self.url}/{name}", offset, length, bytes_max).check(size - offset)
            end = size if length is None else min(size, offset + length)
            pieces = []
            while offset < end:
                piece = os.pread(file, end - offset, offset)  # the kernel gives at most 2 GiB at once
                if not piece:
                    raise StoreUnavailable(f"{self.url}/{name} became shorter while it was read")
                pieces.append(piece)
                offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def head(self, name: str) -> ObjectInfo:
        folders, stem = split(check_name(name))
        with self.boundary("head", name), self.folder(folders) as folder:
            status = os.stat(stem, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFound(f"{self.url}/{name} is not a file")
        return _info(name, status)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self.boundary("list"), self.folder(()) as root:
            yield from self._walk(root, "", prefix)

    def delete(self, name: str, seen: str) -> None:
        folders, stem = split(check_name(name))
        check_seen(f"{self.url}/{name}", seen)
        with (
            contextlib.suppress(ObjectNotFound),
            self.boundary("delete", name),
            self.folder(folders) as folder,
        ):
            if seen == ANY_OBJECT:
                os.unlink(stem, dir_fd=folder)
            else:
                self._trash.add(folder, name, seen)
            os.fsync(folder)

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        from farshore.stores.one_by_one import error_of

        return [error_of(self.delete, name, seen) for name, seen in objects]

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        from farshore.stores.one_by_one import heads_of

        return heads_of(self.head, names)

    def trash(self) -> Trash:
        with self.boundary("trash"):
            return self._trash.state()

    def empty_trash(self, until_utc: datetime) -> Trash:
        with self.boundary("empty_trash"):
            self._trash.empty(until_utc)
        return self.trash()

    def lock_state(self, name: str) -> LockState:
        self.head(name)
        return LockState()

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        check_name(name)
        raise self._no_locks()

    def set_hold(self, name: str, *, held: bool) -> None:
        check_name(name)
        raise self._no_locks()

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self.head(name)

    def now_utc(self) -> datetime:
        """Return the time that the file system stamps on a new file."""
        with self.boundary("now_utc"), self.folder(()) as root, self._writer.new_file(root) as (file, _):
            return moment(os.fstat(file).st_mtime_ns)

    def close(self) -> None:
        """Release nothing: no file is kept open between calls."""

    def _no_locks(self) -> LockUnsupported:
        return LockUnsupported(f"a directory cannot lock objects: {self.url}", "Remove 'lock' from this replica.")

    def copying(self) -> DirectoryCopying:
        """Return copies inside the kernel; see `farshore.stores.copying`."""
        from farshore.stores.directory.copying import DirectoryCopying

        return DirectoryCopying(path=self._path, place=self._writer.place)

    @cached_property
    def _writer(self) -> DirectoryWriter:
        """The part that puts objects; a command that only reads does without it."""
        from farshore.stores.directory.writing import DirectoryWriter

        return DirectoryWriter(self, self._clock)

    @cached_property
    def _trash(self) -> DirectoryTrash:
        """The part that keeps what is deleted."""
        from farshore.stores.directory.trash import DirectoryTrash

        return DirectoryTrash(self, self._clock, _seen, moment)

    # --- folders ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def folder(self, folders: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """Open the folder of an object, step by step, so that no symbolic link leads elsewhere."""
        try:
            current = os.open(self._path, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            hint = "Create the directory, or mount the file system that has it; Farshore does not make it by itself."
            raise BucketNotFound(f"no directory at {self.url}", hint) from error
        try:
            for depth, folder in enumerate(folders, start=1):
                following = _open_folder(current, folder, make=make)
                if make and folders[:depth] not in self._flushed:
                    os.fsync(current)  # also when it was there: its maker may have been killed before this
                    self._flushed.add(folders[:depth])
                os.close(current)
                current = following
            yield current
        finally:
            os.close(current)

    def _walk(self, folder: int, path: str, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a folder by name. A folder sorts as its name with the `/`, as object names do."""
        found: list[tuple[str, os.stat_result | None]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_name(entry.name):
                    continue
                name = f"{path}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    name += "/"
                    if name.startswith(prefix) or prefix.startswith(name):
                        found.append((name, None))
                elif name.startswith(prefix) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # deleted since it was read
                        found.append((name, entry.stat(follow_symlinks=False)))
        for name, status in sorted(found, key=lambda item: item[0]):
            if status is not None:
                yield _info(name, status)
                continue
            with contextlib.suppress(FileNotFoundError):
                below = os.open(name[len(path) : -1], _BELOW, dir_fd=folder)
                try:
                    yield from self._walk(below, name, prefix)
                finally:
                    os.close(below)

    @contextlib.contextmanager
    def boundary(self, verb: str, name: str = "") -> Iterator[None]:
        """Turn what the operating system says into the errors of the contract."""
        try:
            yield
        except OSError as error:
            raise _translated(error, verb, f"{self.url}/{name}" if name else self.url) from error


def _translated(error: OSError, verb: str, place: str) -> FarshoreError:
    exhausted = what_is_exhausted(error)
    if exhausted is not None:
        return exhausted
    text = f"{verb} {place}: {(error.strerror or str(error)).lower()}"
    if error.errno in _FULL:
        return StoreFull(text)
    if error.errno in _DENIED:
        return StoreDenied(text)
    if error.errno in _NOT_AN_OBJECT and verb in ("get", "head", "delete"):
        return ObjectNotFound(text)
    if error.errno == errno.EIO and verb == "get":
        return ObjectCorrupt(text)  # a bad sector stays bad: another copy is the answer, not a retry
    return StoreUnavailable(text)


def split(name: str) -> tuple[tuple[str, ...], str]:
    """Return the folders of an object, from the root on, and the name of its file there."""
    *folders, stem = name.split("/")
    return tuple(folders), stem


def _open_folder(parent: int, name: str, *, make: bool) -> int:
    """Open a folder inside another; with `make`, make it if need be."""
    try:
        return os.open(name, _BELOW, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    except NotADirectoryError as error:  # a file, or a symbolic link
        if not make:
            raise
        raise StoreConflict(f"a folder is needed where a file or symbolic link is: {name}") from error
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    return os.open(name, _BELOW, dir_fd=parent)


@contextlib.contextmanager
def open_object(folder: int, stem: str) -> Iterator[int]:
    """Open an object for reading; a FIFO or device of that name neither blocks nor counts, and is not even opened."""
    if not stat.S_ISREG(os.stat(stem, dir_fd=folder, follow_symlinks=False).st_mode):
        raise IsADirectoryError(errno.EISDIR, "not a regular file")
    file = os.open(stem, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a regular file")
        yield file
    finally:
        os.close(file)


def _info(name: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(name=name, size=status.st_size, modified_utc=moment(status.st_mtime_ns), seen=_seen(status))


def _seen(status: os.stat_result) -> str:
    """Say which file it is. A number is used again for the next file, which is written later."""
    return f"{status.st_dev}-{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"


def moment(time_ns: int) -> datetime:
    """Return the time of a file, given in nanoseconds since 1970."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC)
