"""Private scratch directories: nobody else reads them, and a killed process does not leave them for ever.

Each is made with mode 0700 and removed on the way out. A process that is killed cannot remove its own, so each holds a
lock for as long as its owner lives, and whoever makes the next one removes those whose lock nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_UNBORN_PREFIX = "farshore-new-"  # not yet locked, so not yet to be found by `remove_orphans`
_LOCK_NAME = "lock"


@contextlib.contextmanager
def scratch_directory(prefix: str, root: Path | None = None) -> Iterator[Path]:
    """Make an empty directory of our own, and remove it with all it holds, whatever happened. Safe from many threads.

    Args:
        prefix: What its name begins with; directories of killed processes are looked for by it.
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
