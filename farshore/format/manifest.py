"""Manifests: rows of entries in one or more runs, merged as they are read.

Pure: reads and writes file-like objects it is given. docs/reference/format.md, section 5. They are written and read in
batches, so memory does not grow with the number of entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from farshore import limits
from farshore.format import arrow as pc
from farshore.format import choosing, columns, entries
from farshore.format.assembling import Assembly
from farshore.format.bounded_parquet import File
from farshore.format.choosing import Choice
from farshore.format.merged_tables import GONE, merge_tables, without_marks
from farshore.format.run_blocks import Block, BlockReader, BlockWriter
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

    Rows are new ones or slices of an earlier manifest, so that unchanged entries cost no Python object each. They
    wait in memory up to `group_bytes_max`.
    """

    def __init__(self, sink: File, *, group_bytes_max: int = limits.MANIFEST_GROUP_BYTES_MAX) -> None:
        self._group_bytes_max = group_bytes_max
        self._blocks = BlockWriter(sink, dictionary_columns=_DICTIONARY_COLUMNS)
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
        """Write what is pending and the index. The sink stays open."""
        self._table = None
        self._assemble()
        self._write(self._assembly.pending)
        self._blocks.close()

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
            # Whole groups: small ones of one snapshot would be there in all later ones.
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
            self._blocks.write(self._assembly.pop(count))


def marks_of(paths: pa.Array) -> pa.Table:
    """Return rows that say of paths that they are not in the snapshot."""
    count = len(paths)
    values = {
        item.name: pa.nulls(count, item.type) if item.name == "xattrs" else pa.repeat(_nothing(item.type), count)
        for item in SCHEMA
    }
    values |= {"path": paths, "state": pa.repeat(GONE, count)}
    return pa.Table.from_arrays([values[item.name] for item in SCHEMA], schema=SCHEMA)


class ManifestReader:
    """Reads a manifest from the files of its runs, the oldest first, a group of rows at a time. One thread.

    Raises:
        ObjectCorrupt: Here and from every method that reads: a run is damaged, or no manifest.
    """

    def __init__(self, *files: File) -> None:
        self._files = files
        self._runs = [BlockReader(file, SCHEMA) for file in files]
        self._groups = _group(self._runs[0].blocks) if len(files) == 1 else []
        self.entries: int = sum(run.rows for run in self._runs)  # of several runs: no fewer than there are

    def again(self) -> ManifestReader:
        """Return a second reader of the same files, in the same thread, that keeps its own place."""
        return ManifestReader(*self._files)

    @property
    def groups(self) -> int:
        """How many groups `tables` yields without a choice, of a manifest in one run."""
        return len(self._groups)

    def bytes_within(self, within: Callable[[bytes, bytes], bool]) -> int:
        """Return the stored bytes of the blocks that may have paths for which `within` (first, last) is true."""
        blocks = (block for run in self._runs for block in run.blocks if within(block.first, block.last))
        return sum(block.stored_bytes for block in blocks)

    def read_group(self, group: int, names: Sequence[str] | None = None) -> pa.Table:
        """Return one group of a manifest in one run, as `tables` does without a choice."""
        run, chosen = self._runs[0], list(names or SCHEMA.names)
        tables = [run.read(block, chosen) for block in self._groups[group]]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()

    def tables(self, names: Sequence[str] | None = None, choice: Choice | None = None) -> Iterator[pa.Table]:
        """Yield the rows as tables, with all columns or only those named.

        Args:
            choice: Only these rows; a table with none of them is not yielded, and a block that its first and last path
                rule out is not read.
        """
        chosen = list(names or SCHEMA.names)
        if len(self._runs) > 1:
            yield from self._merged(chosen, choice)
        elif choice is None:
            for group in range(self.groups):
                yield self.read_group(group, chosen)
        else:
            run = self._runs[0]
            for block in run.blocks:
                if choice.within(block.first, block.last):
                    mask = choice.rows(run.read(block, choosing.COLUMNS))
                    if pc.any(mask).as_py():
                        yield pc.filter(run.read(block, chosen), mask).combine_chunks()

    def all_tables(self) -> Iterator[pa.Table]:
        """Yield the rows of all runs as one run would have them: the newest of each path, marks among them."""
        return merge_tables([self._blocks_of(run, SCHEMA.names, None) for run in self._runs])

    def rows(self) -> Iterator[ManifestRow]:
        """Yield every row in manifest order."""
        for table in self.tables(_ROW_COLUMNS):
            for start in range(0, table.num_rows, _ROWS_AT_ONCE):
                yield from table_to_rows(table.slice(start, _ROWS_AT_ONCE))
            del table  # before the next one is read: each takes megabytes

    def _merged(self, chosen: Sequence[str], choice: Choice | None) -> Iterator[pa.Table]:
        needed = list(dict.fromkeys((*chosen, *choosing.COLUMNS, "state")))
        for joined in merge_tables([self._blocks_of(run, needed, choice) for run in self._runs]):
            table = without_marks(joined)
            if choice is not None and table.num_rows:
                table = pc.filter(table, choice.rows(table)).combine_chunks()
            if table.num_rows:
                yield table.select(chosen)

    @staticmethod
    def _blocks_of(run: BlockReader, names: Sequence[str], choice: Choice | None) -> Iterator[pa.Table]:
        """Yield the blocks that may have wanted paths; whether a row is wanted shows once the newest is known."""
        for block in run.blocks:
            if choice is None or choice.within(block.first, block.last):
                yield run.read(block, names)


def _group(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return adjacent blocks that are read together: of up to `MANIFEST_ROWS_PER_GROUP` rows."""
    groups: list[list[Block]] = []
    rows = plain = 0
    for block in blocks:
        rows, plain = rows + block.rows, plain + block.plain_bytes
        if not groups or rows > limits.MANIFEST_ROWS_PER_GROUP or plain > limits.MANIFEST_GROUP_BYTES_MAX:
            groups.append([])
            rows, plain = block.rows, block.plain_bytes
        groups[-1].append(block)
    return groups


def _nothing(of: pa.DataType) -> pa.Scalar:
    return pa.scalar(0 if pa.types.is_integer(of) else b"" if pa.types.is_binary(of) else "", of)
