"""A Delta log of one table: which of its files there are, for engines that skip files and travel in time. Pure.

    audit/<table>/_delta_log/<version, 20 digits>.json      one action a line, as delta.io's protocol has it

Version 0 has the protocol, the columns and the files that were there; each later one the files that were added and
removed since. Paths are relative to the folder of the table, so the log holds wherever the replica is moved. Reader
version 1 and writer version 2: every engine knows them. The log is derived: nobody signs it, and Farshore decides
nothing by it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from farshore.audit import names
from farshore.audit.schema import PARTITION_COLUMN, TABLES, ColumnType, Kind, ListOf, Struct
from farshore.errors import ObjectCorrupt

VERSION_BYTES_MAX = 256 * 1024 * 1024
_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "string",
    Kind.INT64: "long",
    Kind.DOUBLE: "double",
    Kind.BOOL: "boolean",
    Kind.TIMESTAMP: "timestamp",
}
# Bounds of these are in the log. More would be larger than the files of most runs, and few questions are about others.
STATISTICS = frozenset(
    {"run_id", "recorded_utc", "started_utc", "committed_utc", "checked_utc", "object", "replica", "source_id",
     "snapshot_id"}
)  # fmt: skip
_TEXT_BOUND_MAX = 200  # characters: a longer bound is left out, because a cut one would be wrong


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file of a table as the log has it. `name` is that of its object; `statistics` the JSON of `file_statistics`."""

    name: str
    bytes: int
    modified_utc: datetime
    statistics: str


def file_statistics(rows: pa.Table) -> str:
    """Return how many rows a file has, and the bounds and NULLs of the columns of `STATISTICS`, as JSON."""
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name in (one for one in rows.column_names if one in STATISTICS):
        column = rows.column(name)
        nulls[name] = column.null_count
        if column.null_count == len(column):
            continue
        bounds = pc.min_max(column).as_py()
        found = [_bound(bounds["min"]), _bound(bounds["max"])]
        if None not in found:
            lowest[name], highest[name] = found
    return _line({"numRecords": rows.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls})


def first_version(table: str, repository_id: str, files: Iterable[IndexedFile], now_utc: datetime) -> bytes:
    """Return version 0 of the log of a table."""
    return _lines(
        {"commitInfo": _commit_info("CREATE TABLE", now_utc)},
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": _uuid(repository_id),
                "name": table,
                "description": TABLES[table].description,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": _schema(table),
                "partitionColumns": [PARTITION_COLUMN],
                "configuration": {},
                "createdTime": _millis(now_utc),
            }
        },
        *(_added(one) for one in files),
    )


def next_version(table: str, added: Iterable[IndexedFile], removed: Iterable[str], now_utc: datetime) -> bytes:
    """Return a version that adds files, and removes those of these names."""
    place = len(_folder(table))
    return _lines(
        {"commitInfo": _commit_info("WRITE", now_utc)},
        *({"remove": {"path": name[place:], "deletionTimestamp": _millis(now_utc), "dataChange": True}}
          for name in removed),
        *(_added(one) for one in added),
    )  # fmt: skip


def files_of(table: str, versions: Iterable[tuple[str, bytes]]) -> frozenset[str]:
    """Return the names of the files that a log has after these versions, the first first.

    Raises:
        ObjectCorrupt: A version is none that this module made: it is no such text, the first does not have the columns
            of the table, or a path leads out of its folder.
    """
    found: set[str] = set()
    schema = ""
    for name, data in versions:
        try:
            for action in (dict(json.loads(line)) for line in data.splitlines() if line.strip()):
                schema = action["metaData"]["schemaString"] if "metaData" in action else schema
                if "add" in action:
                    found.add(_name(table, action["add"]["path"]))
                if "remove" in action:
                    found.discard(_name(table, action["remove"]["path"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ObjectCorrupt(f"{name} is no version of a Delta log: {error}") from error
    if schema != _schema(table):
        raise ObjectCorrupt(f"the Delta log of {table} does not have its columns")
    return frozenset(found)


def _name(table: str, path: Any) -> str:
    name = f"{_folder(table)}{path}"
    if names.table_of(name) != table:
        raise ValueError(f"{path!r} is no file of {table}")
    return name


def _folder(table: str) -> str:
    return f"{names.AUDIT}{table}/"


def _added(file: IndexedFile) -> dict[str, Any]:
    path = file.name.removeprefix(names.AUDIT).partition("/")[2]
    return {
        "add": {
            "path": path,
            "partitionValues": {PARTITION_COLUMN: path.partition("/")[0].removeprefix(f"{PARTITION_COLUMN}=")},
            "size": file.bytes,
            "modificationTime": _millis(file.modified_utc),
            "dataChange": True,
            "stats": file.statistics,
        }
    }


def _schema(table: str) -> str:
    fields = [_field(column.name, _type(column.type), nullable=column.nullable) for column in TABLES[table].columns]
    return _line({"type": "struct", "fields": [*fields, _field(PARTITION_COLUMN, "date", nullable=True)]})


def _type(column_type: ColumnType) -> Any:
    if not isinstance(column_type, ListOf):
        return _TYPES[column_type]
    element: Any = column_type.element
    if isinstance(element, Struct):
        fields = [_field(name, _TYPES[kind], nullable=False) for name, kind in element.fields]
        inner: Any = {"type": "struct", "fields": fields}
    else:
        inner = _TYPES[element]
    return {"type": "array", "elementType": inner, "containsNull": False}


def _field(name: str, kind: Any, *, nullable: bool) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": nullable, "metadata": {}}


def _commit_info(operation: str, now_utc: datetime) -> dict[str, Any]:
    return {"timestamp": _millis(now_utc), "operation": operation, "operationParameters": {}, "engineInfo": "farshore"}


def _uuid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _bound(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value if len(value) <= _TEXT_BOUND_MAX else None


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _lines(*actions: Mapping[str, Any]) -> bytes:
    return "".join(f"{_line(action)}\n" for action in actions).encode()


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def unknown_to(log: Collection[str], files: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the files that a log lacks, and those that it has and that are not among the files; both sorted."""
    return sorted(set(files) - set(log)), sorted(set(log) - set(files))
