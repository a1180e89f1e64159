"""Runs of manifests from tables and rows, for tests of what reads them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import pyarrow as pa
import zstandard

from farshore.format.choosing import sort_key
from farshore.format.manifest import ManifestReader, ManifestRow, marks_of, rows_to_table
from farshore.format.run_blocks import BlockWriter
from farshore.model import Entry, EntryKind


def run_of(*tables: pa.Table) -> io.BytesIO:
    """Return a run with a block for each table."""
    file = io.BytesIO()
    writer = BlockWriter(file, dictionary_columns=["kind", "state"])
    for table in tables:
        if table.num_rows:
            writer.write(table)
    writer.close()
    return file


def blocks_of(table: pa.Table, rows: int) -> io.BytesIO:
    """Return a run with blocks of so few rows."""
    return run_of(*(table.slice(start, rows) for start in range(0, table.num_rows, rows)))


def in_runs(rows: Sequence[ManifestRow], count: int, block_rows: int) -> ManifestReader:
    """Return a manifest of these rows in several runs: older ones have other rows of their paths, and further paths."""
    runs: list[dict[bytes, ManifestRow | None]] = [{} for _ in range(count)]
    for at, row in enumerate(rows):
        path, number = row.entry.path, at % count
        for older in range(number):
            runs[older][path] = ManifestRow(Entry(path, EntryKind.FILE, size=7 + older)) if at % 2 else None
        runs[number][path] = row
        gone = path + b"~gone"
        runs[0][gone] = ManifestRow(Entry(gone, EntryKind.DIRECTORY))
        runs[-1][gone] = None
    return ManifestReader(*(blocks_of(table_of(run, first=not at), block_rows) for at, run in enumerate(runs)))


def table_of(run: dict[bytes, ManifestRow | None], *, first: bool = False) -> pa.Table:
    """Return the rows of a run in order; None is a mark, which the first run has none of."""
    paths = [path for path in sorted(run, key=sort_key) if not (first and run[path] is None)]
    rows = [row for path in paths if (row := run[path]) is not None]
    marks = [path for path in paths if run[path] is None]
    table = pa.concat_tables([rows_to_table(rows), marks_of(pa.array(marks, pa.binary()))]).combine_chunks()
    places = {path: at for at, path in enumerate([*(row.entry.path for row in rows), *marks])}
    return table.take(pa.array([places[path] for path in paths], pa.int64()))


def in_one_block(parquet: bytes, rows: int, first: bytes = b"", last: bytes = b"") -> io.BytesIO:
    """Return a run of which these bytes are the only block, with these keys in its index."""
    compressor = zstandard.ZstdCompressor()
    block = compressor.compress(parquet)
    index = struct.pack("<III", rows, len(block), len(parquet))
    index += b"".join(struct.pack("<I", len(key)) + key for key in (first, last))
    stored = compressor.compress(index)
    return io.BytesIO(block + stored + struct.pack("<II4sB3x", len(stored), len(index), b"FSMF", 1))
