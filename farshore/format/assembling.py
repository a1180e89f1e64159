"""Joins new rows and ranges of earlier tables in order. Pure.

A range costs the same whether it is one row or a whole row group: rows are gathered by number from all tables at once,
so changes scattered over a tree cost no more than the same number in one place.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from farshore.format import arrow as pc

_TABLES_MAX = 4  # at a time: one row in a hundred would otherwise keep a table of all in memory


class Assembly:
    """Collects rows of tables of one schema. One thread."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._tables: list[pa.Table] = []
        self._offsets: dict[int, int] = {}  # table by identity -> its first row among all tables
        self._starts: list[int] = []
        self._counts: list[int] = []
        self._rows = 0  # of all tables
        self.pending = 0

    def add(self, table: pa.Table, start: int, count: int) -> None:
        """Append rows of a table, which must not change."""
        if id(table) not in self._offsets:
            if len(self._tables) >= _TABLES_MAX:
                self._settle()
            self._offsets[id(table)] = self._rows
            self._tables.append(table)
            self._rows += table.num_rows
        first = self._offsets[id(table)] + start
        if self._starts and self._starts[-1] + self._counts[-1] == first:
            self._counts[-1] += count
        else:
            self._starts.append(first)
            self._counts.append(count)
        self.pending += count

    def pop(self, count: int) -> pa.Table:
        """Return and drop the first rows."""
        self._settle()
        table = self._tables[0] if self._tables else self._schema.empty_table()
        popped, left = table.slice(0, count), table.slice(count)
        self._forget()
        if left.num_rows:
            self.add(left, 0, left.num_rows)
        return popped

    def _settle(self) -> None:
        """Put all that is pending into one table."""
        if not self.pending:
            self._forget()
            return
        if len(self._starts) == 1:  # they are consecutive already
            joined = self._tables[0] if len(self._tables) == 1 else pa.concat_tables(self._tables)
            table = joined.slice(self._starts[0], self._counts[0])
        else:
            counts = np.array(self._counts)
            skipped = np.array(self._starts) - np.concatenate(([0], np.cumsum(counts)[:-1]))
            numbers = np.arange(self.pending) + np.repeat(skipped, counts)
            low, high = int(numbers.min()), int(numbers.max()) + 1
            joined = pa.concat_tables(self._tables).slice(low, high - low).combine_chunks()
            table = pc.rows_at(joined, pa.array(numbers - low))
        self._forget()
        self.add(table, 0, table.num_rows)

    def _forget(self) -> None:
        self._tables, self._starts, self._counts = [], [], []
        self._offsets, self._rows, self.pending = {}, 0, 0
