"""Entries from the columns of a manifest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from farshore.errors import FeatureMissing
from farshore.format import columns
from farshore.model import Entry, EntryKind


def table_to_entries(table: pa.Table) -> Iterator[Entry]:
    """Yield the entries of a table of `ENTRY_COLUMNS`, or more."""
    return map(Entry, *columns_of(table, ENTRY_COLUMNS))


def columns_of(table: pa.Table, names: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield columns with their values as an entry has them."""
    return (_VALUES[name](table.column(name)) for name in names)


def kinds(column: pa.ChunkedArray) -> list[EntryKind]:
    """Return the kinds of a column of them.

    Raises:
        FeatureMissing: There is one that this Farshore does not know.
    """
    distinct, rows = columns.texts(column)
    known = [kind_of(text) for text in distinct]
    return [known[row] for row in rows]


def texts(column: pa.ChunkedArray) -> list[str]:
    """Return the texts of a column that has few different ones."""
    distinct, rows = columns.texts(column)
    return [distinct[row] for row in rows]


def _unsigned(column: pa.ChunkedArray) -> list[int]:
    return columns.integers(column, unsigned=True)


def kind_of(text: str) -> EntryKind:
    """Return a kind by its name. Raises as `kinds`."""
    try:
        return EntryKind(text)
    except ValueError as error:
        raise FeatureMissing(f"a manifest has an entry of kind {text!r}, which this Farshore does not know") from error


_VALUES: Mapping[str, Callable[[pa.ChunkedArray], Sequence[Any]]] = {  # the fields of `Entry`, in their order
    "path": columns.binaries,
    "kind": kinds,
    "mode": columns.integers,
    "uid": columns.integers,
    "gid": columns.integers,
    "user": texts,
    "group": texts,
    "size": columns.integers,
    "mtime_ns": columns.integers,
    "ctime_ns": columns.integers,
    "inode": _unsigned,
    "device": _unsigned,
    "rdev": _unsigned,
    "links": columns.integers,
    "target": columns.binaries,
    "xattrs": columns.pairs,
    "page_bytes": columns.integers,
}
ENTRY_COLUMNS = tuple(_VALUES)
