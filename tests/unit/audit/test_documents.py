"""Documents and statements made from the schema stay level with it. Run this file as a program to make them anew."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import duckdb
import pytest
import sqlglot

from farshore.audit.ddl import DDL_ENGINES, render_ddl
from farshore.audit.document import replace_schema
from farshore.audit.schema import TABLES
from farshore.audit.views import VIEWS

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs/reference/audit.md"
STATEMENTS = ROOT / "infra" / "sql"


def test_the_document_describes_the_schema() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert document == replace_schema(document), f"run: python {Path(__file__).relative_to(ROOT)}"


@pytest.mark.parametrize("engine", DDL_ENGINES)
def test_the_statements_are_those_of_the_schema(engine: str) -> None:
    written = (STATEMENTS / f"{engine}.sql").read_text(encoding="utf-8")
    assert written == render_ddl(engine), f"run: python {Path(__file__).relative_to(ROOT)}"


def test_no_statements_of_an_unknown_engine_lie_about() -> None:
    assert {path.stem for path in STATEMENTS.glob("*.sql")} == set(DDL_ENGINES)


# What the parser at hand does not know of these two dialects.
_NOT_PARSED = {"bigquery": "EXTERNAL TABLE DATASET", "trino": "CALL system.sync_partition_metadata"}


@pytest.mark.parametrize("engine", DDL_ENGINES)
def test_the_statements_are_well_formed(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="sqlglot"):
        parsed = sqlglot.parse(render_ddl(engine), dialect=engine)
    defined = set()
    for statement in parsed:
        assert statement is not None
        text = statement.sql(dialect=engine, comments=False)
        if isinstance(statement, sqlglot.exp.Create):
            table = statement.find(sqlglot.exp.Table)
            assert table is not None
            defined.add(table.name)
        else:
            assert _NOT_PARSED[engine] in text
            defined |= set(re.findall(r"EXTERNAL TABLE DATASET\.(\w+)", text))
    assert defined == {*TABLES, *VIEWS}


@pytest.mark.parametrize("engine", ["athena", "trino"])
def test_statements_that_name_columns_name_all(engine: str) -> None:
    statements = {}
    for statement in sqlglot.parse(render_ddl(engine), dialect=engine):
        if isinstance(statement, sqlglot.exp.Create) and statement.kind == "TABLE":
            table = statement.find(sqlglot.exp.Table)
            assert table is not None
            statements[table.name] = [
                column.name for column in statement.this.expressions if isinstance(column, sqlglot.exp.ColumnDef)
            ]
    for name, table_schema in TABLES.items():
        found = [column for column in statements[name] if column != "date"]
        assert found == [column.name for column in table_schema.columns]


def test_views_read_only_what_stands_before_them() -> None:
    connection = duckdb.connect()
    for name, table in TABLES.items():
        columns = ", ".join(f"{column.name} {'TEXT' if column.name == 'object' else 'INT'}" for column in table.columns)
        connection.execute(f"CREATE TABLE {name} ({columns}, date DATE)")
    for name, view in VIEWS.items():
        sql = view.sql.replace("CAST(committed_utc AS DATE)", "committed_utc")
        connection.execute(f"CREATE VIEW {name} AS {sql}")
        assert set(view.reads) == set(duckdb.get_table_names(sql, qualified=False)) - {name}


if __name__ == "__main__":
    DOCUMENT.write_text(replace_schema(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    for made in DDL_ENGINES:
        (STATEMENTS / f"{made}.sql").write_text(render_ddl(made), encoding="utf-8")
