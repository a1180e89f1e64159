"""Copies between two directories inside the kernel: shared blocks where the file system can, else without a detour."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from farshore.errors import ObjectNotFound, StoreConflict
from farshore.stores.copying import Copying

_PIECE_BYTES = 1 << 30  # at most 2 GiB at once, by the kernel's own rules


class DirectoryCopying:
    """Any two directories of this host; where the kernel cannot copy between them it says so.

    Args:
        place: Has a new file filled, by its descriptor, and gives it the object's name; returns whether that was free.
    """

    service = ("directory",)

    def __init__(
        self,
        *,
        path: Path,
        place: Callable[[str, Callable[[int], None]], bool],
    ) -> None:
        self._path = path
        self._place = place

    def address(self, name: str) -> str:
        return str(self._path / name)

    def copy_from(self, source: Copying, source_name: str, name: str) -> None:
        with _opened(source.address(source_name)) as original:

            def fill(file: int) -> None:
                left = os.fstat(original).st_size
                while left:
                    copied = os.copy_file_range(original, file, min(left, _PIECE_BYTES))
                    if not copied:
                        raise ObjectNotFound(f"{source_name} became shorter while it was copied")
                    left -= copied

            if not self._place(name, fill):
                raise StoreConflict(f"{name} is taken below {self._path}")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ObjectNotFound(f"{path} cannot be opened to be copied: {error.strerror}") from error
    try:
        yield file
    finally:
        os.close(file)
