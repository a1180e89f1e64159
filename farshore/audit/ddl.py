"""The tables and views as statements for each engine that reads the bucket itself. Pure; makes infra/sql/*.sql.

`BUCKET` and `PREFIX` (and `DATASET` or `HOST`) in the text are for the reader to replace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from farshore.audit.schema import PARTITION_COLUMN, TABLES, ColumnType, Kind, ListOf, Struct, TableSchema
from farshore.audit.views import VIEWS

_READS = re.compile(r"\b(FROM|JOIN) ([a-z]\w*)\b")

_HIVE = {
    Kind.TEXT: "string",
    Kind.INT64: "bigint",
    Kind.DOUBLE: "double",
    Kind.BOOL: "boolean",
    Kind.TIMESTAMP: "timestamp",
}
_TRINO = _HIVE | {Kind.TEXT: "varchar", Kind.TIMESTAMP: "timestamp(6)"}


def render_ddl(engine: str) -> str:
    """Return the whole statement file of one engine of `DDL_ENGINES`. For the test that writes infra/sql."""
    heading, render_table, prefix = DDL_ENGINES[engine]
    statements = [f"-- {line}".rstrip() for line in heading.strip().splitlines()]
    for table in TABLES.values():
        statements += ["", f"-- {table.description}", render_table(table)]
    create = "CREATE OR REPLACE TEMPORARY VIEW" if engine == "spark" else "CREATE OR REPLACE VIEW"
    for name, view in VIEWS.items():
        sql = _READS.sub(rf"\1 {prefix}\2", view.sql.strip())
        statements += ["", f"-- {view.description}", f"{create} {prefix}{name} AS", f"{sql};"]
    return "\n".join(statements) + "\n"


def _place(scheme: str, table: TableSchema) -> str:
    return f"{scheme}://BUCKET/PREFIX/audit/{table.name}"


def _duckdb(table: TableSchema) -> str:
    return (
        f"CREATE OR REPLACE VIEW {table.name} AS\n"
        f"SELECT * FROM read_parquet('{_place('s3', table)}/{PARTITION_COLUMN}=*/*.parquet',\n"
        f"    union_by_name = true, hive_partitioning = true, hive_types = {{'{PARTITION_COLUMN}': DATE}});"
    )


def _clickhouse(table: TableSchema) -> str:
    place = f"https://HOST/BUCKET/PREFIX/audit/{table.name}"
    return (
        f"CREATE OR REPLACE VIEW {table.name} AS\n"
        f"SELECT * FROM s3('{place}/{PARTITION_COLUMN}=*/*.parquet', 'Parquet')\n"
        f"SETTINGS use_hive_partitioning = 1, schema_inference_mode = 'union';"
    )


def _spark(table: TableSchema) -> str:
    return (
        f"CREATE OR REPLACE TEMPORARY VIEW {table.name}\n"
        f"USING parquet OPTIONS (path '{_place('s3a', table)}', mergeSchema 'true');"
    )


def _bigquery(table: TableSchema) -> str:
    return (
        f"CREATE OR REPLACE EXTERNAL TABLE DATASET.{table.name}\n"
        f"WITH PARTITION COLUMNS ({PARTITION_COLUMN} DATE)\n"
        f"OPTIONS (\n"
        f"  format = 'PARQUET',\n"
        f"  enable_list_inference = true,\n"
        f"  description = '{table.description}',\n"
        f"  hive_partition_uri_prefix = '{_place('gs', table)}',\n"
        f"  uris = ['{_place('gs', table)}/{PARTITION_COLUMN}=*']\n"
        f");"
    )


def _athena(table: TableSchema) -> str:
    columns = ",\n".join(
        f"  `{column.name}` {_nested(column.type, _HIVE)} COMMENT '{column.description}'" for column in table.columns
    )
    place = _place("s3", table)
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.name} (\n{columns}\n)\n"
        f"COMMENT '{table.description}'\n"
        f"PARTITIONED BY (`{PARTITION_COLUMN}` date)\n"
        f"STORED AS PARQUET\n"
        f"LOCATION '{place}/'\n"
        f"TBLPROPERTIES (\n"
        f"  'projection.enabled' = 'true',\n"
        f"  'projection.{PARTITION_COLUMN}.type' = 'date',\n"
        f"  'projection.{PARTITION_COLUMN}.format' = 'yyyy-MM-dd',\n"
        f"  'projection.{PARTITION_COLUMN}.range' = '2026-01-01,NOW+1DAYS',\n"
        f"  'storage.location.template' = '{place}/{PARTITION_COLUMN}=${{{PARTITION_COLUMN}}}'\n"
        f");"
    )


def _trino(table: TableSchema) -> str:
    columns = "".join(
        f"  {column.name} {_nested_trino(column.type)} COMMENT '{column.description}',\n" for column in table.columns
    )
    return (
        f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}  {PARTITION_COLUMN} date\n)\n"
        f"COMMENT '{table.description}'\n"
        f"WITH (format = 'PARQUET', external_location = '{_place('s3', table)}',"
        f" partitioned_by = ARRAY['{PARTITION_COLUMN}']);\n"
        f"CALL system.sync_partition_metadata('SCHEMA', '{table.name}', 'ADD');"
    )


def _nested(column_type: ColumnType, plain: Mapping[Kind, str]) -> str:
    if isinstance(column_type, ListOf):
        element = column_type.element
        if isinstance(element, Struct):
            return f"array<struct<{','.join(f'{name}:{plain[kind]}' for name, kind in element.fields)}>>"
        return f"array<{plain[element]}>"
    return plain[column_type]


def _nested_trino(column_type: ColumnType) -> str:
    if isinstance(column_type, ListOf):
        element = column_type.element
        if isinstance(element, Struct):
            return f"array(row({', '.join(f'{name} {_TRINO[kind]}' for name, kind in element.fields)}))"
        return f"array({_TRINO[element]})"
    return _TRINO[column_type]


_DUCKDB_HEADING = """
Farshore's audit tables in DuckDB, straight from a bucket, or from a folder: replace s3://BUCKET/PREFIX by its path.
Over S3: INSTALL httpfs; LOAD httpfs; CREATE SECRET (TYPE s3, ...). Over GCS: gs:// and TYPE gcs. Over Azure: az:// and
the azure extension. SET TimeZone = 'UTC', so that days are UTC days.
"""

_CLICKHOUSE_HEADING = """
Farshore's audit tables in ClickHouse. Replace HOST, BUCKET and PREFIX; give keys as two more arguments of s3() or by a
named collection. For GCS use gcs(), for Azure azureBlobStorage(), for a folder file(), with the same path.
Set join_use_nulls = 1 for NULLs where a LEFT JOIN finds nothing.
"""

_SPARK_HEADING = """
Farshore's audit tables in Spark SQL: s3a:// with hadoop-aws; gs:// or abfss:// likewise. The partition column is found
as a DATE. Set spark.sql.session.timeZone to UTC, so that days are UTC days.
"""

_BIGQUERY_HEADING = """
Farshore's audit tables in BigQuery, from a GCS replica. Replace DATASET, BUCKET and PREFIX. Columns come from the
files; times are TIMESTAMP, lists are ARRAY.
"""

_ATHENA_HEADING = """
Farshore's audit tables in Amazon Athena. Replace BUCKET and PREFIX, and run the statements one by one. Partitions are
projected from the day, so no crawler is needed. Times are UTC, to the millisecond.
"""

_TRINO_HEADING = """
Farshore's audit tables in Trino's Hive connector, with hive.timestamp-precision = MICROSECONDS. USE its catalog and
schema first, and replace SCHEMA, BUCKET and PREFIX. Call sync_partition_metadata again for new days. Times are UTC.
"""

DDL_ENGINES: Mapping[str, tuple[str, Callable[[TableSchema], str], str]] = {
    "duckdb": (_DUCKDB_HEADING, _duckdb, ""),
    "clickhouse": (_CLICKHOUSE_HEADING, _clickhouse, ""),
    "spark": (_SPARK_HEADING, _spark, ""),
    "bigquery": (_BIGQUERY_HEADING, _bigquery, "DATASET."),
    "athena": (_ATHENA_HEADING, _athena, ""),
    "trino": (_TRINO_HEADING, _trino, ""),
}
