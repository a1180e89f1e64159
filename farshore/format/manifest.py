"""Manifests as Parquet.

Pure: reads and writes file-like objects it is given. docs/reference/format.md, section 5. They are written and read in
batches, so memory does not grow with the number of entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format import arrow as pc
from farshore.format import choosing, columns, entries
from farshore.format.assembling import Assembly
from farshore.format.bounded_parquet import UNREADABLE, BoundedParquet, File
from farshore.format.choosing import Choice
from farshore.model import Entry

WHOLE = "whole"
CHANGING = "changing"

SCHEMA = pa.schema([
    pa.field("path", pa.binary(), nullable=False),
    pa.field("display", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("mode", pa.int32(), nullable=False),
    pa.field("uid", pa.int64(), nullable=False),
    pa.field("gid", pa.int64(), nullable=False),
    pa.field("user", pa.string(), nullable=False),
    pa.field("group", pa.string(), nullable=False),
    pa.field("size", pa.int64(), nullable=False),
    pa.field("mtime_ns", pa.int64(), nullable=False),
    pa.field("ctime_ns", pa.int64(), nullable=False),
    pa.field("inode", pa.int64(), nullable=False),
    pa.field("device", pa.int64(), nullable=False),
    pa.field("rdev", pa.int64(), nullable=False),
    pa.field("links", pa.int64(), nullable=False),
    pa.field("target", pa.binary(), nullable=False),
    pa.field("xattrs", pa.list_(pa.struct([pa.field("name", pa.binary()), pa.field("value", pa.binary())]))),
    pa.field("page_bytes", pa.int32(), nullable=False),
    pa.field("content_hash", pa.binary(), nullable=False),
    pa.field("extents", pa.binary(), nullable=False),
    pa.field("state", pa.string(), nullable=False),
])  # fmt: skip
_DICTIONARY_COLUMNS = ["kind", "user", "group", "state", "mode", "uid", "gid", "device", "page_bytes"]
_UNSIGNED = ("inode", "device", "rdev")  # kept as the signed numbers with the same bits: inodes may use all 64
_ROW_COLUMNS = (*entries.ENTRY_COLUMNS, "content_hash", "extents", "state")
_XATTR_BYTES = 16  # of an extended attribute beside name and value
_ROWS_AT_ONCE = 2048  # a row is 2 kB as Python values: a whole row group would be more than all else


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One entry with its content: the hash of the whole file, its encoded extents, and its state."""

    entry: Entry
    content_hash: bytes = b""
    extents: bytes = b""
    state: str = WHOLE


def sort_key(path: bytes) -> bytes:
    """Return the bytes by which paths are ordered: a directory is right before its contents."""
    return path.replace(b"/", b"\x00")


def display_path(path: bytes) -> str:
    r"""Return the path as text for people; bytes that are not UTF-8 show as `\xNN`."""
    return path.decode("utf-8", "backslashreplace")


def rows_to_table(rows: Sequence[ManifestRow]) -> pa.Table:
    """Return the rows as a table of `SCHEMA`."""
    if not rows:
        return SCHEMA.empty_table()
    entries_of = dict(zip(Entry._fields, zip(*(row.entry for row in rows), strict=True), strict=True))
    values: dict[str, Any] = {
        **entries_of,
        "display": [display_path(path) for path in entries_of["path"]],
        "xattrs": [[{"name": name, "value": value} for name, value in pairs] for pairs in entries_of["xattrs"]],
        "content_hash": [row.content_hash for row in rows],
        "extents": [row.extents for row in rows],
        "state": [row.state for row in rows],
    }
    for name in _UNSIGNED:
        values[name] = np.array(values[name], np.uint64).view(np.int64)
    return pa.Table.from_arrays([pa.array(values[item.name], type=item.type) for item in SCHEMA], schema=SCHEMA)


def table_to_rows(table: pa.Table) -> Iterator[ManifestRow]:
    """Yield the rows of a table of `SCHEMA`."""
    return map(
        ManifestRow,
        entries.table_to_entries(table),
        columns.binaries(table.column("content_hash")),
        columns.binaries(table.column("extents")),
        entries.texts(table.column("state")),
    )


class ManifestWriter:
    """Writes rows, given in manifest order, to a file-like object. One thread.

    Rows are new ones or slices of an earlier manifest, so that unchanged entries cost no Python object each. A row
    group ends once its rows have `group_bytes_max`.
    """

    def __init__(self, sink: File, *, group_bytes_max: int = limits.MANIFEST_GROUP_BYTES_MAX) -> None:
        self._group_bytes_max = group_bytes_max
        self._writer = pq.ParquetWriter(
            sink, SCHEMA, compression="zstd", compression_level=3, use_dictionary=_DICTIONARY_COLUMNS,
            write_statistics=["path"], store_schema=False,
        )  # fmt: skip
        self._assembly = Assembly(SCHEMA)
        self._rows: list[ManifestRow] = []
        self._parts: list[tuple[pa.Table | None, int, int]] = []  # no table: new rows
        self._pending = 0
        self._pending_bytes = 0
        self._table: pa.Table | None = None  # the one added last, and the bytes of one of its rows
        self._row_bytes = 0.0
        self.entries = 0

    def add(self, row: ManifestRow) -> None:
        """Append one row."""
        if self._parts and self._parts[-1][0] is None:
            _, start, count = self._parts[-1]
            self._parts[-1] = (None, start, count + 1)
        else:
            self._parts.append((None, len(self._rows), 1))
        self._rows.append(row)
        entry = row.entry
        path_bytes = len(entry.path) * (2 if entry.path.isascii() else 5)  # with the path as text, each byte as `\\xNN`
        size = path_bytes + len(entry.target) + len(row.extents)
        if entry.xattrs:
            size += sum(len(name) + len(value) + _XATTR_BYTES for name, value in entry.xattrs)
        self._grow(1, size)

    def add_slice(self, table: pa.Table, start: int = 0, count: int | None = None) -> None:
        """Append rows of an earlier manifest as they are."""
        count = table.num_rows - start if count is None else count
        self._parts.append((table, start, count))
        if table is not self._table:
            self._table, self._row_bytes = table, table.nbytes / max(table.num_rows, 1)
        self._grow(count, int(count * self._row_bytes))

    def close(self) -> None:
        """Write what is pending and the Parquet footer. The sink stays open."""
        self._table = None
        self._assemble()
        self._write(self._assembly.pending)
        self._writer.close()

    def _grow(self, count: int, size: int) -> None:
        self.entries += count
        self._pending += count
        self._pending_bytes += size
        if self._pending_bytes >= self._group_bytes_max:
            self._assemble()
            self._write(self._assembly.pending)
            self._pending = self._pending_bytes = 0
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._assemble()
        if self._pending >= limits.MANIFEST_ROWS_PER_GROUP:
            self._assemble()
            # Whole row groups: small ones of one snapshot would be there in all later ones.
            self._write(self._assembly.pending - self._assembly.pending % limits.MANIFEST_ROWS_PER_GROUP)
            self._pending_bytes = self._pending_bytes * self._assembly.pending // self._pending
            self._pending = self._assembly.pending

    def _assemble(self) -> None:
        """Put new rows and slices in order; the new rows become columns together."""
        new = rows_to_table(self._rows)
        for table, start, count in self._parts:
            self._assembly.add(new if table is None else table, start, count)
        self._rows, self._parts = [], []

    def _write(self, count: int) -> None:
        if count:
            self._writer.write_table(self._assembly.pop(count), row_group_size=limits.MANIFEST_ROWS_PER_GROUP)


class ManifestReader:
    """Reads a manifest from a seekable file-like object, one row group at a time. One thread."""

    def __init__(self, file: File) -> None:
        self._file = BoundedParquet(file, label="a manifest", large=("extents",))
        if set(SCHEMA.names) - set(self._file.names) or "path" not in self._file.leaves:
            raise ObjectCorrupt("a manifest lacks columns")
        for field in SCHEMA:
            if self._file.schema.field(field.name).type != field.type:
                raise ObjectCorrupt(f"the column {field.name} of a manifest is of another type")
        self._path_column = self._file.leaves.index("path")
        self.entries: int = self._file.metadata.num_rows

    def tables(self, names: Sequence[str] | None = None, choice: Choice | None = None) -> Iterator[pa.Table]:
        """Yield each row group as a table, with all columns or only those named.

        Args:
            choice: Only these rows; a row group with none of them is not yielded, and one that its first and last
                path rule out is not read.
        """
        chosen = list(names or SCHEMA.names)
        for group in range(self._file.groups):
            if choice is None:
                yield self._read(group, chosen)
                continue
            if not self._may_hold(group, choice):
                continue
            mask = choice.rows(self._read(group, choosing.COLUMNS))
            if pc.any(mask).as_py():
                yield pc.filter(self._read(group, chosen), mask).combine_chunks()

    def rows(self) -> Iterator[ManifestRow]:
        """Yield every row in manifest order."""
        for table in self.tables(_ROW_COLUMNS):
            for start in range(0, table.num_rows, _ROWS_AT_ONCE):
                yield from table_to_rows(table.slice(start, _ROWS_AT_ONCE))
            del table  # before the next one is read: each takes megabytes

    def _may_hold(self, group: int, choice: Choice) -> bool:
        statistics = self._file.metadata.row_group(group).column(self._path_column).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        return choice.within(statistics.min, statistics.max)

    def _read(self, group: int, names: Sequence[str]) -> pa.Table:
        found = self._file.read(group, names)
        try:
            table = found.combine_chunks()
            table.validate(full=True)  # text that is no UTF-8 is found by nothing else before it is used
        except UNREADABLE as error:
            raise ObjectCorrupt(f"a manifest is damaged in row group {group}: {error}") from error
        if any(_has_gaps(table.column(name), name) for name in names):
            raise ObjectCorrupt(f"a manifest is damaged in row group {group}: a value is missing")
        return table


def _has_gaps(column: pa.ChunkedArray, name: str) -> bool:
    """Whether a column lacks values that it must have. Only an entry without extended attributes may have none."""
    if name != "xattrs":
        return bool(column.null_count)
    listed = [pc.list_flatten(chunk) for chunk in column.chunks]
    return any(part.null_count for one in listed for part in (one, *one.flatten()))
