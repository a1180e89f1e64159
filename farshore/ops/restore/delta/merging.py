"""A snapshot's rows beside what is in the target: a merge of two sorted streams, in constant memory. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from farshore.format.choosing import sort_key
from farshore.format.manifest import ManifestRow
from farshore.ops.restore.delta.rows import SnapshotRows
from farshore.sources.directory.listing import PosixListing


class Missing(NamedTuple):
    """A row of the snapshot that the target has nothing of that name for."""

    row: ManifestRow


class Extra(NamedTuple):
    """A name of the target that the snapshot has not."""

    listing: PosixListing
    at: int

    @property
    def path(self) -> bytes:
        """Its path."""
        return self.listing.path(self.at)


class Both(NamedTuple):
    """A name of both that is not the same, or may be another name of something else."""

    row: ManifestRow
    listing: PosixListing
    at: int


class Merge:
    """Walks both streams once, which must be in manifest order. One thread."""

    def __init__(self, *, tables: Iterable[SnapshotRows], listings: Iterable[PosixListing], by_content: bool) -> None:
        self._tables = iter(tables)
        self._listings = iter(listings)
        self._by_content = by_content
        self._rows: SnapshotRows | None = None
        self._at = 0
        self._above: dict[bytes, ManifestRow] = {}  # directories above the first path of the rows at work
        self._before: tuple[SnapshotRows | None, dict[bytes, ManifestRow]] = None, {}  # likewise of those before
        self.compared = 0  # rows of the snapshot

    def run(self) -> Iterator[Missing | Extra | Both]:
        """Yield what is not the same, in manifest order."""
        for listing in self._listings:
            at = 0
            while at < listing.count:
                rows = self._here()
                if rows is None:
                    yield from (Extra(listing, one) for one in range(at, listing.count))
                    break
                count = rows.same_paths(self._at, listing, at)
                if count:
                    yield from self._compare(rows, listing, at, count)
                    at += count
                    continue
                found = sort_key(listing.path(at))
                while rows is not None and sort_key(rows.paths[self._at]) < found:
                    yield self._missing(rows)
                    rows = self._here()
                if rows is None or sort_key(rows.paths[self._at]) != found:
                    yield Extra(listing, at)
                    at += 1
        while (rows := self._here()) is not None:
            yield self._missing(rows)

    def directory(self, path: bytes) -> ManifestRow | None:
        """Return the row of a directory above the path that was yielded last."""
        rows, above = self._before
        row = self._above.get(path) or (self._rows.find(path) if self._rows else None)
        return row or above.get(path) or (rows.find(path) if rows else None)

    def _missing(self, rows: SnapshotRows) -> Missing:
        self._at += 1
        self.compared += 1
        return Missing(rows.row(self._at - 1))

    def _compare(self, rows: SnapshotRows, listing: PosixListing, at: int, count: int) -> Iterator[Both]:
        start = self._at
        same = rows.same(start, listing, at, count, by_content=self._by_content)
        for one in np.flatnonzero(~same).tolist():
            yield Both(rows.row(start + one), listing, at + one)
        self._at = start + count
        self.compared += count

    def _here(self) -> SnapshotRows | None:
        """Return the rows that hold the next one; None behind the last one."""
        while self._rows is None or self._at >= self._rows.count:
            following = next(self._tables, None)
            if following is None:
                return None
            if following.count:
                above = {path: row for path in directories_above(following.paths[0]) if (row := self.directory(path))}
                self._before = self._rows, self._above
                self._rows, self._above, self._at = following, above, 0
        return self._rows


def directories_above(path: bytes) -> Iterator[bytes]:
    """Yield the directories above a path, from the root on; none for the root itself."""
    if path:
        yield b""
        for at, byte in enumerate(path):
            if byte == ord("/"):
                yield path[:at]
