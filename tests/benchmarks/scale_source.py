"""A simulated source of any number of files: entries and their content are computed, nothing is on disk.

The tree has 500 files to a directory and 200 directories to a top directory. Contents are small and drawn from a fixed
number of different ones, so the manifest is as large as one of real files (its hashes and chunk ids do not compress)
while the packs stay small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from farshore.model import Entry, EntryKind, Problem
from farshore.sources.base import Capture, Content, Data, Piece

FILES_PER_DIRECTORY = 500
DIRECTORIES_PER_TOP = 200
CONTENTS = 100_000
_SCATTER = 0x9E3779B97F4A7C15  # spreads consecutive numbers, so that neighbors do not share content
_TEXT_BYTES = len(b"00000000 of the contents, ")
_MASK = (1 << 64) - 1
_MOMENT_NS = 1_600_000_000_000_000_000


def directory_path(number: int) -> bytes:
    """Return the path of a directory that holds files."""
    return b"top%05d/dir%07d" % (number // DIRECTORIES_PER_TOP, number)


def content_number(number: int, edition: int, contents: int) -> int:
    """Return which of the contents a file has; with none to choose from, one of its own."""
    if not contents:
        return 2 * number + edition
    return (((number + edition * 7919) * _SCATTER & _MASK) >> 32) % contents


def content(which: int) -> bytes:
    """Return a content: text of 50 to 250 bytes."""
    return b"%08d of the contents, " % which * (2 + which % 9)


@dataclass(frozen=True, slots=True)
class _Content:
    entry: Entry
    which: int

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def pieces(self) -> Iterator[Piece]:
        yield Data(content(self.which))

    def settled(self) -> Entry:
        return self.entry


@dataclass(frozen=True, slots=True)
class _Item:
    entry: Entry
    which: int = 0

    @property
    def stat_entry(self) -> Entry:
        return self.entry

    def open(self) -> Content:
        return _Content(self.entry, self.which)


class _Capture:
    ordered = True
    sequential = False

    def __init__(self, files: int, changes: int, contents: int) -> None:
        self._files = files
        self._contents = contents
        self._changed = {(2 * at + 1) * files // (2 * changes): at % 3 for at in range(changes)}

    def items(self) -> Iterator[_Item]:
        """Yield the tree. Of the files that change, every third is rewritten, gone, or has a new one after it."""
        contents = self._contents
        yield _Item(_directory(b"", 2))
        for number in range(-(-self._files // FILES_PER_DIRECTORY)):
            folder = directory_path(number)
            if number % DIRECTORIES_PER_TOP == 0:
                yield _Item(_directory(folder.rpartition(b"/")[0], 3 + 2 * number))
            yield _Item(_directory(folder, 4 + 2 * number))
            first = number * FILES_PER_DIRECTORY
            for at in range(first, min(first + FILES_PER_DIRECTORY, self._files)):
                path = b"%s/file%09d.dat" % (folder, at)
                change = self._changed.get(at)
                if change is None:
                    yield _file(path, at, 0, contents)
                elif change == 0:
                    yield _file(path, at, 1, contents)
                elif change == 1:
                    yield _file(path, at, 0, contents)
                    yield _file(path + b"-new", at, 1, contents)

    def problems(self) -> list[Problem]:
        return []

    def finish(self) -> dict[str, str]:
        return {}


def _directory(path: bytes, inode: int) -> Entry:
    return Entry(
        path, EntryKind.DIRECTORY, mode=0o755, uid=1000, gid=1000, user="scale", group="scale", mtime_ns=_MOMENT_NS,
        ctime_ns=_MOMENT_NS, inode=inode, device=1, links=2,
    )  # fmt: skip


def _file(path: bytes, number: int, edition: int, contents: int) -> _Item:
    which = content_number(number, edition, contents)
    moment_ns = _MOMENT_NS + number * 1_000_003 + edition
    size = _TEXT_BYTES * (2 + which % 9)
    entry = Entry(
        path, EntryKind.FILE, mode=0o644, uid=1000, gid=1000, user="scale", group="scale", size=size,
        mtime_ns=moment_ns, ctime_ns=moment_ns, inode=(1 << 32) + number, device=1,
    )  # fmt: skip
    return _Item(entry, which)


@dataclass(frozen=True, slots=True)
class ScaleSource:
    """Implements `Source`.

    `changes`: how many files differ from the tree without changes. `contents`: how many different ones there are; 0:
    every file has its own.
    """

    files: int
    changes: int = 0
    contents: int = CONTENTS
    name: str = "simulated"
    kind: str = "directory"

    def check(self) -> None:
        """Find nothing wrong."""

    @contextmanager
    def capture(self) -> Iterator[Capture]:
        yield _Capture(self.files, self.changes, self.contents)
