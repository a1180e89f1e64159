"""The directories that a run writes to on its own host, and what is said where one of them cannot be used.

They hold nothing that a repository needs: a run goes on without them where it can, and otherwise ends with an error
that names the directory and the setting that names it.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.errors import ConfigInvalid, FarshoreError, StoreFull
from farshore.host_limits import what_is_exhausted

_TRIED_BYTES = 4096  # one block: a full disk refuses it
_FULL = (errno.ENOSPC, errno.EDQUOT)


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


def _reason(error: OSError) -> str:
    if isinstance(error, FileExistsError):
        return "a file, or a link to nothing, has its name"
    if isinstance(error, NotADirectoryError):
        return "it, or a part of its path, is a file"
    return error.strerror or str(error)
