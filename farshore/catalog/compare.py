"""Compare a source's entries with the previous manifest: a merge of two sorted streams, in constant memory.

An entry is unchanged when size, mtime, ctime, inode, device, kind and link target are the same, it was not changing
then, and every chunk of it is still in the index. Adjacent unchanged entries are passed on as one slice of
the old manifest, so they cost neither a read nor a new row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from farshore.catalog.previous_rows import RowGroup, Slice
from farshore.format.choosing import sort_key
from farshore.format.columns import binaries
from farshore.format.manifest import ManifestReader, ManifestRow, table_to_rows
from farshore.index import ChunkIndex
from farshore.model import Entry
from farshore.sources.base import Item, Listing

RACY_NS = 2_000_000_000  # a change within the clock's grain of the last read could hide behind equal times
_IDENTITY = attrgetter("kind", "size", "mtime_ns", "ctime_ns", "inode", "device", "target")
_STEP = 32  # entries compared one by one where a path is not as it was, before columns are tried again


class PreviousManifest:
    """A cursor over the previous manifest. Forwards only; one thread."""

    def __init__(self, *, reader: ManifestReader, index: ChunkIndex, started_ns: int) -> None:
        self._tables = enumerate(reader.tables())
        self._index = index
        self._trusted_before_ns = started_ns - RACY_NS
        self.entries = reader.entries
        self._group: RowGroup | None = None
        self._at = 0

    def match(self, entry: Entry) -> Match | None:
        """Return the previous row of this path, or None where it is new. Paths must be in manifest order."""
        wanted = b""
        while (group := self._here()) is not None:
            at = self._at
            if group.paths[at] == entry.path:  # as nearly always, and then no order need be known
                self._at = at + 1
                return Match(group, at, group.identities[at] == _IDENTITY(entry))
            wanted = wanted or sort_key(entry.path)
            if sort_key(group.paths[at]) > wanted:
                return None
            self._at = at + 1
        return None

    def compare(self, listing: Listing) -> Iterator[RowRange | tuple[Item, Match | None]]:
        """Yield the entries of a listing, in order: unchanged ones as ranges, the others item by item."""
        at = 0
        while at < listing.count:
            group = self._here()
            count = group.same_paths(self._at, listing, at) if group else 0
            if group and count:
                start, self._at = self._at, self._at + count
                yield from _compare(group, start, listing, at, count)
                at += count
                continue
            end = min(at + _STEP, listing.count)
            for one in range(at, end):
                item = listing.item(one)
                yield item, self.match(item.stat_entry)
            at = end

    def _here(self) -> RowGroup | None:
        """Return the row group of the next row; None behind the last one."""
        while self._group is None or self._at >= self._group.count:
            following = next(self._tables, None)
            if following is None:
                return None
            number, table = following
            self._group, self._at = RowGroup(table, number, self._index, self._trusted_before_ns), 0
        return self._group


class Match(NamedTuple):
    """A path that the previous manifest has too."""

    group: RowGroup
    at: int
    unchanged: bool

    def row(self) -> ManifestRow:
        """Return the previous row."""
        return next(iter(table_to_rows(self.group.table.slice(self.at, 1))))


class RowRange(NamedTuple):
    """Rows of the previous manifest that are unchanged: those from `start` up to `end`."""

    group: RowGroup
    start: int
    end: int


def cut_paths(manifest: ManifestReader, entries: int) -> Iterator[bytes]:
    """Yield a path of a manifest every `entries` entries."""
    number = 0
    for table in manifest.tables(["path"]):
        first = -number % entries
        number += table.num_rows
        for at in range(first, table.num_rows, entries):
            path = binaries(table.slice(at, 1).column("path"))[0]
            if path:  # the root, where every walk begins
                yield path


def _compare(
    group: RowGroup, start: int, listing: Listing, at: int, count: int
) -> Iterator[RowRange | tuple[Item, Match | None]]:
    """Compare rows with entries that have their paths."""
    done = 0
    for odd in np.flatnonzero(~group.unchanged(start, listing, at, count)).tolist():
        if odd > done:
            yield RowRange(group, start + done, start + odd)
        item = listing.item(at + odd)
        # A row may be unchanged nevertheless, where its file has several names.
        links = item.stat_entry.links > 1
        unchanged = links and group.identities[start + odd] == _IDENTITY(item.stat_entry)
        yield item, Match(group, start + odd, unchanged)
        done = odd + 1
    if done < count:
        yield RowRange(group, start + done, start + count)


class UnchangedRun:
    """Collects adjacent unchanged rows into slices."""

    def __init__(self) -> None:
        self._group: RowGroup | None = None
        self._start = self._end = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is collected."""
        return self._group is None

    def add(self, rows: RowRange) -> Sequence[Slice]:
        """Add unchanged rows; return the collected slice if they do not continue it."""
        if rows.group is self._group and rows.start == self._end:
            self._end = rows.end
            return ()
        ended = self.flush()
        self._group, self._start, self._end = rows
        return ended

    def flush(self) -> Sequence[Slice]:
        """Return what is collected, if anything is."""
        ended = () if self._group is None else (self._group.slice(self._start, self._end),)
        self._group, self._start, self._end = None, 0, 0
        return ended
