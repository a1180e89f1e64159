"""Every engine reads the audit files where they are, and all give the same answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import datafusion
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyarrow.fs import S3FileSystem

from farshore.audit.engines import QueryTable
from farshore.audit.query import TablesAt, query
from farshore.audit.schema import TABLES
from farshore.audit.views import VIEWS
from farshore.clock import SystemClock
from farshore.stores import open_store
from farshore.stores.base import Store
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace, PlaceUrl
from tests.doubles.signers import Signers
from tests.engines.facts import EXAMPLES, EXPECTED, FACTS, PORTABLE, ROOT, fill, in_utc
from tests.unit.audit.samples import REPOSITORY

Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def filled(fresh_place: FreshPlace, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PlaceUrl]:
    places: dict[str, PlaceUrl] = {}

    def make(kind: str) -> PlaceUrl:
        if kind not in places:
            places[kind] = fresh_place(kind)
            with closing(open_store(**places[kind], clock=SystemClock())) as store:
                fill(store, tmp_path_factory.mktemp("state"))
        return places[kind]

    return make


@pytest.fixture(scope="module")
def directory(filled: Callable[[str], PlaceUrl]) -> Path:
    """The audit files of a directory replica."""
    return Path(urlsplit(filled("file")["url"]).path) / "audit"


@pytest.fixture(scope="module")
def bucket(filled: Callable[[str], PlaceUrl]) -> str:
    """Bucket and path of the audit files of an S3 replica."""
    return filled("s3")["url"].removeprefix("s3://") + "/audit"


def _check(ask: Ask) -> None:
    for table, sql in FACTS.items():
        (row,) = ask(sql)
        assert tuple(map(in_utc, row)) == EXPECTED[table], table


def _check_tables(ask: Ask) -> None:
    """Check what an engine reads that knows no view: the tables, and `snapshots` by the statement of its view."""

    def ask_tables(sql: str) -> list[tuple[Any, ...]]:
        return ask(sql.replace("FROM snapshots", f"FROM ({VIEWS['snapshots'].sql}) AS snapshots"))

    for name in (*TABLES, "snapshots"):
        if name in FACTS:
            (row,) = ask_tables(FACTS[name])
            assert tuple(map(in_utc, row)) == EXPECTED[name], name


# --- through farshore sql, on every kind of replica -------------------------------------------------------------------


@pytest.fixture(params=["file", "s3", "gs", "az"])
def replica(request: pytest.FixtureRequest, filled: Callable[[str], PlaceUrl]) -> Iterator[Store]:
    with closing(open_store(**filled(request.param), clock=SystemClock())) as store:
        yield store


@pytest.mark.parametrize("engine", ["duckdb", "datafusion", "polars"])
def test_farshore_sql_answers_alike_on_every_cloud(replica: Store, engine: str, tmp_path: Path) -> None:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        aliased = re.sub(r"\bmin\(date\)", "min(date) AS first", re.sub(r"\bmax\(date\)", "max(date) AS last", sql))
        at = TablesAt(replica, tmp_path, REPOSITORY, "vault", Signers().authority)
        return query(at, aliased, engine=engine).rows

    _check(ask)


@pytest.fixture(scope="module")
def ask_directory(
    filled: Callable[[str], PlaceUrl], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], QueryTable]]:
    cache_dir = tmp_path_factory.mktemp("cache")
    with closing(open_store(**filled("file"), clock=SystemClock())) as store:
        at = TablesAt(store, cache_dir, REPOSITORY, "vault", Signers().authority)
        yield lambda sql, engine: query(at, sql, engine=engine)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_the_document_has_an_answer(
    ask_directory: Callable[[str, str], QueryTable], number: int
) -> None:
    assert ask_directory(EXAMPLES[number], "duckdb").rows


@pytest.mark.parametrize("engine", ["datafusion", "polars"])
@pytest.mark.parametrize("number", range(len(PORTABLE)))
def test_the_examples_have_the_same_answer_everywhere(
    ask_directory: Callable[[str, str], QueryTable], number: int, engine: str
) -> None:
    expected = ask_directory(PORTABLE[number], "duckdb")
    found = ask_directory(PORTABLE[number], engine)
    assert found.columns == expected.columns
    assert found.rows == expected.rows


# --- the engines by themselves, with no export ------------------------------------------------------------------------


def _duckdb_with_statements(place: str, connection: duckdb.DuckDBPyConnection) -> Ask:
    connection.execute("SET TimeZone = 'UTC'")
    statements = (ROOT / "infra" / "sql" / "duckdb.sql").read_text(encoding="utf-8")
    connection.execute(statements.replace("s3://BUCKET/PREFIX/audit", place))
    return lambda sql: connection.execute(sql).fetchall()


def _datafusion(place: str, context: datafusion.SessionContext) -> Ask:
    for table in TABLES:
        context.register_parquet(table, f"{place}/{table}/", table_partition_cols=[("date", pa.date32())])

    def ask(sql: str) -> list[tuple[Any, ...]]:
        batches = context.sql(sql).collect()
        return [tuple(row.values()) for row in pa.Table.from_batches(batches).to_pylist()]

    return ask


def _polars(place: str, **options: str) -> Ask:
    frames = {
        table: pl.scan_parquet(f"{place}/{table}/date=*/*.parquet", hive_partitioning=True, storage_options=options)
        for table in TABLES
    }
    context = pl.SQLContext(frames, eager=True)

    def ask(sql: str) -> list[tuple[Any, ...]]:
        answer = context.execute(
            sql.replace("min(date)", "min(date) AS first").replace("max(date)", "max(date) AS last")
        )
        return answer.rows()

    return ask


def _arrow(place: str, filesystem: S3FileSystem | None = None) -> Ask:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    partitioning = ds.partitioning(pa.schema([("date", pa.date32())]), flavor="hive")
    for table in TABLES:
        found = ds.dataset(f"{place}/{table}", partitioning=partitioning, format="parquet", filesystem=filesystem)
        connection.register(table, found)
    return lambda sql: connection.execute(sql).fetchall()


def test_duckdb_reads_a_directory(directory: Path) -> None:
    with duckdb.connect() as connection:
        ask = _duckdb_with_statements(str(directory), connection)
        _check(ask)
        for example in EXAMPLES:
            assert ask(example)


def test_polars_reads_a_directory(directory: Path) -> None:
    _check_tables(_polars(str(directory)))


def test_datafusion_reads_a_directory(directory: Path) -> None:
    _check_tables(_datafusion(str(directory), datafusion.SessionContext()))


def test_an_arrow_dataset_reads_a_directory(directory: Path) -> None:
    _check_tables(_arrow(str(directory)))


def test_duckdb_reads_a_bucket(bucket: str, s3_server: SeaweedServer) -> None:
    extension = find_spec("duckdb_extension_httpfs")
    assert extension is not None
    assert extension.origin is not None
    place = Path(extension.origin).parent / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{place}'")
        keys = s3_server.credentials
        endpoint = urlsplit(s3_server.address).netloc
        connection.execute(
            f"CREATE SECRET (TYPE s3, ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false, "
            f"KEY_ID '{keys['access_key']}', SECRET '{keys['secret_key']}', REGION 'us-east-1')"
        )
        _check(_duckdb_with_statements(f"s3://{bucket}", connection))


def test_polars_reads_a_bucket(bucket: str, s3_server: SeaweedServer) -> None:
    _check_tables(
        _polars(
            f"s3://{bucket}",
            aws_endpoint_url=s3_server.address,
            aws_access_key_id=s3_server.credentials["access_key"],
            aws_secret_access_key=s3_server.credentials["secret_key"],
            aws_region="us-east-1",
            aws_allow_http="true",
        )
    )


def test_datafusion_reads_a_bucket(bucket: str, s3_server: SeaweedServer) -> None:
    context = datafusion.SessionContext()
    store = datafusion.object_store.AmazonS3(
        bucket_name=bucket.partition("/")[0],
        endpoint=s3_server.address,
        access_key_id=s3_server.credentials["access_key"],
        secret_access_key=s3_server.credentials["secret_key"],
        region="us-east-1",
        allow_http=True,
    )
    context.register_object_store("s3://", store, bucket.partition("/")[0])
    _check_tables(_datafusion(f"s3://{bucket}", context))


def test_an_arrow_dataset_reads_a_bucket(bucket: str, s3_server: SeaweedServer) -> None:
    filesystem = S3FileSystem(
        access_key=s3_server.credentials["access_key"],
        secret_key=s3_server.credentials["secret_key"],
        endpoint_override=urlsplit(s3_server.address).netloc,
        scheme="http",
        region="us-east-1",
    )
    _check_tables(_arrow(bucket, filesystem))
