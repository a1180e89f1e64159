"""A local cache of immutable objects, bound to a repository id. Losing it costs time and nothing else.

Objects never change, so an entry is right for ever or damaged; what is read from here is opened and checked like
what is read from a store. Writes are atomic (temporary file, then rename); many processes may share one cache.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

_MODE_PRIVATE = 0o700
_UNFINISHED = ".new-"  # how the names of files begin that are still being written


class ObjectCache:
    """Objects by name under one directory. Safe from many threads and processes."""

    def __init__(self, directory: Path, repository_id: str) -> None:
        self._root = directory / "objects" / repository_id

    @property
    def root(self) -> Path:
        """Where this repository's objects are cached."""
        return self._root

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes, or None."""
        try:
            return self._path(name).read_bytes()
        except OSError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Keep an object; a cache that cannot be written is only a slower one."""
        self.put_pieces(name, (data,))

    def put_pieces(self, name: str, pieces: Iterable[bytes]) -> None:
        """Keep an object that arrives in pieces; nothing of it when they end in an error, which is passed on."""
        path = self._path(name)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=_MODE_PRIVATE, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_UNFINISHED, delete=False) as file:
                new = Path(file.name)
                try:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    new.replace(path)
                except BaseException:
                    new.unlink()
                    raise

    def open_unnamed(self) -> IO[bytes]:
        """Open an empty, unbuffered file without a name beside the cached ones; its space is free once it is closed.

        Raises:
            OSError: The cache is read-only, or its disk is full.
        """
        self._root.mkdir(mode=_MODE_PRIVATE, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._root, buffering=0)

    def put_file(self, name: str, source: Path) -> None:
        """Move a file of the same file system into the cache."""
        path = self._path(name)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=_MODE_PRIVATE, parents=True, exist_ok=True)
            source.replace(path)

    def list(self, folder: str) -> list[str]:
        """Return the names of the objects in one folder, in order; none where it cannot be read."""
        try:
            found = sorted(path.name for path in self._path(folder).iterdir() if not path.name.startswith(_UNFINISHED))
        except OSError:
            return []
        return [f"{folder}/{name}" for name in found]

    def path(self, name: str) -> Path | None:
        """Return the file of a cached object, or None where there is none that this user can read."""
        path = self._path(name)
        with contextlib.suppress(OSError):  # below a directory that another user made
            if path.is_file() and os.access(path, os.R_OK):
                return path
        return None

    def drop(self, name: str) -> None:
        """Forget an object, for instance one that proved damaged."""
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._root / name
