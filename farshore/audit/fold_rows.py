"""The rows of folded files: joined and proven equal to those of the files that they replace. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from farshore.audit import names
from farshore.audit.tables import decode_table, encode_table, row_digests, unknown_columns
from farshore.errors import Bug, FormatTooNew
from farshore.limits import AUDIT_FILE_ROWS_MAX

_JOINED_AT_ONCE = 256
NamedBytes = tuple[str, bytes]


class RowSet:
    """How often each row is in some files, by table: 16 bytes and some 100 of Python for each row."""

    def __init__(self) -> None:
        self._rows: dict[str, Counter[bytes]] = defaultdict(Counter)

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        self._rows[table].update(row_digests(rows))

    def lacks(self, table: str, rows: pa.Table) -> bool:
        """Whether some of these rows are not here."""
        return bool(Counter(row_digests(rows)) - self._rows[table])

    def __eq__(self, other: object) -> bool:
        """Whether both have the same rows, each as often."""
        return isinstance(other, RowSet) and {t: c for t, c in self._rows.items() if c} == {
            t: c for t, c in other._rows.items() if c
        }

    __hash__ = None  # type: ignore[assignment]


def join_files(files: Iterable[NamedBytes], month: date, run_id: str) -> tuple[list[NamedBytes], int]:
    """Return files that have the rows of all these, by table, and how many rows they have.

    The rows are in the order of their chain, so values that repeat from run to run are close together. Memory
    grows with the rows; callers bound the bytes of the files.

    Raises:
        ObjectCorrupt: A file is none of its table.
        FormatTooNew: A file has columns that this version does not know, which would be lost.
        Bug: The rows are not the same.
    """
    tables: dict[str, list[pa.Table]] = defaultdict(list)
    before = RowSet()
    for name, data in files:
        table = names.table_of(name) or ""
        if unknown_columns(table, name, data):
            raise FormatTooNew(f"audit file {name} has columns that this Farshore does not know")
        rows = decode_table(table, name, data)
        before.add(table, rows)
        tables[table].append(rows)
        if len(tables[table]) >= _JOINED_AT_ONCE:  # a small table has some 10 kB of buffers
            tables[table] = [pa.concat_tables(tables[table]).combine_chunks()]
    made = [one for table, parts in sorted(tables.items()) for one in write_rows(table, parts, month, run_id)]
    after, total = read_rows(made)
    if after != before:
        raise Bug("the rows of a fold are not those of the files that it replaces")
    return made, total


def write_rows(table: str, parts: Iterable[pa.Table], month: date, run_id: str) -> list[NamedBytes]:
    """Return files of the rows of a table, none with more rows than a reader allows; an empty one of no rows."""
    rows = pa.concat_tables(parts).combine_chunks()
    starts = range(0, max(len(rows), 1), AUDIT_FILE_ROWS_MAX)
    pieces = (rows.slice(at, AUDIT_FILE_ROWS_MAX).combine_chunks() for at in starts)
    encoded = (encode_table(table, piece) for piece in pieces)
    return [(names.file_name(table, month, run_id, data), data) for data in encoded]


def read_rows(files: Iterable[NamedBytes]) -> tuple[RowSet, int]:
    """Return the rows of files, and how many there are."""
    found, total = RowSet(), 0
    for name, data in files:
        table = names.table_of(name) or ""
        rows = decode_table(table, name, data)
        found.add(table, rows)
        total += len(rows)
    return found, total


def subjects_of(rows: pa.Table) -> set[str]:
    """Return the objects and snapshots that rows are about."""
    return {
        value
        for column in ("object", "snapshot_id")
        if column in rows.column_names
        for value in pc.unique(rows.column(column)).to_pylist()
        if value
    }


def rows_about(rows: pa.Table, subjects: Callable[[str], bool]) -> pa.Table:
    """Return the rows about an object that there is; where no object is named, about a snapshot that there is."""
    columns = [rows.column(one).to_pylist() if one in rows.column_names else [None] * len(rows)
               for one in ("object", "snapshot_id")]  # fmt: skip
    wanted = [
        subjects(thing) if thing else bool(snapshot) and subjects(snapshot)
        for thing, snapshot in zip(*columns, strict=True)
    ]
    return rows.filter(pa.array(wanted, pa.bool_()))
