"""Rows of a snapshot's manifest, and which of them equal the entries in the target: a table at a time. Pure."""

from __future__ import annotations

import stat
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.catalog.previous_rows import count_same_paths
from farshore.format.choosing import sort_key
from farshore.format.comparable import Comparable
from farshore.format.manifest import ManifestRow, table_to_rows
from farshore.model import dataclass
from farshore.sources.directory.attributes import hash_xattrs
from farshore.sources.directory.listing import PosixListing

_TYPE_BITS = stat.S_IFMT(0xFFFF)
_BLOCK_ROWS = 256  # made into Python values together: one by one would need a hundred times as long
SET_IDS = 0o6000
COARSE_NS = 2_000_000_000
Table = Any  # pyarrow.Table, which only farshore.format may name


@dataclass(frozen=True, slots=True)
class Ability:
    """The metadata that this user and this file system can put back; only that is compared.

    `owner`: whether files can be given to anybody. `user` is who else gets them. `coarse`: times have seconds alone.
    """

    owner: bool
    user: int
    groups: frozenset[int]
    coarse: bool = False


class SnapshotRows:
    """One table of a manifest."""

    def __init__(self, table: Table, ability: Ability) -> None:
        self._table = table
        self._ability = ability
        self._columns = Comparable(table)
        self._block: tuple[int, list[ManifestRow]] = (-1, [])
        self.count: int = table.num_rows

    @property
    def paths(self) -> list[bytes]:
        """The paths."""
        return self._columns.paths

    def row(self, at: int) -> ManifestRow:
        """Return one row; those beside it cost little more."""
        block = at // _BLOCK_ROWS
        if self._block[0] != block:
            rows = self._table.slice(block * _BLOCK_ROWS, _BLOCK_ROWS)
            self._block = block, list(table_to_rows(rows))
        return self._block[1][at % _BLOCK_ROWS]

    def find(self, path: bytes) -> ManifestRow | None:
        """Return the row of a path, found by halving."""
        wanted = sort_key(path)
        low, high = 0, self.count
        data, ends = self._columns.path_bytes
        while low < high:
            middle = (low + high) // 2
            here = data[int(ends[middle]) : int(ends[middle + 1])].tobytes()
            if here == path:
                return next(iter(table_to_rows(self._table.slice(middle, 1))))
            low, high = (middle + 1, high) if sort_key(here) < wanted else (low, middle)
        return None

    def same_paths(self, start: int, listing: PosixListing, at: int) -> int:
        """Return how many rows from `start` on have the paths of a listing's entries from `at` on."""
        return count_same_paths(self._columns.path_bytes, start, self.count, listing, at)

    def same(
        self, start: int, listing: PosixListing, at: int, count: int, *, by_content: bool
    ) -> npt.NDArray[np.bool_]:
        """Return which rows from `start` on equal a listing's entries from `at` on, whose paths they have.

        Never one with several names, which are one file; nor, with `by_content`, a file that is not empty.
        """
        found = listing.records[at : at + count]
        rows = slice(start, start + count)
        modes = found["mode"].astype(np.int64)
        types = modes & _TYPE_BITS
        files, links = types == stat.S_IFREG, types == stat.S_IFLNK
        same: npt.NDArray[np.bool_] = self._columns.types[rows] == types
        same &= (types == stat.S_IFDIR) | (found["links"] == 1)
        same &= ~files | (self._columns.numbers("size")[rows] == found["size"])
        same &= links | (self._modes[rows] == modes & 0o7777)
        same &= self._owned(rows, found)
        apart = np.abs(self._columns.numbers("mtime_ns")[rows] - found["mtime_ns"])
        same &= apart < (COARSE_NS if self._ability.coarse else 1)
        devices = (types == stat.S_IFCHR) | (types == stat.S_IFBLK)
        same &= ~devices | (self._columns.numbers("rdev")[rows] == found["rdev"])
        if by_content:
            same &= ~files | (found["size"] == 0)
        same &= self._attributed[rows] == (found["attributes"] != 0)
        for one in np.flatnonzero(same & (found["attributes"] != 0)).tolist():
            same[one] = self._xattr_hash(start + one) == listing.attributes(at + one)
        for one in np.flatnonzero(same & links).tolist():
            same[one] = self._columns.targets[start + one] == listing.target(at + one)
        return same

    def _owned(self, rows: slice, found: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        groups = self._columns.numbers("gid")[rows]
        same: npt.NDArray[np.bool_] = groups == found["gid"]
        if self._ability.owner:
            same &= self._columns.numbers("uid")[rows] == found["uid"]
        else:
            same |= ~np.isin(groups, list(self._ability.groups))  # nothing can be given to these
        return same

    @cached_property
    def _modes(self) -> npt.NDArray[np.int64]:
        modes = self._columns.numbers("mode")
        if self._ability.owner:
            return modes
        lent = (self._columns.types == stat.S_IFREG) & (self._columns.numbers("uid") != self._ability.user)
        return np.where(lent, modes & ~SET_IDS, modes)  # as a restore by this user makes them

    @cached_property
    def _attributed(self) -> npt.NDArray[np.bool_]:
        return np.fromiter(map(bool, self._columns.xattrs), np.bool_, self.count)

    def _xattr_hash(self, at: int) -> bytes:
        return hash_xattrs(self._columns.xattrs[at])
