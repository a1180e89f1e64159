"""Compare a source's entries with the previous manifest: a merge of two sorted streams, in constant memory.

An entry is unchanged when size, mtime, ctime, inode, device, kind and link target are as they were, it held still
then, and every chunk of it is still in the index. Unchanged entries that stand together are passed on as one slice of
the old manifest, so they cost neither a read nor a new row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from farshore.format.extents import view_extents
from farshore.format.manifest import (
    IDENTITY_COLUMNS,
    SCHEMA,
    WHOLE,
    ManifestReader,
    ManifestRow,
    sort_key,
    table_to_rows,
)
from farshore.index import ABSENT, ChunkIndex
from farshore.model import HOLE, Entry

RACY_NS = 2_000_000_000  # a change within the clock's grain of the last read could hide behind equal times
_HOLE = np.frombuffer(HOLE, dtype="V32")[0]
Table = Any  # pyarrow.Table, which only farshore.format may name


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of the previous manifest that are unchanged and stand together.

    `rows` are their chunks' index rows, and `paged` the paths of page-structured files among them.
    """

    table: Table
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
        wanted = sort_key(entry.path)
        while True:
            if self._group is None or self._at >= len(self._group.keys):
                table = next(self._tables, None)
                if table is None:
                    self._group = None
                    return None
                self._group, self._at = _Group(table, self._index), 0
                continue
            key = self._group.keys[self._at]
            if key > wanted:
                return None
            self._at += 1
            if key == wanted:
                at = self._at - 1
                same = self._group.same(at, entry, self._trusted_before_ns)
                return Match(self._group, at, unchanged=same)


@dataclass(frozen=True, slots=True)
class Match:
    """A path that the previous manifest has too."""

    group: _Group
    at: int
    unchanged: bool

    def row(self) -> ManifestRow:
        """Return the previous row."""
        return next(table_to_rows(self.group.table.slice(self.at, 1)))


class Run:
    """Collects matches that stand together into slices."""

    def __init__(self) -> None:
        self._group: _Group | None = None
        self._start = self._end = 0

    def add(self, match: Match) -> Iterator[Slice]:
        """Take one unchanged match; yield the slice that it does not continue."""
        if match.group is not self._group or match.at != self._end:
            yield from self.flush()
            self._group, self._start = match.group, match.at
        self._end = match.at + 1

    def flush(self) -> Iterator[Slice]:
        """Yield what is collected."""
        if self._group is not None and self._end > self._start:
            yield self._group.slice(self._start, self._end)
        self._group, self._start, self._end = None, 0, 0


class _Group:
    """One row group of the previous manifest with its identity columns and where its chunks are."""

    def __init__(self, table: Table, index: ChunkIndex) -> None:
        self.table = table
        columns = {name: table.column(name).to_pylist() for name in IDENTITY_COLUMNS}
        self.keys = [sort_key(path) for path in columns["path"]]
        self._identity = list(
            zip(*(columns[name] for name in IDENTITY_COLUMNS[1:-1]), strict=True)
        )  # kind, size, mtime_ns, ctime_ns, inode, device, target
        self._states = columns["state"]
        self._paths = columns["path"]
        self._paged = [at for at, size in enumerate(table.column("page_bytes").to_pylist()) if size]
        array = table.column("extents").combine_chunks()
        array = array.chunk(0) if hasattr(array, "chunk") and array.num_chunks else array
        self._ends, chunk_ids = _flatten(array)
        self._rows = index.find(chunk_ids)
        holes = chunk_ids == _HOLE
        self._missing_before = np.concatenate(([0], np.cumsum((self._rows == ABSENT) & ~holes)))

    def same(self, at: int, entry: Entry, trusted_before_ns: int) -> bool:
        """Whether the row is the very entry, held still, and has all its chunks in the index."""
        kind, size, mtime_ns, ctime_ns, inode, device, target = self._identity[at]
        return bool(
            ctime_ns == entry.ctime_ns != 0
            and mtime_ns == entry.mtime_ns
            and size == entry.size
            and inode == _signed(entry.inode)
            and device == _signed(entry.device)
            and kind == entry.kind
            and target == entry.target
            and ctime_ns < trusted_before_ns
            and self._states[at] == WHOLE
            and self._missing_before[self._ends[at + 1]] == self._missing_before[self._ends[at]]
        )

    def slice(self, start: int, end: int) -> Slice:
        """Return rows [start, end) as they are."""
        table = self.table.slice(start, end - start).select(SCHEMA.names)
        kinds = [row[0] for row in self._identity[start:end]]
        sizes = sum(row[1] for row in self._identity[start:end] if row[0] == "file")
        rows = self._rows[self._ends[start] : self._ends[end]]
        paged = tuple(self._paths[at] for at in self._paged if start <= at < end)
        return Slice(table, end - start, kinds.count("file"), sizes, rows[rows != ABSENT], paged)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _flatten(array: Any) -> tuple[Any, Any]:
    """Return, for a binary column of extents, the running count of extents at each row, and all chunk ids."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)
    data = array.buffers()[2]
    view = memoryview(data)[int(offsets[0]) : int(offsets[-1])] if data is not None else memoryview(b"")
    extents = view_extents(view)
    starts = (offsets - offsets[0]) // extents.dtype.itemsize
    return starts, np.ascontiguousarray(extents["chunk"])
