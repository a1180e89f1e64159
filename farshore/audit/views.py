"""Questions that everybody asks, as views over the audit tables in SQL that engines share. Data only.

Rows are written at least once (a run that is tried again may write one twice), so every view counts a snapshot, and an
object of a snapshot, once. Columns of a join are named even where the name stays, because ClickHouse would keep the
table's name in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """One view; `reads` names the tables and earlier views that its SQL mentions."""

    description: str
    reads: tuple[str, ...]
    sql: str


# In order of definition: a view reads only tables and views before it.
VIEWS: Mapping[str, View] = {
    "snapshots_once": View(
        "`snapshots`, each snapshot once.",
        ("snapshots",),
        """
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY snapshot_id ORDER BY recorded_utc) AS occurrence FROM snapshots
) AS counted
WHERE occurrence = 1
""",
    ),
    "copies_now": View(
        "The latest word on each object at each replica.",
        ("copies",),
        """
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY object, replica ORDER BY recorded_utc DESC) AS occurrence FROM copies
) AS counted
WHERE occurrence = 1
""",
    ),
    "last_good_backup": View(
        "The newest snapshot of each source; `started_utc` is the moment that a restore of it brings back.",
        ("snapshots_once",),
        """
SELECT source, source_id, kind, snapshot_id, run_id, started_utc, committed_utc, quorum, replicas_committed, entries,
       bytes_total, problems
FROM (
    SELECT *, row_number() OVER (PARTITION BY source_id ORDER BY started_utc DESC, committed_utc DESC) AS place
    FROM snapshots_once
) AS ranked
WHERE place = 1
""",
    ),
    "copies_per_snapshot": View(
        "For each snapshot and replica how many of the objects that it needs are there; `complete` when all are.",
        ("lineage", "copies_now"),
        """
SELECT needed.source AS source, needed.source_id AS source_id, needed.snapshot_id AS snapshot_id,
       held.replica AS replica, max(held.region) AS region, max(held.provider) AS provider, count(*) AS objects_held,
       max(total.objects_needed) AS objects_needed, sum(held.bytes) AS bytes_held,
       count(*) = max(total.objects_needed) AS complete
FROM (SELECT DISTINCT source, source_id, snapshot_id, object FROM lineage) AS needed
JOIN (SELECT snapshot_id, count(DISTINCT object) AS objects_needed FROM lineage GROUP BY snapshot_id) AS total
  ON total.snapshot_id = needed.snapshot_id
JOIN copies_now AS held ON held.object = needed.object
WHERE held.state = 'acknowledged'
GROUP BY needed.source, needed.source_id, needed.snapshot_id, held.replica
""",
    ),
    "bytes_per_source_per_day": View(
        "Per UTC day and source: snapshots, bytes read, new, and stored at each replica.",
        ("snapshots_once",),
        """
SELECT CAST(committed_utc AS DATE) AS day, source, source_id, count(*) AS snapshots, sum(bytes_read) AS bytes_read,
       sum(bytes_new) AS bytes_new, sum(bytes_stored) AS bytes_stored
FROM snapshots_once
GROUP BY CAST(committed_utc AS DATE), source, source_id
""",
    ),
    "object_impact": View(
        "What an object touches: every snapshot that needs it, and its source.",
        ("lineage", "snapshots_once"),
        """
SELECT DISTINCT lineage.object AS object, lineage.source AS source, lineage.source_id AS source_id,
       lineage.snapshot_id AS snapshot_id, snapshots_once.committed_utc AS committed_utc
FROM lineage
LEFT JOIN snapshots_once ON snapshots_once.snapshot_id = lineage.snapshot_id
""",
    ),
    "damage_impact": View(
        "Every damaged object that a verify found, with what it touches; one row per object, replica and snapshot.",
        ("checks", "object_impact"),
        """
SELECT found.replica AS replica, found.object AS object, found.state AS state, found.detail AS detail,
       found.finished_utc AS found_utc, impact.source AS source, impact.source_id AS source_id,
       impact.snapshot_id AS snapshot_id, impact.committed_utc AS committed_utc
FROM (SELECT * FROM checks WHERE object IS NOT NULL) AS found
LEFT JOIN object_impact AS impact ON impact.object = found.object
""",
    ),
    "repairs_open": View(
        "What was found wrong at a replica and is not mended by the latest word on it; foreign objects are left out.",
        ("repairs",),
        """
SELECT replica, object, found, action, detail, error_code, snapshot_ids, recorded_utc, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY replica, object ORDER BY recorded_utc DESC) AS occurrence FROM repairs
) AS counted
WHERE occurrence = 1 AND found <> 'foreign' AND action IN ('refused', 'removed', 'left')
""",
    ),
}


def tables_of(name: str) -> frozenset[str]:
    """Return the tables that a table or view reads, through other views too."""
    if name not in VIEWS:
        return frozenset((name,))
    return frozenset(table for read in VIEWS[name].reads for table in tables_of(read))
