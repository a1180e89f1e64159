"""Ask Spark: `ask_spark.py DDL < statements.json`. Prints one JSON array of rows a statement, times in UTC.

Runs apart from the tests, so that no JVM lives in theirs; reads nothing of Farshore.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from tests.engines.plain import plain


def main() -> None:
    """Define the tables, ask, and print."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    for statement in Path(sys.argv[1]).read_text().split(";\n"):
        if statement.strip():
            spark.sql(statement)
    for statement in json.load(sys.stdin):
        rows = [[plain(value) for value in row] for row in spark.sql(statement).collect()]
        print(json.dumps(rows), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
