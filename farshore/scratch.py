"""Private scratch directories: nobody else reads them, and a killed process does not leave them for ever.

Each is made with mode 0700 and removed on the way out. A process that is killed cannot remove its own, so each holds a
lock for as long as its owner lives, and the process that makes the next one removes those whose lock nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.host_places import TEMPORARY, HostPlace, try_writing, unusable

_UNBORN_PREFIX = "farshore-new-"  # not yet locked, so not yet to be found by `remove_orphans`
_LOCK_NAME = "lock"
_log = logging.getLogger(__name__)


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
    """Return a directory that can be written now: `path`, else a temporary one, with a warning.

    Raises:
        StoreFull, ConfigInvalid: Neither can be written; the message names `path` and its setting.
    """
    try:
        try_writing(path)
    except OSError as error:
        with temporary_instead(place, unusable(place, path, error)) as own:
            yield own
    else:
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
