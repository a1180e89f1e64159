"""Which entries a restore takes: patterns, the parents they need, and hard links whose file is left out.

Plain text that a pattern holds narrows the manifest first, whole row groups at a time; the patterns themselves are
tried on what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.errors import SnapshotUnknown
from farshore.format.choosing import Alike, Candidates, HardLinks
from farshore.format.entries import ENTRY_COLUMNS, table_to_entries
from farshore.format.extents import view_extents
from farshore.format.manifest import ManifestReader, ManifestRow, table_to_rows
from farshore.model import HOLE, EntryKind
from farshore.sources.posix_globs import Globs

_CHUNKS_MAX = 1_000_000  # 40 MB beside the index; a restore of more takes the index of the whole snapshot
_SPECIAL = re.compile(r"[*?\[\\]")
_OPAQUE = re.compile(r"[\[\\]")  # what follows may be text or not: it is not looked into


class Selection:
    """Patterns with the rules of .gitignore; none means everything."""

    def __init__(self, include: Sequence[str]) -> None:
        self._globs = Globs(include)
        self._patterns = tuple(include)
        self._candidates = candidates(include)

    def rows(self, manifest: ManifestReader) -> Iterator[ManifestRow]:
        """Yield the selected rows, each after the directories above it.

        A hard link whose file is not selected becomes that file.

        Raises:
            SnapshotUnknown: The patterns select nothing.
        """
        if not self._patterns:
            yield from manifest.rows()
            return
        orphaned = self._orphaned_links(manifest)
        candidates = replace(self._candidates, paths=(*self._candidates.paths, *orphaned))
        tables = manifest.tables(choice=candidates)
        files: dict[bytes, ManifestRow] = {}
        stands_for: dict[bytes, bytes] = {}
        waiting: list[ManifestRow] = []
        branch = _Branch(self._globs)
        found = False
        for row in (row for table in tables for row in table_to_rows(table)):
            path = row.entry.path
            if waiting:
                waiting = [one for one in waiting if _is_above(one.entry.path, path)]
            if path in orphaned:
                files[path] = row
            if not branch.selects(path, directory=row.entry.kind is EntryKind.DIRECTORY):
                if row.entry.kind is EntryKind.DIRECTORY:
                    waiting.append(row)
                continue
            found = True
            yield from waiting
            waiting = []
            yield _stand_in(row, files, stands_for)
        if not found:
            raise SnapshotUnknown(
                f"nothing in the snapshot matches {', '.join(self._patterns)}", "Show what there is with 'farshore ls'."
            )

    def chunk_ids(self, manifest: ManifestReader) -> npt.NDArray[Any] | None:
        """Return the chunks of the selected rows (`V32`), or None when there are so many that all serve as well.

        Raises:
            SnapshotUnknown: The patterns select nothing.
        """
        ids: list[bytes] = []
        count = 0
        for row in self.rows(manifest):
            if row.extents:
                chunks = np.ascontiguousarray(view_extents(row.extents)["chunk"])
                ids.append(chunks.tobytes())
                count += len(chunks)
            if count > _CHUNKS_MAX:
                return None
        return np.frombuffer(b"".join(ids), f"V{len(HOLE)}")

    def _orphaned_links(self, manifest: ManifestReader) -> set[bytes]:
        """Return the files that are left out and have a hard link that is not."""
        targets: set[bytes] = set()
        branch, other = _Branch(self._globs), _Branch(self._globs)
        for table in manifest.tables(ENTRY_COLUMNS, HardLinks(self._candidates)):
            for entry in table_to_entries(table):
                selected = branch.selects(entry.path, directory=False)
                if selected and not other.selects(entry.target, directory=False):
                    targets.add(entry.target)
        return targets


class _Branch:
    """Tries patterns on entries; what it found of the directories above one serves the next beside it."""

    def __init__(self, globs: Globs) -> None:
        self._globs = globs
        self._above: bytes | None = None
        self._inside = False

    def selects(self, path: bytes, *, directory: bool) -> bool:
        """Return whether an entry, or a directory above it, matches."""
        above, separator, _ = path.rpartition(b"/")
        if separator and above != self._above:
            names = above.split(b"/")
            levels = (b"/".join(names[:end]) for end in range(1, len(names) + 1))
            self._inside = any(self._matches(level, directory=True) for level in levels)
            self._above = above
        return (bool(separator) and self._inside) or self._matches(path, directory=directory)

    def _matches(self, path: bytes, *, directory: bool) -> bool:
        return bool(path) and self._globs.match(path, directory=directory)


def candidates(patterns: Sequence[str]) -> Candidates:
    """Return which entries patterns may select: those that hold the text which any match must hold.

    Whatever lies below a match holds the text of its path, too. The directories above plain text at the beginning of a
    path are candidates by name, because a restore needs them.
    """
    alike = [_alike(pattern) for pattern in patterns if pattern.strip("!/") and not pattern.startswith("!")]
    above = {one.prefix[:at] for one in alike for at in _slashes(one.prefix)}
    return Candidates(tuple(dict.fromkeys(alike)), (b"", *sorted(above)))


def _alike(pattern: str) -> Alike:
    body = pattern.rstrip("/")
    prefix = ""
    if "/" in body:  # it is matched from the root
        prefix = _SPECIAL.split(body.removeprefix("/"), maxsplit=1)[0]
    plain = _OPAQUE.split(body, maxsplit=1)[0]
    text = max(re.split(r"[*?/]", plain), key=len)
    return Alike(prefix.encode("utf-8", "surrogateescape"), text.encode("utf-8", "surrogateescape"))


def _slashes(path: bytes) -> Iterator[int]:
    return (at for at, byte in enumerate(path) if byte == ord("/"))


def _stand_in(row: ManifestRow, files: dict[bytes, ManifestRow], stands_for: dict[bytes, bytes]) -> ManifestRow:
    entry = row.entry
    if entry.kind is not EntryKind.HARDLINK or entry.target not in files:
        return row
    if entry.target in stands_for:
        return replace(row, entry=entry._replace(target=stands_for[entry.target]))
    stands_for[entry.target] = entry.path
    first = files[entry.target]
    return replace(first, entry=first.entry._replace(path=entry.path))


def _is_above(directory: bytes, path: bytes) -> bool:
    return not directory or path.startswith(directory + b"/")
