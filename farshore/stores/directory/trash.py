"""The trash of a directory: objects that were deleted as they were seen, below `~trash/<day>/`, until it is emptied.

An object keeps its name there, with `~` for `/` and a random end. No object name has a `~`, so it is never listed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from farshore.clock import Clock
from farshore.format import names
from farshore.stores.base import Trash

FOLDER = "~trash"  # below the root of the store
_NOT_KEPT = ("probe/", names.LEASES, names.PLANS)  # nobody wants them back


class Folders(Protocol):
    """The folders of a directory store."""

    def folder(self, folders: tuple[str, ...], *, make: bool = False) -> AbstractContextManager[int]:
        """Open a folder below the root, as a descriptor."""
        ...


class DirectoryTrash:
    """The trash of one store. Errors are those of the operating system."""

    def __init__(
        self, store: Folders, clock: Clock, identity: Callable[[os.stat_result], str], moment: Callable[[int], datetime]
    ) -> None:
        self._store = store
        self._clock = clock
        self._identity = identity
        self._moment = moment

    def add(self, folder: int, name: str, seen: str) -> None:
        """Move a file here if it is the one that was seen.

        It is renamed first, so that what is compared is what goes. Where it is another one, put there since the look
        just before, it gets its name back; where that is used again by then, it stays in the trash, and this raises.
        """
        stem = name.rpartition("/")[2]
        if self._identity(os.stat(stem, dir_fd=folder, follow_symlinks=False)) != seen:
            return
        with self._store.folder((FOLDER, f"{self._clock.now_utc():%Y-%m-%d}"), make=True) as trash:
            aside = f"{name.replace('/', '~')}~{self._clock.random_bytes(6).hex()}"
            os.rename(stem, aside, src_dir_fd=folder, dst_dir_fd=trash)
            is_another = self._identity(os.stat(aside, dir_fd=trash, follow_symlinks=False)) != seen
            if is_another:
                os.link(aside, stem, src_dir_fd=trash, dst_dir_fd=folder, follow_symlinks=False)
            if is_another or name.startswith(_NOT_KEPT):
                os.unlink(aside, dir_fd=trash)
            os.fsync(trash)

    def state(self) -> Trash:
        """Return what is here."""
        kept = [status for _, _, status in self._files()]
        oldest_ns = min((status.st_ctime_ns for status in kept), default=None)
        size = sum(status.st_size for status in kept)
        return Trash(len(kept), size, None if oldest_ns is None else self._moment(oldest_ns))

    def empty(self, until_utc: datetime) -> None:
        """Delete what was moved here until a moment."""
        for folder, name, status in self._files():
            if self._moment(status.st_ctime_ns) <= until_utc:
                os.unlink(name, dir_fd=folder)

    def _files(self) -> Iterator[tuple[int, str, os.stat_result]]:
        """Yield each file here: its folder, its name there, its status; a rename was the last change of it."""
        try:
            with self._store.folder((FOLDER,)) as trash:
                for day in _listed(trash):
                    with self._store.folder((FOLDER, day)) as below:
                        for name in _listed(below):
                            yield below, name, os.stat(name, dir_fd=below, follow_symlinks=False)
                    with contextlib.suppress(OSError):  # it is not empty
                        os.rmdir(day, dir_fd=trash)
        except FileNotFoundError:
            return


def _listed(folder: int) -> list[str]:
    return sorted(os.listdir(folder))
