"""Audit files of a small repository, statements that every SQL engine takes, and their answers."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from farshore.audit.recorder import AuditRecorder
from farshore.audit.rows import NeedRow, NeedsChange
from farshore.stores.base import Store
from tests.doubles.signers import chain_of, sealer
from tests.unit.audit.samples import BACKUPS, PACKS, REPOSITORY, START, repository_rows
from tests.unit.replicas.clocks import StillClock

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/reference/audit.md").read_text(encoding="utf-8"), re.DOTALL)
PORTABLE = [example for example in EXAMPLES if not example.startswith("-- duckdb")]

# One row of plain values per table, in SQL that all engines take; and what it must be.
FACTS = {
    "copies": "SELECT count(*), sum(bytes), min(recorded_utc), max(acknowledged_utc), min(date), max(date) FROM copies",
    "snapshots": "SELECT count(*), sum(bytes_total), min(started_utc), max(committed_utc), min(date), max(date) "
    "FROM snapshots",
    "runs": "SELECT count(*), sum(duration_s), min(started_utc), max(finished_utc), min(date), max(date) FROM runs "
    "WHERE state <> 'failed' AND date >= DATE '2026-11-20'",
    "needs": "SELECT count(*), sum(bytes), min(recorded_utc), max(recorded_utc), min(date), max(date) FROM needs "
    "WHERE change = 'made'",
    "lineage": "SELECT count(*), sum(CASE WHEN reused THEN 1 ELSE 0 END), min(recorded_utc), max(recorded_utc), "
    "min(date), max(date) FROM lineage WHERE parent_snapshot_id IS NOT NULL",
    "checks": "SELECT count(*), sum(objects_checked), min(started_utc), max(finished_utc), min(date), max(date) "
    "FROM checks",
}
STEP = timedelta(seconds=1200.5)
FIRST = START + STEP
LAST = START + STEP * 2 * BACKUPS
DAYS = (date(2026, 11, 20), date(2026, 11, 21))
_MADE = [row for row in repository_rows() if isinstance(row, NeedRow) and row.change is NeedsChange.MADE]
EXPECTED: dict[str, tuple[object, ...]] = {
    "copies": (2 * BACKUPS * PACKS * 2, 2 * BACKUPS * PACKS * 2 * 1000, FIRST, LAST, *DAYS),
    "snapshots": (
        2 * BACKUPS,
        sum(2 * (10**15 + n) for n in range(BACKUPS)),
        FIRST,
        LAST + timedelta(seconds=3),
        *DAYS,
    ),
    "runs": (2 * BACKUPS, 2 * BACKUPS * 4.5, FIRST, LAST + timedelta(seconds=4.5), *DAYS),
    "needs": (len(_MADE), sum(row.bytes or 0 for row in _MADE), FIRST, LAST, *DAYS),
    "lineage": (
        2 * sum(PACKS * n for n in range(2, BACKUPS + 1)),
        2 * sum(PACKS * (n - 1) for n in range(2, BACKUPS + 1)),
        FIRST + STEP * 2,
        LAST,
        *DAYS,
    ),
    "checks": (4, 3 * 48, LAST, LAST + timedelta(seconds=3), DAYS[1], DAYS[1]),
}


def fill(store: Store, state_dir: Path) -> None:
    clock = StillClock(START, seed=3)
    recorder = AuditRecorder(
        stores={"vault": store},
        repository_id=REPOSITORY,
        sealer=sealer(),
        chain_id=chain_of(1),
        state_dir=state_dir,
        clock=clock,
    )
    for number, (run_id, rows) in enumerate(groupby(repository_rows(), key=lambda row: row.run_id), start=1):
        clock.moment_utc = min(START + STEP * number, LAST)  # each run is recorded when it started
        if number == 1:
            recorder.add_columns(run_id)
        for row in rows:
            recorder.add(row)
        assert recorder.flush(run_id).failed == ()


def in_utc(value: object) -> object:
    """Return a time in UTC, and anything else as it is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value
