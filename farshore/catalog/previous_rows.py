"""Rows of the previous manifest, a row group at a time, and which of them equal the entries a walk found. Pure."""

from __future__ import annotations

import stat
from bisect import bisect_left
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.format.comparable import Comparable
from farshore.format.manifest import SCHEMA
from farshore.index import ABSENT, ChunkIndex
from farshore.model import HOLE, EntryKind, dataclass
from farshore.sources.base import Listing

_HOLE = np.frombuffer(HOLE, dtype="V32")[0]
_COMPARED_NUMBERS = ("mtime_ns", "ctime_ns", "inode", "device")
_TYPE_BITS = stat.S_IFMT(0xFFFF)
_SIZE_PLAIN_MAX = 2**63 // limits.MANIFEST_ROWS_PER_GROUP - 1
Table = Any  # pyarrow.Table, which only farshore.format may name


@dataclass(frozen=True, slots=True)
class Slice:
    """Adjacent unchanged rows of the previous manifest: `count` of the group with a number, from `start`.

    `rows` are their chunks' index rows, and `paged` the paths of page-structured files among them.
    """

    group: Table
    number: int
    start: int
    count: int
    files: int
    bytes_total: int
    rows: Any
    paged: tuple[bytes, ...]


class RowGroup:
    """One row group of the previous manifest with its identity columns and where its chunks are."""

    def __init__(self, table: Table, number: int, index: ChunkIndex, trusted_before_ns: int) -> None:
        self.number = number
        self.table = table.select(SCHEMA.names)
        self.count: int = table.num_rows
        columns = Comparable(self.table)
        self._columns = columns
        self._ends, chunk_ids = columns.chunk_ids()
        self._rows = index.find(chunk_ids)
        missing = np.concatenate(([0], np.cumsum((self._rows == ABSENT) & (chunk_ids != _HOLE))))
        whole = missing[self._ends[1:]] == missing[self._ends[:-1]]
        ctimes = columns.numbers("ctime_ns")
        self._proven = whole & columns.read_whole() & (ctimes != 0) & (ctimes < trusted_before_ns)
        is_file = columns.are(EntryKind.FILE)
        self._sizes = columns.numbers("size")
        self._files_before = np.concatenate(([0], np.cumsum(is_file)))
        sizes = np.where(is_file, self._sizes, 0)
        if sizes.max(initial=0) > _SIZE_PLAIN_MAX:
            sizes = sizes.astype(object)  # files of a few exbibytes, all hole: together more than 64 bits hold
        self._bytes_before = np.concatenate(([0], np.cumsum(sizes)))
        self._paged: list[int] = np.flatnonzero(columns.numbers("page_bytes")).tolist()

    @property
    def paths(self) -> list[bytes]:
        """The paths."""
        return self._columns.paths

    @cached_property
    def identities(self) -> list[tuple[object, ...] | None]:
        """The fields that identify an unchanged row; None if the row cannot be trusted."""
        identities = self._columns.identities()
        for at in np.flatnonzero(~self._proven).tolist():
            identities[at] = None  # equal to no entry
        return identities

    def same_paths(self, start: int, listing: Listing, at: int) -> int:
        """Return how many rows from `start` on have the paths of a listing's entries from `at` on."""
        return count_same_paths(self._columns.path_bytes, start, self.count, listing, at)

    def unchanged(self, start: int, listing: Listing, at: int, count: int) -> npt.NDArray[np.bool_]:
        """Return which rows from `start` on equal a listing's entries from `at` on, whose paths they have.

        Never one with several names: a listing does not know which of them is the file and which is a link.
        """
        found = listing.records[at : at + count]
        rows = slice(start, start + count)
        types = found["mode"].astype(np.int64) & _TYPE_BITS
        same: npt.NDArray[np.bool_] = self._proven[rows] & (self._columns.types[rows] == types)
        same &= (types == stat.S_IFDIR) | (found["links"] == 1)
        # Sizes of directories say nothing and are left out.
        same &= self._sizes[rows] == np.where(types == stat.S_IFREG, found["size"], 0)
        for name in _COMPARED_NUMBERS:
            same &= self._columns.numbers(name)[rows] == found[name]
        for link in np.flatnonzero(same & (types == stat.S_IFLNK)).tolist():
            same[link] = self._columns.targets[start + link] == listing.target(at + link)
        return same

    def slice(self, start: int, end: int) -> Slice:
        """Return rows [start, end) as they are."""
        rows = self._rows[self._ends[start] : self._ends[end]]
        paged = self._paged[bisect_left(self._paged, start) : bisect_left(self._paged, end)]
        return Slice(
            group=self.table,
            number=self.number,
            start=start,
            count=end - start,
            files=int(self._files_before[end] - self._files_before[start]),
            bytes_total=int(self._bytes_before[end] - self._bytes_before[start]),
            rows=rows[rows != ABSENT],
            paged=tuple(self.paths[at] for at in paged),
        )


def count_same_paths(
    path_bytes: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]], start: int, rows: int, listing: Listing, at: int
) -> int:
    """Return how many of some rows, from `start` on, have the paths of a listing's entries from `at` on."""
    data, ends = path_bytes
    count = min(rows - start, listing.count - at)
    mine = ends[start : start + count + 1]
    theirs = listing.path_ends[at : at + count + 1]
    mine, theirs = mine - mine[0], theirs - theirs[0]
    lengths_differ = np.flatnonzero(mine != theirs)
    if len(lengths_differ):
        count = int(lengths_differ[0]) - 1
    size = int(mine[count])
    here, there = int(ends[start]), int(listing.path_ends[at])
    differ = np.flatnonzero(data[here : here + size] != listing.paths[there : there + size])
    return int(np.searchsorted(mine[: count + 1], differ[0], "right")) - 1 if len(differ) else count
