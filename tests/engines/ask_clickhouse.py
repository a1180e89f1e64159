"""Ask ClickHouse, as chDB runs it: `ask_clickhouse.py DDL < statements.json`. Prints JSON as ask_spark.py does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
from chdb.session import Session

from tests.engines.plain import plain


def main() -> None:
    """Define the views, ask, and print."""
    with Session() as session:
        session.query("SET join_use_nulls = 1")
        for statement in Path(sys.argv[1]).read_text().split(";\n"):
            if statement.strip():
                session.query(statement)
        for statement in json.load(sys.stdin):
            answer = pa.ipc.open_stream(pa.BufferReader(session.query(statement, "ArrowStream").bytes())).read_all()
            columns = [column.to_pylist() for column in answer.columns]
            print(json.dumps([[plain(value) for value in row] for row in zip(*columns, strict=True)]), flush=True)


if __name__ == "__main__":
    main()
