"""`farshore sql`: ask the audit tables."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import UnaskedWarnings, waiting_note
from farshore.cli.wording import plain
from farshore.errors import EXIT_DONE, FarshoreError, QueryInvalid, ToolUnavailable
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.access.query import QueryResult
    from farshore.audit.schema import ColumnType


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("query", nargs="?", metavar="QUERY", help="SQL; without it, or with -, read standard input")
    parser.add_argument("--engine", default="duckdb", metavar="NAME", help="the SQL engine (default: duckdb)")
    parser.add_argument("--replica", metavar="NAME", help="ask the tables of this replica")
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), default="table", help="json is the same as --json"
    )
    parser.add_argument("--tables", action="store_true", help="list the tables and their columns instead")


def execute(invocation: Invocation) -> int:
    """Run one query, or list the tables."""
    arguments = invocation.arguments
    if arguments.tables:
        return _list_tables(invocation)
    from farshore.access.query import run_query

    text = _query_text(invocation)
    unasked: dict[str, FarshoreError] = {}
    result = run_query(
        invocation.config(),
        text,
        replica=arguments.replica,
        engine=arguments.engine,
        unasked=unasked,
        on_wait=waiting_note(invocation.output),
        clock=invocation.clock,
    )
    UnaskedWarnings(invocation.output).show(unasked)
    if result.unused:
        files = count_of(result.unused, "audit file")
        verb = "is" if result.unused == 1 else "are"
        invocation.output.warning(
            f"{files} of {result.replica} {verb} sealed by nobody with the right to such rows: not used",
            "audit-unused",
            replica=result.replica,
            files=str(result.unused),
        )
    _print(invocation, result)
    return EXIT_DONE


def _query_text(invocation: Invocation) -> str:
    given = invocation.arguments.query
    if given is None and invocation.interactive:
        invocation.arguments.parser.error("give a query, or --tables to see what there is to ask")
    text = sys.stdin.read() if given in (None, "-") else str(given)
    if not text.strip():
        raise QueryInvalid("the query is empty", "List the tables with 'farshore sql --tables'.")
    return text


def _print(invocation: Invocation, result: QueryResult) -> None:
    output = invocation.output
    if output.json:
        for row in result.rows:
            output.raw({"type": "row", "row": dict(zip(result.columns, map(plain, row), strict=True))})
        return
    if invocation.arguments.format == "csv":
        writer = csv.writer(output.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows([_cell(value) for value in row] for row in result.rows)
        return
    figures = frozenset(
        column
        for index, column in enumerate(result.columns)
        if any(isinstance(row[index], (int, float)) and not isinstance(row[index], bool) for row in result.rows)
    )
    output.table(result.columns, [[_cell(value) for value in row] for row in result.rows], right=figures)
    output.note(f"{count_of(len(result.rows), 'row')} from {result.replica}")


def _cell(value: object) -> str:
    """Return a value as text; NULL is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = plain(value)
    if isinstance(shown, list) and not any(isinstance(one, (list, dict)) for one in shown):
        return ", ".join(map(str, shown))
    return json.dumps(shown, ensure_ascii=False) if isinstance(shown, (list, dict)) else str(shown)


def _list_tables(invocation: Invocation) -> int:
    from farshore.audit.schema import PARTITION_COLUMN, TABLES

    rows: list[tuple[str, str, str, str]] = []
    for table in TABLES.values():
        rows.extend((table.name, one.name, _type_name(one.type), one.description) for one in table.columns)
        rows.append((table.name, PARTITION_COLUMN, "date", "UTC day of the file the row is in."))
    for name, column_name, kind, description in rows:
        invocation.output.raw(
            {"type": "column", "table": name, "column": column_name, "kind": kind, "description": description}
        )
    invocation.output.table(("table", "column", "kind", "description"), rows, wraps=frozenset({"kind", "description"}))
    return EXIT_DONE


def _type_name(kind: ColumnType) -> str:
    from farshore.audit.schema import ListOf, Struct

    if not isinstance(kind, ListOf):
        return str(kind)
    if isinstance(kind.element, Struct):
        return f"list of struct({', '.join(f'{name} {one}' for name, one in kind.element.fields)})"
    return f"list of {kind.element}"


COMMAND = Command(
    name="sql",
    summary="ask the audit tables in SQL",
    description=(
        "Run a query over the audit tables of a replica: runs, snapshots, objects, copies, lineage, checks, restores. "
        "No passphrase is needed. Columns are listed by --tables and described in docs/reference/audit.md."
    ),
    example=(
        'farshore sql "SELECT source, max(committed_utc) FROM snapshots GROUP BY source"\n'
        "farshore sql --format csv - < report.sql"
    ),
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, QueryInvalid, ToolUnavailable),
)
