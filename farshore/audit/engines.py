"""The SQL engines that `farshore sql` can run over a local folder of audit files. One function per engine.

Each is imported when it is asked for: DuckDB is the extra `sql`, and the engine of our own questions.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from farshore.aside import run_aside
from farshore.audit.cache import columns_file, data_files
from farshore.audit.schema import PARTITION_COLUMN, TABLES
from farshore.audit.tables import arrow_schema
from farshore.audit.views import VIEWS, reads_of
from farshore.errors import Bug, QueryInvalid, ToolUnavailable
from farshore.extras import needed_extra
from farshore.model import dataclass

if TYPE_CHECKING:
    import duckdb

_WORD = re.compile(r"\w+")
_OF_THE_CATALOG = ("duckdb_", "information_schema", "pg_", "pragma", "show", "sqlite_")  # words that list names
_CHDB_UNREADABLE = ("INCORRECT_DATA", "PARQUET_EXCEPTION", "CANNOT_EXTRACT_TABLE_STRUCTURE", "CANNOT_READ_ALL_DATA")


@dataclass(frozen=True, slots=True)
class QueryTable:
    """The answer to a query: plain Python values, times timezone-aware in UTC.

    `unused`: how many audit files of these tables are there and no seal that counts vouches for them.
    """

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    unused: int = 0


class CopyUnreadable(Exception):
    """The engine could not read a local file. Internal: the caller fetches it again or reports it."""


def run_sql(engine: str, root: Path, sql: str, tables: Collection[str]) -> QueryTable:
    """Run one statement over the tables below `root`, one folder each, and the views.

    Only `tables` have rows; of the others the columns are there, which spares opening their files.

    Raises:
        QueryInvalid: The engine refuses the statement; the message is its own.
        CopyUnreadable: A file below `root` is damaged.
        ToolUnavailable, ExtraMissing: The engine is not installed.
    """
    if engine == "duckdb":  # ends when it is asked to
        return _run_duckdb(root, sql, tables)
    return run_aside(lambda: ENGINES[engine](root, sql, tables), stop=lambda: None)


def _places(root: Path, table: str, tables: Collection[str]) -> list[str]:
    """Return what to read for a table: the file of its columns, and the pattern of its files where it has some."""
    pattern = data_files(root, table) if table in tables else None
    return [glob.escape(str(columns_file(root, table))), *([pattern] if pattern else [])]


def _define_duckdb(
    connection: duckdb.DuckDBPyConnection, root: Path, tables: Collection[str], names: Collection[str]
) -> None:
    """Define tables and views of these names. Each table costs a look at the columns of its files."""
    for table, schema in TABLES.items():
        if table not in names:
            continue
        columns = ", ".join((*(column.name for column in schema.columns), PARTITION_COLUMN))
        places = ", ".join("'" + place.replace("'", "''") + "'" for place in _places(root, table, tables))
        connection.execute(  # names of ours and escaped paths
            f"CREATE VIEW {table} AS SELECT {columns} FROM read_parquet([{places}], union_by_name=true, "  # noqa: S608
            f"hive_partitioning=true, hive_types={{'{PARTITION_COLUMN}': DATE}})"
        )
    for name, view in VIEWS.items():
        if name in names:
            connection.execute(f"CREATE VIEW {name} AS {view.sql}")


def names_needed(sql: str) -> frozenset[str]:
    """Return the tables and views that a statement can ask, or all where it may ask what there is. By word, not parsed.

    A name that is built at run time is refused before (`statements.check_read_only`).
    """
    words = {word.lower() for word in _WORD.findall(sql)}
    named = words & (TABLES.keys() | VIEWS.keys())
    if not named or any(word.startswith(_OF_THE_CATALOG) for word in words):
        return frozenset((*TABLES, *VIEWS))
    return frozenset(read for name in named for read in reads_of(name))


def _run_duckdb(root: Path, sql: str, tables: Collection[str]) -> QueryTable:
    with _asked_duckdb(root, sql, tables) as answer:
        columns = tuple(column[0] for column in answer.description or ())
        rows = run_aside(answer.fetchall, stop=answer.interrupt)
        return QueryTable(columns, [_plain_row(row) for row in rows])


def stream_duckdb(root: Path, sql: str, tables: Collection[str], rows_max: int) -> Iterator[list[tuple[object, ...]]]:
    """Yield the answer of DuckDB in batches of rows, so that it need not fit into memory as Python values.

    Raises:
        QueryInvalid, CopyUnreadable: As an engine does, before the first batch or between two.
    """
    with _asked_duckdb(root, sql, tables) as answer:
        while rows := run_aside(lambda: answer.fetchmany(rows_max), stop=answer.interrupt):
            yield [_plain_row(row) for row in rows]


@contextlib.contextmanager
def _asked_duckdb(root: Path, sql: str, tables: Collection[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    with needed_extra("sql"):
        import duckdb

    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )
    with connection:
        connection.execute("SET TimeZone = 'UTC'")
        # The escaped form too: what is allowed is compared with a pattern as it is written.
        connection.execute("SET allowed_directories = ?", [[str(root), glob.escape(str(root))]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET enable_progress_bar = false")  # it is drawn into what a program reads
        connection.execute("SET lock_configuration = true")
        try:
            _define_duckdb(connection, root, tables, names_needed(sql))
            yield run_aside(lambda: connection.execute(sql), stop=connection.interrupt)
        except duckdb.InterruptException as error:
            raise KeyboardInterrupt from error
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise CopyUnreadable(str(error).strip()) from error
        except (duckdb.InternalException, duckdb.FatalException) as error:
            raise Bug(f"DuckDB failed: {error}") from error
        except duckdb.Error as error:
            if type(error) is duckdb.Error:  # what its Parquet reader says of a page header
                raise CopyUnreadable(str(error).strip()) from error
            raise QueryInvalid(str(error).strip()) from error


def _run_polars(root: Path, sql: str, tables: Collection[str]) -> QueryTable:
    polars = _load("polars")
    frames = {
        table: polars.scan_parquet(
            _places(root, table, tables), hive_partitioning=True, missing_columns="insert", extra_columns="ignore"
        ).select([*(column.name for column in schema.columns), PARTITION_COLUMN])
        for table, schema in TABLES.items()
    }
    try:
        context = polars.SQLContext(frames)
        for name, view in VIEWS.items():
            context.register(name, context.execute(view.sql, eager=False))
        answer = context.execute(sql, eager=True)
        return QueryTable(tuple(answer.columns), [_plain_row(row) for row in answer.rows()])
    except polars.exceptions.ComputeError as error:
        raise CopyUnreadable(str(error).strip()) from error
    except (polars.exceptions.PolarsError, OSError) as error:
        raise QueryInvalid(str(error).strip()) from error


def _run_datafusion(root: Path, sql: str, _tables: Collection[str]) -> QueryTable:
    datafusion = _load("datafusion")
    context = datafusion.SessionContext()
    everything = datafusion.SQLOptions()
    only_read = everything.with_allow_ddl(allow=False).with_allow_dml(allow=False).with_allow_statements(allow=False)
    try:
        for table in TABLES:
            partition = [(PARTITION_COLUMN, pa.date32())]
            context.register_parquet(
                table, f"{(root / table).as_uri()}/", table_partition_cols=partition, schema=arrow_schema(table)
            )
        for name, view in VIEWS.items():
            context.register_view(name, context.sql(view.sql))
        frame = context.sql_with_options(sql, only_read)
        batches = frame.collect()
        answer = pa.Table.from_batches(batches, schema=batches[0].schema if batches else frame.schema())
        return QueryTable(tuple(answer.column_names), _arrow_rows(answer))
    except Exception as error:
        message = str(error).strip()
        if "Parquet error" in message:
            raise CopyUnreadable(message) from error
        raise QueryInvalid(message) from error


def _run_chdb(root: Path, sql: str, tables: Collection[str]) -> QueryTable:
    sessions = _load("chdb.session")
    with sessions.Session() as session:
        session.query("SET join_use_nulls = 1, use_hive_partitioning = 1, schema_inference_mode = 'union'")
        for table in TABLES:
            place = _places(root, table, tables)[-1].replace("'", "''")
            session.query(f"CREATE VIEW {table} AS SELECT * FROM file('{place}', 'Parquet')")  # noqa: S608
        for name, view in VIEWS.items():
            session.query(f"CREATE VIEW {name} AS {view.sql}")
        try:
            data = session.query(sql, "ArrowStream").bytes()
        except Exception as error:
            message = str(error).strip()
            if any(code in message for code in _CHDB_UNREADABLE):
                raise CopyUnreadable(message) from error
            raise QueryInvalid(message) from error
    answer = pa.ipc.open_stream(pa.BufferReader(data)).read_all()
    return QueryTable(tuple(answer.column_names), _arrow_rows(answer))


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ToolUnavailable(
            f"the SQL engine {package} is not installed", f"Install it with 'pip install {package}', or use duckdb."
        ) from error


def _arrow_rows(table: pa.Table) -> list[tuple[object, ...]]:
    columns = [column.to_pylist() for column in table.columns]
    return [_plain_row(row) for row in zip(*columns, strict=True)]


def _plain_row(row: Iterable[Any]) -> tuple[object, ...]:
    return tuple(_plain(value) for value in row)


def _plain(value: Any) -> object:
    """Return one value as every engine should give it: times in UTC, whole decimals as integers."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


ENGINES: Mapping[str, Callable[[Path, str, Collection[str]], QueryTable]] = {
    "duckdb": _run_duckdb,
    "datafusion": _run_datafusion,
    "polars": _run_polars,
    "chdb": _run_chdb,
}
