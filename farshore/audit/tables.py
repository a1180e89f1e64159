"""Rows to Parquet bytes and back. Pure: no store, no file.

Files are zstd with page checksums, timestamps in microseconds UTC, and hold no Arrow schema of their own, because the
Parquet types say it all. In a file of few rows, as most are, statistics and dictionaries are larger than the values:
such a file has none.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from farshore import limits
from farshore.audit.rights import claim_columns
from farshore.audit.rows import SCHEMA_VERSION, TABLE_OF_ROW, AuditRow, Claim, RunRow
from farshore.audit.schema import (
    MADE_COLUMNS,
    PARTITION_COLUMN,
    STAMP_COLUMNS,
    TABLES,
    Column,
    ColumnType,
    Kind,
    ListOf,
    Struct,
)
from farshore.errors import Bug, ObjectCorrupt
from farshore.format.bounded_parquet import BoundedParquet

_FOLD_LEVEL = 15  # of zstd: a file is folded once and read for years
_SMALL_ROWS_MAX = 1000  # of so many rows engines gain nothing by statistics; zstd finds what repeats

_ARROW: Mapping[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.INT64: pa.int64(),
    Kind.DOUBLE: pa.float64(),
    Kind.BOOL: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}
_GROUP_BYTES = limits.PARQUET_GROUP_BYTES_MAX // 4  # of a row group: readers refuse one beyond all of it


@dataclass(frozen=True, slots=True)
class Stamp:
    """The columns that the recorder adds to the rows of a file, as far as its table has them."""

    repository_id: str
    recorded_utc: datetime
    schema_version: int = SCHEMA_VERSION


def arrow_schema(table: str) -> pa.Schema:
    """Return the columns of a table; each field's metadata has its `description`."""
    schema = TABLES[table]
    fields = [
        pa.field(
            column.name,
            _arrow_type(column.type),
            nullable=column.nullable,
            metadata={"description": column.description},
        )
        for column in schema.columns
    ]
    return pa.schema(fields)


def encode_rows(table: str, rows: Sequence[AuditRow], stamp: Stamp) -> bytes:
    """Return one Parquet file of `rows`, decoded again and compared before it is handed out.

    Memory grows with the rows: callers cut at `AUDIT_FILE_ROWS_MAX`.

    Raises:
        Bug: A row is of another table, holds a wrong type, or did not survive the round trip.
    """
    if any(TABLE_OF_ROW.get(type(row)) != table for row in rows):
        raise Bug(f"a row of another table was given to audit table {table}")
    schema = arrow_schema(table)
    columns = [_column(column, rows, stamp) for column in TABLES[table].columns]
    encoded = pa.Table.from_arrays(columns, schema=schema)
    data = _written(encoded)
    if not decode_table(table, f"new rows of {table}", data).equals(encoded):
        raise Bug(f"audit table {table} did not read back as it was written")
    return data


def encode_table(table: str, rows: pa.Table) -> bytes:
    """Return one Parquet file of rows as `decode_table` gave them, packed as small as it gets, and read back.

    Raises:
        Bug: They did not survive the round trip.
    """
    data = _written(rows, level=_FOLD_LEVEL)
    if not decode_table(table, f"folded rows of {table}", data).equals(rows):
        raise Bug(f"audit table {table} did not read back as it was written")
    return data


def row_digests(rows: pa.Table) -> Iterator[bytes]:
    """Yield 16 bytes for each row, which differ where any value does. To compare rows whatever their order."""
    for batch in rows.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            yield blake3(repr(row).encode("utf-8", "surrogatepass")).digest(16)


def unknown_columns(table: str, name: str, data: bytes) -> set[str]:
    """Return the columns of a file that this version does not know; raises ObjectCorrupt as `decode_table` does."""
    return set(_open(name, data).names) - set(arrow_schema(table).names)


def _written(rows: pa.Table, *, level: int | None = None) -> bytes:
    small = rows.num_rows <= _SMALL_ROWS_MAX
    repeats = [] if small else [name for name in rows.column_names if _packs_by_dictionary(rows.column(name))]
    group_rows = rows.num_rows * _GROUP_BYTES // max(rows.nbytes, _GROUP_BYTES)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, rows.schema, compression="zstd", version="2.6", store_schema=False, write_page_checksum=True,
        use_dictionary=repeats, write_statistics=not small, compression_level=level,
    ) as writer:  # fmt: skip
        writer.write_table(rows, row_group_size=max(group_rows, 1))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def encode_empty(table: str) -> bytes:
    """Return a Parquet file of no rows: the columns of a table for engines that have seen no file of it."""
    return encode_rows(table, (), Stamp("", datetime.min))  # noqa: DTZ901 - of no row


def decode_table(table: str, name: str, data: bytes) -> pa.Table:
    """Return the rows of one file, every page's checksum verified. Memory grows with the rows.

    A file of a later schema version may have more columns; they are left out. One of an earlier version may have fewer:
    columns that may be NULL are NULL there.

    Raises:
        ObjectCorrupt: The bytes are no such file; the message names it.
    """
    return pa.concat_tables(decode_groups(table, name, data))


def decode_groups(table: str, name: str, data: bytes) -> Iterator[pa.Table]:
    """Yield the rows of one file in one or more tables, each no larger than a row group may be. As `decode_table`."""
    schema = arrow_schema(table)
    for found in _groups(name, data, schema.names):
        try:
            yield pa.Table.from_arrays([_found(found, field) for field in schema], schema=schema)
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise ObjectCorrupt(f"audit file {name} is damaged: {_first_line(error)}") from error


def claims_in(table: str, name: str, data: bytes) -> list[Claim]:
    """Return the claims of the rows of a file, each once. Decodes the columns that make them, and no others.

    Raises:
        ObjectCorrupt: The bytes are no file of this table, or it has columns of another type, whose names differ from
            ours by case, more rows than any of ours, or needs more memory than its stored bytes allow: engines would
            read it in ways that differ.
    """
    file = _open(name, data)
    file.check()
    _check_columns(table, name, file)
    here = [one for one in claim_columns(table) if one in file.names]
    if not here or not file.groups:
        return []
    try:
        found = pa.concat_tables([file.read(group, here) for group in range(file.groups)])
        values = [_texts(found, one) if one in here else [""] * found.num_rows for one in Claim._fields]
        return sorted({Claim(*row) for row in zip(*values, strict=True)})
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ObjectCorrupt(f"audit file {name} is damaged: {_first_line(error)}") from error


def _check_columns(table: str, name: str, file: BoundedParquet) -> None:
    if file.metadata.num_rows > limits.AUDIT_FILE_ROWS_MAX:
        raise ObjectCorrupt(f"audit file {name} has {file.metadata.num_rows} rows, more than any of ours")
    ours = {field.name: field for field in arrow_schema(table)}
    found = list(file.schema)
    if len({field.name.lower() for field in found}) != len(found):
        raise ObjectCorrupt(f"audit file {name} has two columns of one name")
    for field in found:
        if field.name.lower() in ours and not _is_column(field, ours.get(field.name)):
            raise ObjectCorrupt(f"audit file {name} has another column {field.name} than table {table}")
    missing = {one for one, field in ours.items() if not field.nullable} - {field.name for field in found}
    if missing or PARTITION_COLUMN in {field.name.lower() for field in found}:
        raise ObjectCorrupt(f"audit file {name} does not have the columns of table {table}")


def _is_column(found: pa.Field, ours: pa.Field | None) -> bool:
    return ours is not None and bool(found.type == ours.type)


def _texts(table: pa.Table, column: str) -> list[str]:
    return [one or "" for one in table.column(column).to_pylist()]


def _open(name: str, data: bytes) -> BoundedParquet:
    return BoundedParquet(io.BytesIO(data), label=f"audit file {name}", checksums=True)


def _groups(name: str, data: bytes, names: Sequence[str]) -> Iterator[pa.Table]:
    """Yield some columns of each row group, those of them that are there; of a file without row groups, no rows."""
    file = _open(name, data)
    chosen = [one for one in names if one in file.names]
    if not file.groups:
        yield file.schema.empty_table().select(chosen)
    for group in range(file.groups):
        yield file.read(group, chosen)


def _found(table: pa.Table, field: pa.Field) -> pa.Array:
    if field.nullable and field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table.column(field.name)
    return column if column.type == field.type else column.cast(field.type)  # which loads `pyarrow.compute`


def decode_rows(table: str, name: str, data: bytes) -> list[dict[str, Any]]:
    """Return the rows of one file as plain values. For tests: SQL engines read the files. Raises as `decode_table`."""
    rows: list[dict[str, Any]] = decode_table(table, name, data).to_pylist()
    return rows


def _arrow_type(column_type: ColumnType) -> pa.DataType:
    if isinstance(column_type, ListOf):
        element = column_type.element
        inner = (
            pa.struct([pa.field(name, _ARROW[kind], nullable=False) for name, kind in element.fields])
            if isinstance(element, Struct)
            else _ARROW[element]
        )
        return pa.list_(pa.field("element", inner, nullable=False))
    return _ARROW[column_type]


def _column(column: Column, rows: Sequence[AuditRow], stamp: Stamp) -> pa.Array:
    if column.name in STAMP_COLUMNS:
        values: list[Any] = [getattr(stamp, column.name)] * len(rows)
    else:
        values = [_plain(column, _value(row, column.name)) for row in rows]
    if not column.nullable and any(value is None for value in values):
        raise Bug(f"audit column {column.name} may not be NULL")
    try:
        return pa.array(values, type=_arrow_type(column.type))
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise Bug(f"audit column {column.name} was given a wrong value: {_first_line(error)}") from error


def _value(row: AuditRow, column: str) -> Any:
    if isinstance(row, RunRow) and column in MADE_COLUMNS:
        return None if row.made is None else getattr(row.made, column)
    return getattr(row, column)


def _plain(column: Column, value: Any) -> Any:
    if column.type is Kind.TEXT:
        return None if column.nullable and not value else _text(value)
    if column.type is Kind.TIMESTAMP and value is not None and value.tzinfo is None:
        raise Bug(f"audit column {column.name} was given a time with no time zone")
    if isinstance(column.type, ListOf) and value is not None:
        element = column.type.element
        if isinstance(element, Struct):
            return [_struct(element, item) for item in value]
        return [_text(item) for item in value]
    return value


def _struct(struct: Struct, item: Any) -> dict[str, Any]:
    values: Iterable[Any] = (
        item if isinstance(item, tuple) else (getattr(item, field_name) for field_name, _ in struct.fields)
    )
    return {
        name: _text(value) if kind is Kind.TEXT else value
        for (name, kind), value in zip(struct.fields, values, strict=True)
    }


def _packs_by_dictionary(column: pa.ChunkedArray) -> bool:
    """Whether a column has room even if each row had its longest text: so readers reckon where it has a dictionary."""
    return all(
        leaf.nbytes * len(leaf) <= _GROUP_BYTES or _longest(leaf) * len(leaf) <= _GROUP_BYTES
        for chunk in column.chunks
        for leaf in _leaves(chunk)
    )


def _longest(leaf: pa.Array) -> int:
    return max(len(str(one).encode()) for one in leaf.to_pylist())


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    """Yield the arrays of values that a column is stored as."""
    if pa.types.is_list(array.type) or pa.types.is_struct(array.type):
        parts = array.flatten()
        for part in parts if isinstance(parts, list) else [parts]:
            yield from _leaves(part)
    else:
        yield array


def _text(value: str) -> str:
    # Messages may quote names that are no Unicode; an engine must still be able to read the row.
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
