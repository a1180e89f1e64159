"""What the audit tables tell of each replica, for its cost: what is stored, what runs ask, what was read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from farshore.access.query import run_query
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import FarshoreError
from farshore.replicas.ask import OnWait, wait_quietly

WINDOW_DAYS = 30.0  # the present rate is that of these days, or of all where there are fewer
_DAYS_MIN = 1.0  # younger than this a rate is a guess: one day is taken

_STORED = """
SELECT replica, count(*), sum(bytes) FROM copies_now WHERE state = 'acknowledged' GROUP BY replica
"""
_NEEDED = """
SELECT held.replica, count(*), sum(held.bytes)
FROM (SELECT DISTINCT object FROM lineage
      WHERE snapshot_id IN (SELECT snapshot_id FROM last_good_backup)) AS needed
JOIN copies_now AS held ON held.object = needed.object
WHERE held.state = 'acknowledged' GROUP BY held.replica
"""
_GROWN = """
SELECT held.replica, sum(held.bytes)
FROM copies_now AS held JOIN snapshots_once AS made ON made.snapshot_id = held.snapshot_id
WHERE held.state = 'acknowledged' AND made.parent_snapshot_id IS NOT NULL AND made.started_utc >= {since}
GROUP BY held.replica
"""
_RUNS = """
SELECT told.replica, told.source, count(*), sum(told.requests), sum(told.objects)
FROM (
    SELECT once.source AS source, part.replica AS replica, part.requests AS requests, part.objects_sent AS objects
    FROM (SELECT run_id, any_value(source) AS source, any_value(replicas) AS replicas,
                 any_value(snapshot_id) AS snapshot_id
          FROM runs WHERE operation = 'backup' AND started_utc >= {since} GROUP BY run_id) AS once
    LEFT JOIN snapshots_once AS made ON made.snapshot_id = once.snapshot_id, unnest(once.replicas) AS parts(part)
    WHERE made.snapshot_id IS NULL OR made.parent_snapshot_id IS NOT NULL
) AS told GROUP BY told.replica, told.source
"""
# A check by checksums asks S3 for each object, as a get is priced; the listings of the others tell them.
_CHECKED = """
SELECT replica, count(*), sum(CASE WHEN means NOT IN ('remote', 'sizes') OR asked THEN objects_checked ELSE 0 END),
       sum(bytes_read)
FROM (SELECT DISTINCT check_id, checks.replica AS replica, objects_checked, bytes_read, coalesce(method, '') AS means,
             asking.replica IS NOT NULL AS asked
      FROM checks LEFT JOIN (SELECT DISTINCT replica FROM copies WHERE provider = 's3') AS asking
        ON asking.replica = checks.replica
      WHERE object IS NULL AND finished_utc >= {since}) AS once
GROUP BY replica
"""
_RESTORED = """
SELECT replica, count(*), sum(share) FROM (
    SELECT unnest(replicas) AS replica, bytes_restored / len(replicas) AS share
    FROM (SELECT DISTINCT run_id, replicas, bytes_restored FROM restores
          WHERE started_utc >= {since} AND len(replicas) > 0) AS once
) AS shared GROUP BY replica
"""
_FIRST = "SELECT min(started_utc) FROM runs"


@dataclass(frozen=True, slots=True)
class BackupRuns:
    """Backups of one source at one replica in the window, first ones left out."""

    runs: int
    requests: int
    objects: int  # sent: each a put


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """One replica. Sums of runs, checks and restores are of the window."""

    objects: int = 0
    bytes_stored: int = 0
    needed_objects: int = 0
    needed_bytes: int = 0
    bytes_grown: int = 0
    backups: Mapping[str, BackupRuns] = field(default_factory=dict)  # by source
    checks: int = 0
    objects_checked: int = 0
    bytes_checked: int = 0
    restores: int = 0
    bytes_restored: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """All replicas that the tables know, over a window of so many days."""

    read_from: str
    days: float
    replicas: Mapping[str, ReplicaFacts]


def read_facts(
    config: Config,
    *,
    replica: str | None = None,
    unasked: dict[str, FarshoreError] | None = None,
    on_wait: OnWait = wait_quietly,
    clock: Clock,
) -> Facts:
    """Ask the audit tables of one replica, which tell of all. Needs no key.

    Raises:
        FarshoreError: No replica could be read, or not the one that was named; the first reason.
    """
    now = clock.now_utc()
    first = run_query(config, _FIRST, replica=replica, unasked=unasked, on_wait=on_wait, clock=clock)
    began = first.rows[0][0] if first.rows else None
    age_days = (now - began).total_seconds() / 86_400 if isinstance(began, datetime) else 0.0
    days = min(max(age_days, _DAYS_MIN), WINDOW_DAYS)
    since = f"TIMESTAMPTZ '{(now - timedelta(days=days)).isoformat(timespec='seconds')}'"

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return list(run_query(config, sql.format(since=since), replica=first.replica, clock=clock).rows)

    return Facts(first.replica, days, _gathered(ask))


def _gathered(ask: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, ReplicaFacts]:
    values: dict[str, dict[str, Any]] = {}

    def put(replica: str, **found: Any) -> None:
        values.setdefault(replica, {}).update(found)

    for replica, objects, stored in ask(_STORED):
        put(replica, objects=objects, bytes_stored=int(stored))
    for replica, objects, needed in ask(_NEEDED):
        put(replica, needed_objects=objects, needed_bytes=int(needed))
    for replica, grown in ask(_GROWN):
        put(replica, bytes_grown=int(grown))
    for replica, source, runs, requests, objects in ask(_RUNS):
        backups = values.setdefault(replica, {}).setdefault("backups", {})
        backups[source] = BackupRuns(runs, int(requests), int(objects))
    for replica, checks, objects, read in ask(_CHECKED):
        put(replica, checks=checks, objects_checked=int(objects), bytes_checked=int(read))
    for replica, restores, restored in ask(_RESTORED):
        put(replica, restores=restores, bytes_restored=float(restored))
    return {replica: ReplicaFacts(**found) for replica, found in values.items()}
