"""Puts into a directory: objects written whole, flushed to the disk, and given a name that nobody had."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from farshore.clock import Clock
from farshore.limits import MIB
from farshore.stores.base import Body, PutOutcome, check_name
from farshore.stores.body import check_size, compare_present, conflict, sent_pieces
from farshore.stores.directory import DirectoryStore, moment, open_object, split
from farshore.stores.directory.past_cache import write_pieces

_OBJECT_MODE = 0o444  # objects are never rewritten; the process's umask removes more
_WRITE_BYTES = 16 * MIB  # one write: a file server answers each, and writes the parts of a large one in parallel
_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}
_OPEN_FILES = "/proc/self/fd"  # how Linux gives a name to a file that has none


class DirectoryWriter:
    """Puts objects of one store. Safe from many threads and processes, as the store is."""

    def __init__(self, store: DirectoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def put(self, name: str, body: Body) -> PutOutcome:
        """As `Store.put` says, of a legal name."""
        store = self._store
        folders, stem = split(name)
        check_size(store, name, body)
        with store.boundary("put", name), store.folder(folders, make=True) as folder:
            there = _status(folder, stem)  # only spares writing in vain: the link decides
            if there is not None and not stat.S_ISREG(there.st_mode):
                raise conflict(store, name)
            if there is None and self._write(folder, stem, body):
                return PutOutcome.CREATED
        outcome = compare_present(store, name, body)
        with store.boundary("put", name), store.folder(folders) as folder, open_object(folder, stem) as file:
            os.fsync(file)  # its writer may have been killed before this
            os.fsync(folder)
        return outcome

    def place(self, name: str, fill: Callable[[int], None]) -> bool:
        """Have the file of an object filled, by its descriptor; return False if somebody else made the name first."""
        folders, stem = split(check_name(name))
        with self._store.boundary("put", name), self._store.folder(folders, make=True) as folder:
            return self._name(folder, stem, fill)

    @contextlib.contextmanager
    def new_file(self, folder: int) -> Iterator[tuple[int, str]]:
        """Open a new file for writing, with its temporary name or `""`; it is gone afterwards unless linked."""
        name = ""
        file = _open_unnamed(folder)
        if file is None:
            name = f"~{self._clock.random_bytes(12).hex()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, _OBJECT_MODE, dir_fd=folder)
        try:
            yield file, name
        finally:
            os.close(file)
            if name:
                os.unlink(name, dir_fd=folder)

    def _write(self, folder: int, stem: str, body: Body) -> bool:
        """Write a whole object; return False if somebody else made the name first."""
        return self._name(folder, stem, lambda file: write_pieces(file, sent_pieces(body, _WRITE_BYTES)))

    def _name(self, folder: int, stem: str, fill: Callable[[int], None]) -> bool:
        """Have a new file filled, flush it and give it its name; return False if somebody else made the name first."""
        with self.new_file(folder) as (file, name):
            fill(file)
            os.fsync(file)
            self._store.service_clock.note(moment(os.fstat(file).st_mtime_ns))
            try:
                if name:
                    os.link(name, stem, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                else:
                    os.link(f"{_OPEN_FILES}/{file}", stem, dst_dir_fd=folder, follow_symlinks=True)
            except FileExistsError:
                return False
        os.fsync(folder)
        return True


def _open_unnamed(folder: int) -> int | None:
    """Open a new file without a name for writing, or return None where that or naming it later cannot be done."""
    if not Path(_OPEN_FILES).exists():
        return None
    try:
        return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _OBJECT_MODE, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_UNNAMED_FILES:
            raise
        return None


def _status(folder: int, stem: str) -> os.stat_result | None:
    try:
        return os.stat(stem, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
