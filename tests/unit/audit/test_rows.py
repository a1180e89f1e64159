from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from farshore.audit.rows import TABLE_OF_ROW, RunRow, SnapshotMade, replica_parts
from farshore.audit.schema import STAMP_COLUMNS, TABLES
from farshore.format.commit import Commit
from farshore.model import SnapshotCounts, SnapshotState
from farshore.results import ReplicaOutcome

MOMENT = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def test_the_rows_load_no_parquet_library() -> None:
    program = "import sys, farshore.audit.rows; sys.exit(any(name in sys.modules for name in ('pyarrow', 'duckdb')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_table_has_a_row_and_every_column_a_value() -> None:
    assert sorted(TABLE_OF_ROW.values()) == sorted(TABLES)
    for row_type, table in TABLE_OF_ROW.items():
        columns = {column.name for column in TABLES[table].columns} - set(STAMP_COLUMNS)
        values = set(row_type.__dataclass_fields__) | {
            name for name, value in vars(row_type).items() if isinstance(value, property)
        }
        if row_type is RunRow:
            values = values - {"made"} | set(SnapshotMade.__dataclass_fields__)
        assert columns == values, table


def test_a_snapshot_row_tells_what_the_snapshot_tells() -> None:
    counts = SnapshotCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    commit = Commit(
        snapshot="s1", source_id="src", run="r1", lease="l1", domain="main", epoch=1, parent="s0", parent_commit="",
        sequence=7, started_utc=MOMENT, committed_utc=MOMENT, state=SnapshotState.COMPLETE, data_key="k1", runs={},
        log=(1, ""), source="shop", kind="sqlite", identity="id", farshore="1", counts=counts, facts={"k": "v"},
        quorum=2,
    )  # fmt: skip
    row = SnapshotMade.of(commit, replicas=("a", "b"), needs_since=5)
    for name in set(SnapshotCounts.__dataclass_fields__) - {"problems"}:  # those of the run
        assert getattr(row, name) == getattr(counts, name)
    assert (row.parent_snapshot_id, row.kind, row.snapshot_state) == ("s0", "sqlite", "complete")
    assert (row.sequence, row.needs_since) == (7, 5)
    assert (row.reading_utc, row.committed_utc) == (MOMENT, MOMENT)
    assert (row.replicas_committed, row.facts, row.quorum) == (("a", "b"), (("k", "v"),), 2)


@pytest.mark.parametrize(("committed", "state"), [(True, "committed"), (False, "left-behind")])
def test_a_replica_part_says_what_became_of_a_replica(committed: bool, state: str) -> None:
    (part,) = replica_parts([ReplicaOutcome("iowa", committed, 10, 2, 3, "store-full", "no space is left")])
    assert (part.replica, part.state, part.bytes_sent, part.objects_sent, part.requests) == ("iowa", state, 10, 2, 3)
    assert (part.error_code, part.error) == ("store-full", "no space is left")
