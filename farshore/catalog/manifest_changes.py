"""The rows by which a new snapshot differs from the one before: those that changed, and marks of those that are gone.

A backup writes the rows of the new snapshot in manifest order: ranges of the earlier one that are as they were, and
new rows. So whatever it passed by in the earlier manifest is gone, and only groups with changes are read again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from farshore.catalog.previous_rows import Slice
from farshore.format.choosing import sort_key
from farshore.format.columns import binaries
from farshore.format.manifest import ManifestReader, ManifestRow, ManifestWriter, marks_of, table_to_rows

_QUICK = ("mtime_ns", "ctime_ns", "size", "inode")  # rows that differ mostly differ in these
Table = Any  # pyarrow.Table, which only farshore.format may name


class ManifestChanges:
    """Writes the changes of one snapshot. One use, from one thread.

    Args:
        before: The manifest of the snapshot before, in one run.
        writer: Gets the changes, in manifest order.
    """

    def __init__(self, *, before: ManifestReader, writer: ManifestWriter) -> None:
        self._before = before.again()
        self._writer = writer
        self._group = self._at = 0  # the first row of the earlier manifest that is neither kept nor changed nor gone
        self._table: tuple[int, Table] | None = None
        self._paths: tuple[int, Sequence[bytes]] | None = None

    @property
    def rows(self) -> int:
        """How many changes there are so far."""
        return self._writer.entries

    def keep(self, unit: Slice) -> None:
        """Note a range of the earlier manifest that is in the new one as it was."""
        self._skip_to(unit.number, unit.start)
        self._group, self._at = unit.number, unit.start + unit.count
        self._table = (unit.number, unit.group)

    def add(self, row: ManifestRow) -> None:
        """Write a new row unless the earlier manifest has the same one."""
        key = sort_key(row.entry.path)
        while self._group < self._before.groups:
            paths = self._paths_of(self._group)
            at = bisect_left(paths, key, lo=self._at, key=sort_key)
            self._skip_to(self._group, at)
            if at == len(paths):
                self._group, self._at = self._group + 1, 0
                continue
            if paths[at] == row.entry.path:
                self._at = at + 1
                if self._is_as_before(row, at):
                    return
            break
        self._writer.add(row)

    def close(self) -> None:
        """Write the marks of all that follows the last row."""
        self._skip_to(self._before.groups, 0)
        self._writer.close()

    def _skip_to(self, group: int, at: int) -> None:
        """Mark all rows before one as gone."""
        while self._group < group:
            self._mark(len(self._paths_of(self._group)))
            self._group, self._at = self._group + 1, 0
        if self._at < at:
            self._mark(at)

    def _mark(self, end: int) -> None:
        if self._at < end:
            held = self._table_of(self._group)
            self._writer.add_slice(marks_of(held.slice(self._at, end - self._at).column("path").combine_chunks()))
        self._at = end

    def _is_as_before(self, row: ManifestRow, at: int) -> bool:
        table = self._table_of(self._group)
        entry = row.entry
        signed = entry.inode - (1 << 64) if entry.inode >= 1 << 63 else entry.inode
        quick = (entry.mtime_ns, entry.ctime_ns, entry.size, signed)
        if any(table.column(name)[at].as_py() != value for name, value in zip(_QUICK, quick, strict=True)):
            return False
        return next(iter(table_to_rows(table.slice(at, 1)))) == row

    def _paths_of(self, group: int) -> Sequence[bytes]:
        if self._paths is None or self._paths[0] != group:
            self._paths = (group, binaries(self._table_of(group).column("path")))
        return self._paths[1]

    def _table_of(self, group: int) -> Table:
        if self._table is None or self._table[0] != group:
            self._table = (group, self._before.read_group(group))
        return self._table[1]
