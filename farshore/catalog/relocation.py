"""Where the entries of a restore go: a subtree becomes the root, and leading names are dropped. Pure.

Two entries with one new path, and an entry without a new path, are errors found before anything is written.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from blake3 import blake3

from farshore.errors import PathsClash
from farshore.model import Entry, EntryKind

_SHOWN_MAX = 5
_CLASH_HINT = "Restore them one after the other, each with --include and into a directory of its own."
_NAMELESS_HINT = "Use a smaller --strip, or leave them out with --exclude."


class Relocation:
    """Gives entries their new paths. Call `check` first where names are dropped.

    Args:
        below: The path of the subtree.
        strip: Names to drop from the beginning of what is left of each path.
    """

    def __init__(self, *, below: bytes = b"", strip: int = 0) -> None:
        self.below = below
        self.strip = strip
        self._root = b""  # the directory that becomes the root when names are dropped, where it is only one

    @property
    def keeps_places(self) -> bool:
        """Whether every entry stays where it was."""
        return not self.below and not self.strip

    def check(self, entries: Callable[[], Iterable[Entry]]) -> None:
        """Learn which directory becomes the root, and that every other entry gets a place of its own.

        Two entries clash when the first names of their new paths are the same, because all below one directory of the
        snapshot goes to one place. So one hash for each entry right below what is dropped is all that is kept.

        Args:
            entries: Gives the entries that are restored, each time anew.
        Raises:
            PathsClash: Two entries would be at one place, or one that is no directory at none.
        """
        nameless: list[bytes] = []
        roots: list[bytes] = []
        hashes = array("Q")
        for entry in entries():
            names = self._names(entry)
            if len(names) <= self.strip:
                if entry.kind is not EntryKind.DIRECTORY:
                    nameless.append(entry.path)
                elif names and len(names) == self.strip and len(roots) < 2:
                    roots.append(entry.path)
            elif len(names) == self.strip + 1:
                hashes.append(_hash(names[-1]))
            if len(nameless) > _SHOWN_MAX:
                break
        if nameless:
            shown = _shown(nameless)
            raise PathsClash(f"--strip {self.strip} leaves no name for {shown}", _NAMELESS_HINT)
        if len(roots) == 1:
            self._root = roots[0]
        found = np.sort(np.frombuffer(hashes, np.uint64)) if hashes else np.zeros(0, np.uint64)
        repeated = set(found[1:][found[1:] == found[:-1]].tolist())
        clashes = list(self._clashes(entries(), repeated)) if repeated else []
        if clashes:
            raise PathsClash(f"--strip {self.strip} would put {_shown(clashes)} at the place of another", _CLASH_HINT)

    def place(self, entry: Entry) -> Entry | None:
        """Return the entry at its new place; None for a directory that is dropped."""
        names = self._names(entry)
        if len(names) <= self.strip and self.strip:
            return entry._replace(path=b"") if entry.path == self._root and self._root else None
        target = entry.target
        if entry.kind is EntryKind.HARDLINK:
            target = b"/".join(self._inner(target).split(b"/")[self.strip :])
        return entry._replace(path=b"/".join(names[self.strip :]), target=target)

    def origins(self, path: bytes) -> list[bytes]:
        """Return the paths of the snapshot that a file at a new path may have had; none where names are dropped."""
        if self.strip:
            return []
        inside = [b"/".join((self.below, path))] if self.below else [path]
        return [*inside, self.below] if self.below.rpartition(b"/")[2] == path else inside

    def _clashes(self, entries: Iterable[Entry], repeated: set[int]) -> Iterator[bytes]:
        seen: set[bytes] = set()
        for entry in entries:
            names = self._names(entry)
            if len(names) == self.strip + 1 and _hash(names[-1]) in repeated:
                if names[-1] in seen:
                    yield entry.path
                seen.add(names[-1])

    def _names(self, entry: Entry) -> list[bytes]:
        """Return the names of a path seen from the subtree; a subtree that is one file has its name."""
        inner = self._inner(entry.path)
        if not inner and entry.kind is not EntryKind.DIRECTORY:
            inner = entry.path.rpartition(b"/")[2]
        return inner.split(b"/") if inner else []

    def _inner(self, path: bytes) -> bytes:
        return path[len(self.below) + 1 :] if self.below else path


def _hash(name: bytes) -> int:
    return int.from_bytes(blake3(name).digest(8), "little")


def _shown(paths: list[bytes]) -> str:
    more = ", and more" if len(paths) > _SHOWN_MAX else ""
    return ", ".join(path.decode("utf-8", "backslashreplace") for path in paths[:_SHOWN_MAX]) + more
