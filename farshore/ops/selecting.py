"""Which entries a restore takes: patterns, the parents they need, and hard links whose file is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from farshore.errors import SnapshotUnknown
from farshore.format.manifest import ManifestRow
from farshore.model import EntryKind
from farshore.sources.posix_globs import Globs


class Selection:
    """Patterns with the rules of .gitignore; none means everything. One use; forwards only."""

    def __init__(self, include: Sequence[str]) -> None:
        self._globs = Globs(include)
        self._patterns = tuple(include)

    def rows(self, read: Callable[[], Iterator[ManifestRow]]) -> Iterator[ManifestRow]:
        """Yield the selected rows, each after the directories above it.

        A hard link whose file is not selected becomes that file.

        Args:
            read: Reads the manifest from its start; called twice when there are patterns.

        Raises:
            SnapshotUnknown: The patterns select nothing.
        """
        if not self._patterns:
            yield from read()
            return
        orphaned = self._orphaned_links(read())
        files: dict[bytes, ManifestRow] = {}
        stands_for: dict[bytes, bytes] = {}
        waiting: list[ManifestRow] = []
        found = False
        for row in read():
            path = row.entry.path
            waiting = [one for one in waiting if _is_above(one.entry.path, path)]
            if path in orphaned:
                files[path] = row
            if not self._selected(row):
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

    def _selected(self, row: ManifestRow) -> bool:
        """Whether the row, or a directory above it, matches."""
        parts = row.entry.path.split(b"/")
        for end in range(1, len(parts) + 1):
            is_directory = end < len(parts) or row.entry.kind is EntryKind.DIRECTORY
            if parts[0] and self._globs.match(b"/".join(parts[:end]), directory=is_directory):
                return True
        return False

    def _orphaned_links(self, rows: Iterator[ManifestRow]) -> set[bytes]:
        targets: set[bytes] = set()
        for row in rows:
            if row.entry.kind is EntryKind.HARDLINK and self._selected(row):
                first = replace(row.entry, path=row.entry.target, kind=EntryKind.FILE)
                if not self._selected(replace(row, entry=first)):
                    targets.add(row.entry.target)
        return targets


def _stand_in(row: ManifestRow, files: dict[bytes, ManifestRow], stands_for: dict[bytes, bytes]) -> ManifestRow:
    entry = row.entry
    if entry.kind is not EntryKind.HARDLINK or entry.target not in files:
        return row
    if entry.target in stands_for:
        return replace(row, entry=replace(entry, target=stands_for[entry.target]))
    stands_for[entry.target] = entry.path
    first = files[entry.target]
    return replace(first, entry=replace(first.entry, path=entry.path))


def _is_above(directory: bytes, path: bytes) -> bool:
    return not directory or path.startswith(directory + b"/")
