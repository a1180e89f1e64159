"""Tables of several runs of a manifest as one stream: of the rows of a path, that of the newest run. Pure.

Ranges of all runs are joined at a time, so memory holds a table of each run, whatever their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from farshore.format import arrow as pc
from farshore.format.choosing import sort_key
from farshore.format.columns import whole

GONE = "gone"


def merge_tables(runs: Sequence[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Yield the rows of all runs in manifest order, marks among them; at most one for each path.

    Args:
        runs: The tables of each run, the oldest first; with the column `path`, and all with the same columns.
    """
    pending = [PendingRows(tables) for tables in runs]
    while True:
        for one in pending:
            one.fill()
        left = [one for one in pending if not one.empty]
        if not left:
            return
        end = min(one.last_key() for one in left)
        parts = [part for one in left if (part := one.pop_until(end)) is not None and part.num_rows]
        yield parts[0] if len(parts) == 1 else _join(parts)


def without_marks(table: pa.Table) -> pa.Table:
    """Return the rows that are entries."""
    kept = pc.not_equal(whole(table.column("state")), GONE)
    return table if pc.all(kept).as_py() else pc.filter(table, kept).combine_chunks()


class PendingRows:
    """The rest of one table of a run or a manifest. First `fill` it."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._table: pa.Table | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is left of the table at hand."""
        return self._table is None or not self._table.num_rows

    def fill(self) -> bool:
        """Read the next table when this one is used up; return whether there is something left."""
        while self.empty:
            self._table = next(self._tables, None)
            if self._table is None:
                return False
        return True

    def last_key(self) -> bytes:
        """Return the key of the last path."""
        return self._key(self._rows() - 1)

    def pop_until(self, end: bytes) -> pa.Table | None:
        """Return and drop the rows up to a key, which is found by bisection."""
        if self._table is None or self.empty:
            return None
        low, high = 0, self._rows()
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._key(middle) <= end else (low, middle)
        popped, self._table = self._table.slice(0, low), self._table.slice(low)
        return popped

    def _rows(self) -> int:
        return int(self._table.num_rows) if self._table is not None else 0

    def _key(self, row: int) -> bytes:
        return sort_key(self._table.column("path")[row].as_py()) if self._table is not None else b""


def _join(parts: Sequence[pa.Table]) -> pa.Table:
    """Return ranges of several runs, the oldest first, as one table."""
    newer = whole(parts[-1].column("path"))
    chosen = [parts[-1]]
    for part in reversed(parts[:-1]):
        paths = whole(part.column("path"))
        kept = pc.filter(part, pc.invert(pc.is_in(paths, value_set=newer)))
        if kept.num_rows:
            chosen.append(kept)
            newer = pa.concat_arrays([newer, whole(kept.column("path"))])
    joined = pa.concat_tables(chosen).combine_chunks()
    keys = pc.replace_substring(whole(joined.column("path")), pattern=b"/", replacement=b"\x00")
    return pc.rows_at(joined, pc.sorted_places(keys))
