"""Parquet that claims more than its stored bytes allow: refused before Arrow decodes it, by every reader of ours."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farshore import limits
from farshore.audit.tables import claims_in, decode_table
from farshore.errors import ObjectCorrupt
from farshore.format.bounded_parquet import BoundedParquet
from farshore.format.comparable import Comparable
from farshore.format.manifest import SCHEMA, ManifestReader, ManifestRow, ManifestWriter, rows_to_table
from farshore.format.page_headers import pages_of
from farshore.format.page_maps import PageMap
from farshore.model import Entry, EntryKind
from tests.doubles.manifests import in_one_block


def packed(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"compression": "zstd", "store_schema": False, **options})
    return sink.getvalue()


def repeated(bytes_each: int, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([b"x" * bytes_each], pa.binary()))


def file_of(column: pa.Array, **options: Any) -> bytes:
    return packed(pa.table({"a": column}), **options)


CLAIMS: dict[str, Callable[[], bytes]] = {
    "a dictionary that many rows repeat": lambda: file_of(repeated(1 << 20, 200), dictionary_pagesize_limit=1 << 30),
    "a page of zeros": lambda: file_of(pa.array([bytes(130 << 20)]), use_dictionary=False),
    "prefixes": lambda: file_of(
        pa.array(["x" * 9000 + str(n) for n in range(100)]),
        use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY"},
    ),
    "rows": lambda: file_of(pa.array([0] * (limits.PARQUET_GROUP_ROWS_MAX + 1), pa.int8())),
    "values of a list": lambda: file_of(
        pa.ListArray.from_arrays([0, limits.PARQUET_LIST_VALUES_MAX + 1], pa.nulls(limits.PARQUET_LIST_VALUES_MAX + 1)),
        data_page_size=1 << 30,
    ),
    "another codec": lambda: file_of(pa.array([1]), compression="gzip"),
    "a fixed type": lambda: file_of(pa.array([b"1234"], pa.binary(4))),
    "metadata": lambda: b"PAR1" + bytes(400_000) + struct.pack("<I", 400_000) + b"PAR1",
    "no Parquet": lambda: b"PAR1",
    "nothing": lambda: b"",
}  # fmt: skip


@pytest.mark.parametrize("what", CLAIMS)
def test_what_claims_more_than_any_writer_makes_is_not_decoded(what: str) -> None:
    data = CLAIMS[what]()
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(ObjectCorrupt):
        BoundedParquet(io.BytesIO(data), label="a file").read(0, ["a"])
    with pytest.raises(ObjectCorrupt):
        BoundedParquet(io.BytesIO(data), label="a file").check()
    assert pa.default_memory_pool().max_memory() < before + 32 * limits.MIB


def test_a_page_that_lies_about_its_length_is_refused() -> None:
    data = file_of(pa.array([1, 2, 3]))
    start = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).dictionary_page_offset
    column = data[
        start : start + pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).total_compressed_size
    ]
    assert [page.values for page in pages_of(column)] == [3, 3]
    for cut in range(1, len(column)):
        with pytest.raises(ObjectCorrupt):
            list(pages_of(column[:cut])) and list(pages_of(column[:cut] + b"\x00"))
    with pytest.raises(ObjectCorrupt):
        list(pages_of(b"\x15" + b"\xff" * 12))


def test_the_longest_rows_that_a_writer_makes_are_read_back() -> None:
    """Extents of one file that pack well, and attributes and paths as long as they may be."""
    extents = (b"c" * 32 + struct.pack("<IQ", 0, 1 << 20)) * 1_000_000
    sink = io.BytesIO()
    writer = ManifestWriter(sink)
    rows = [ManifestRow(Entry(b"%06d" % n + b"\xff" * 4000, EntryKind.FILE)) for n in range(4000)]
    rows.append(ManifestRow(Entry(b"z", EntryKind.FILE, xattrs=((b"user.a", b"v" * 60_000),) * 20), extents=extents))
    for row in rows:
        writer.add(row)
    writer.close()
    assert sum(len(row.extents) for row in ManifestReader(sink).rows()) == len(extents)


def test_every_reader_looks_first() -> None:
    at = SCHEMA.get_field_index("extents")
    rows = rows_to_table([ManifestRow(Entry(b"%d" % n, EntryKind.FILE)) for n in range(500)])
    manifest = packed(rows.set_column(at, "extents", repeated(1 << 20, 500)), dictionary_pagesize_limit=1 << 30)
    with pytest.raises(ObjectCorrupt, match="claims"):
        list(ManifestReader(in_one_block(manifest, 500)).rows())
    columns = {name: pa.array([b""] * 200) for name in ("positions", "hashes", "gone")}
    columns |= {"slot": pa.array([0] * 200), "page_bytes": pa.array([0] * 200, pa.int32())}
    columns |= {"path": repeated(1 << 20, 200), "whole": pa.array([True] * 200)}
    pages = packed(pa.table(columns), dictionary_pagesize_limit=1 << 30)
    with pytest.raises(ObjectCorrupt, match="claims"):
        list(PageMap(in_one_block(pages, 200, b"a\0" + bytes(8), b"b\0" + bytes(8))).merged(all_runs=True))
    runs = packed(pa.table({"operation": repeated(1 << 20, 200)}), dictionary_pagesize_limit=1 << 30)
    readers: list[Callable[[str, bytes], object]] = [partial(claims_in, "runs"), partial(decode_table, "runs")]
    for read in readers:
        with pytest.raises(ObjectCorrupt, match="claims"):
            read("x", runs)


@pytest.mark.parametrize("column", ["extents", "path", "size", "kind"])
def test_a_value_that_is_missing_or_of_another_type_is_damage(column: str) -> None:
    table = rows_to_table([ManifestRow(Entry(b"a", EntryKind.FILE))])
    at = SCHEMA.get_field_index(column)
    for values in (pa.nulls(1, SCHEMA.types[at]), pa.array([1.5])):
        with pytest.raises(ObjectCorrupt, match=r"missing|type"):
            list(ManifestReader(in_one_block(packed(table.set_column(at, column, values)), 1)).rows())


def test_extents_that_are_cut_short_are_damage() -> None:
    rows = [ManifestRow(Entry(name, EntryKind.FILE), extents=bytes(size)) for name, size in ((b"a", 43), (b"b", 45))]
    with pytest.raises(ObjectCorrupt, match="cut short"):
        Comparable(rows_to_table(rows)).chunk_ids()
