"""A private place for the copy of a database: nobody else reads it, and a killed process does not leave it for ever.

The directory is made with mode 0700 under `tempfile.gettempdir()` and removed on the way out. A process that is killed
cannot remove it, so each directory holds a lock for as long as its owner lives, and whoever makes the next one removes
those whose lock nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "farshore-sqlite-"
_UNBORN_PREFIX = "farshore-new-"  # not yet locked, so not yet to be found by `remove_orphans`
_LOCK_NAME = "lock"


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """Make an empty directory of our own, and remove it with all it holds, whatever happened. Safe from many threads.

    Raises:
        OSError: It could not be made.
    """
    remove_orphans()
    unborn = Path(tempfile.mkdtemp(prefix=_UNBORN_PREFIX))
    place = unborn
    try:
        with (unborn / _LOCK_NAME).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            place = unborn.rename(unborn.with_name(_PREFIX + unborn.name.removeprefix(_UNBORN_PREFIX)))
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def remove_orphans() -> None:
    """Remove the directories of processes that are gone. Does nothing about those it cannot judge or remove."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
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
