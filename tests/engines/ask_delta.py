"""Ask delta-rs and Polars: `ask_delta.py AUDIT < [[table, version], ...]`. Prints a JSON object for each.

Runs apart from the tests, with the delta-rs of `make test-engines`; reads nothing of Farshore.
"""

from __future__ import annotations

import json
import sys

import polars as pl
from deltalake import DeltaTable

from tests.engines.plain import plain


def main() -> None:
    """Open each table at its version, and print what both engines read."""
    for table, version in json.load(sys.stdin):
        place = f"{sys.argv[1]}/{table}"
        log = DeltaTable(place, version=version)
        frame = pl.scan_delta(place, version=version).select(pl.len(), pl.col("date").max()).collect()
        counted = pl.DataFrame(log.get_add_actions(flatten=True)).get_column("num_records").sum()
        day = str(plain(frame.row(0)[1]))
        print(
            json.dumps(
                {
                    "version": log.version(),
                    "files": len(log.file_uris()),
                    "columns": [field.name for field in log.schema().fields],
                    "rows": frame.row(0)[0],
                    "rows_of_log": counted,
                    "files_of_a_day": len(log.file_uris(partition_filters=[("date", "=", day)])),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
