"""Compare a source's entries with the previous manifest: a merge of two sorted streams, in constant memory.

An entry is unchanged when size, mtime, ctime, inode, device, kind and link target are as they were, it held still
then, and every chunk of it is still in the index. Unchanged entries that stand together are passed on as one slice of
the old manifest, so they cost neither a read nor a new row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from farshore.format.comparable import Comparable
from farshore.format.manifest import SCHEMA, ManifestReader, ManifestRow, sort_key, table_to_rows
from farshore.index import ABSENT, ChunkIndex
from farshore.model import HOLE, Entry, EntryKind

RACY_NS = 2_000_000_000  # a change within the clock's grain of the last read could hide behind equal times
_HOLE = np.frombuffer(HOLE, dtype="V32")[0]
_IDENTITY = attrgetter("kind", "size", "mtime_ns", "ctime_ns", "inode", "device", "target")
Table = Any  # pyarrow.Table, which only farshore.format may name


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of the previous manifest that are unchanged and stand together: `count` of a row group, from `start`.

    `rows` are their chunks' index rows, and `paged` the paths of page-structured files among them.
    """

    group: Table
    start: int
    count: int
    files: int
    bytes_total: int
    rows: Any
    paged: tuple[bytes, ...]


class PreviousManifest:
    """A cursor over the previous manifest. Forwards only; one thread."""

    def __init__(self, *, reader: ManifestReader, index: ChunkIndex, started_ns: int) -> None:
        self._tables = reader.tables()
        self._index = index
        self._trusted_before_ns = started_ns - RACY_NS
        self.entries = reader.entries
        self._group: _Group | None = None
        self._at = 0

    def match(self, entry: Entry) -> Match | None:
        """Return the previous row of this path, or None where it is new. Paths must come in manifest order."""
        wanted = b""
        while True:
            group, at = self._group, self._at
            if group is None or at >= len(group.paths):
                table = next(self._tables, None)
                if table is None:
                    self._group = None
                    return None
                self._group, self._at = _Group(table, self._index, self._trusted_before_ns), 0
                continue
            if group.paths[at] == entry.path:  # as nearly always, and then no order need be known
                self._at = at + 1
                return Match(group, at, group.identities[at] == _IDENTITY(entry))
            wanted = wanted or sort_key(entry.path)
            if sort_key(group.paths[at]) > wanted:
                return None
            self._at = at + 1


class Match(NamedTuple):
    """A path that the previous manifest has too."""

    group: _Group
    at: int
    unchanged: bool

    def row(self) -> ManifestRow:
        """Return the previous row."""
        return next(iter(table_to_rows(self.group.table.slice(self.at, 1))))


class Run:
    """Collects matches that stand together into slices."""

    def __init__(self) -> None:
        self._group: _Group | None = None
        self._start = self._end = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is collected."""
        return self._group is None

    def add(self, match: Match) -> Sequence[Slice]:
        """Take one unchanged match; return the slice that it does not continue, if it does not."""
        if match.group is self._group and match.at == self._end:
            self._end += 1
            return ()
        ended = self.flush()
        self._group, self._start, self._end = match.group, match.at, match.at + 1
        return ended

    def flush(self) -> Sequence[Slice]:
        """Return what is collected, if anything is."""
        ended = () if self._group is None else (self._group.slice(self._start, self._end),)
        self._group, self._start, self._end = None, 0, 0
        return ended


class _Group:
    """One row group of the previous manifest with its identity columns and where its chunks are."""

    def __init__(self, table: Table, index: ChunkIndex, trusted_before_ns: int) -> None:
        self.table = table.select(SCHEMA.names)
        columns = Comparable(self.table)
        self.paths = columns.paths()
        self._ends, chunk_ids = columns.chunk_ids()
        self._rows = index.find(chunk_ids)
        missing = np.concatenate(([0], np.cumsum((self._rows == ABSENT) & (chunk_ids != _HOLE))))
        whole = missing[self._ends[1:]] == missing[self._ends[:-1]]
        ctimes = columns.ctimes_ns()
        proven = whole & columns.held_still() & (ctimes != 0) & (ctimes < trusted_before_ns)
        self.identities = columns.identities()
        for at in np.flatnonzero(~proven).tolist():
            self.identities[at] = None  # equal to no entry
        is_file = columns.are(EntryKind.FILE)
        self._files_before = np.concatenate(([0], np.cumsum(is_file)))
        self._bytes_before = np.concatenate(([0], np.cumsum(np.where(is_file, columns.sizes(), 0))))
        self._paged: list[int] = np.flatnonzero(columns.page_bytes()).tolist()

    def slice(self, start: int, end: int) -> Slice:
        """Return rows [start, end) as they are."""
        rows = self._rows[self._ends[start] : self._ends[end]]
        paged = self._paged[bisect_left(self._paged, start) : bisect_left(self._paged, end)]
        return Slice(
            group=self.table,
            start=start,
            count=end - start,
            files=int(self._files_before[end] - self._files_before[start]),
            bytes_total=int(self._bytes_before[end] - self._bytes_before[start]),
            rows=rows[rows != ABSENT],
            paged=tuple(self.paths[at] for at in paged),
        )
