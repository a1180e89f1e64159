"""Questions that everybody asks, as views over the audit tables in SQL that engines share. Data only.

Rows are written at least once (a run that is tried again may write one twice), so every view counts a snapshot, and an
object of a snapshot, once. A snapshot is one of its source: rows of one source never replace those of another, whose
ids a stolen writer may write. Columns of a join are named even where the name stays, because ClickHouse would keep the
table's name in it; where there is no next row, its lead() is 0 and not NULL, and places begin at 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from farshore.model import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """One view; `reads` names the tables and earlier views that its SQL mentions."""

    description: str
    reads: tuple[str, ...]
    sql: str


# In order of definition: a view reads only tables and views before it.
VIEWS: Mapping[str, View] = {
    "snapshots": View(
        "One row per snapshot that was committed and read back at a quorum: what `runs` has of it. `started_utc` is "
        "when reading its source started.",
        ("runs",),
        """
SELECT schema_version, repository_id, run_id, engine, recorded_utc, snapshot_id, parent_snapshot_id, source_id, source,
       kind, identity, reading_utc AS started_utc, committed_utc, entries, files, bytes_total, bytes_read, bytes_new,
       bytes_stored, chunks_new, packs_new, entries_unchanged, problems, quorum, replicas_committed, facts,
       snapshot_state AS state, lacking, sequence, shrunken, needs_since, date
FROM runs
WHERE operation = 'backup' AND committed_utc IS NOT NULL AND source_id IS NOT NULL
""",
    ),
    "objects": View(
        "One row per object that a run made; the same bytes lie at every replica. The last 64 digits of its name are "
        "its BLAKE3.",
        ("needs",),
        """
SELECT run_id, recorded_utc, object, kind, bytes, snapshot_id, checksums, date
FROM needs
WHERE change = 'made'
""",
    ),
    "snapshots_once": View(
        "`snapshots`, each snapshot once.",
        ("snapshots",),
        """
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY source_id, snapshot_id ORDER BY recorded_utc) AS occurrence FROM snapshots
) AS counted
WHERE occurrence = 1
""",
    ),
    "needs_spans": View(
        "Each stretch of the chain of a source whose snapshots need an object: from `sequence` on, and before "
        "`until_sequence`.",
        ("needs",),
        """
SELECT source_id, object, change, kind, snapshot_id, sequence, nullif(next_sequence, 0) AS until_sequence
FROM (
    SELECT source_id, object, change, kind, snapshot_id, sequence,
           lead(sequence) OVER (PARTITION BY source_id, object ORDER BY sequence) AS next_sequence
    FROM needs
) AS changes
WHERE change <> 'dropped' AND (next_sequence IS NULL OR next_sequence = 0 OR next_sequence > sequence)
""",
    ),
    "lineage": View(
        "Source -> snapshot -> copies: one row per snapshot and object that it needs or its run made. `reused`: an "
        "earlier run had made it; `replicas` committed the snapshot.",
        ("needs_spans", "snapshots_once"),
        """
SELECT snap.run_id AS run_id, snap.recorded_utc AS recorded_utc, snap.source_id AS source_id, snap.source AS source,
       snap.snapshot_id AS snapshot_id, snap.parent_snapshot_id AS parent_snapshot_id, span.object AS object,
       (span.snapshot_id <> snap.snapshot_id OR span.change = 'reused') AS reused,
       snap.replicas_committed AS replicas, snap.date AS date
FROM needs_spans AS span
JOIN snapshots_once AS snap ON snap.source_id = span.source_id
WHERE span.sequence >= snap.needs_since AND span.sequence <= snap.sequence
  AND (span.until_sequence IS NULL OR span.until_sequence > snap.sequence)
  AND (span.kind IS NULL OR span.kind NOT IN ('commit', 'index') OR span.snapshot_id = snap.snapshot_id)
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
        "The last complete snapshot of each source, in the order of their commits; `started_utc` is the moment that a "
        "restore of it brings back.",
        ("snapshots_once",),
        """
SELECT source, source_id, kind, snapshot_id, run_id, started_utc, committed_utc, quorum, replicas_committed, entries,
       bytes_total, problems, shrunken
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY source_id ORDER BY coalesce(sequence, 0) DESC, started_utc DESC, committed_utc DESC
    ) AS place
    FROM snapshots_once
    WHERE state = 'complete' OR (state IS NULL AND problems = 0)
) AS ranked
WHERE place = 1
""",
    ),
    "source_states": View(
        "The last snapshot of each source, complete or not, and the last complete one beside it (`good_`), NULL where "
        "there is none.",
        ("snapshots_once", "last_good_backup"),
        """
SELECT newest.source AS source, newest.source_id AS source_id, newest.snapshot_id AS snapshot_id,
       newest.started_utc AS started_utc,
       CASE WHEN newest.state = 'complete' OR (newest.state IS NULL AND newest.problems = 0) THEN 'complete'
            ELSE 'incomplete' END AS state,
       newest.problems AS problems, newest.lacking AS lacking, newest.shrunken AS shrunken,
       good.snapshot_id AS good_snapshot_id, good.started_utc AS good_started_utc
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY source_id ORDER BY coalesce(sequence, 0) DESC, started_utc DESC, committed_utc DESC
    ) AS place
    FROM snapshots_once
) AS newest
LEFT JOIN last_good_backup AS good ON good.source_id = newest.source_id
WHERE newest.place = 1
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
JOIN (SELECT source_id, snapshot_id, count(DISTINCT object) AS objects_needed
      FROM lineage GROUP BY source_id, snapshot_id) AS total
  ON total.source_id = needed.source_id AND total.snapshot_id = needed.snapshot_id
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
LEFT JOIN snapshots_once
  ON snapshots_once.source_id = lineage.source_id AND snapshots_once.snapshot_id = lineage.snapshot_id
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
    "locks_now": View(
        "The latest word on how long each snapshot is locked at each replica.",
        ("locks",),
        """
SELECT replica, snapshot_id, source, source_id, action, mode, locked_until_utc, objects, unlocked, held, recorded_utc,
       run_id
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY replica, source_id, snapshot_id ORDER BY recorded_utc DESC
    ) AS occurrence FROM locks
    WHERE error_code IS NULL
) AS counted
WHERE occurrence = 1
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
    "checks_now": View(
        "The last check of each replica by each method.",
        ("checks",),
        """
SELECT replica, method, state, started_utc, finished_utc, objects_checked, damaged, proven, unproven, unrecorded,
       foreign_objects, bytes_read, read_data_percent, oldest_read_utc, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY replica, method ORDER BY finished_utc DESC) AS occurrence
    FROM checks WHERE object IS NULL AND method IS NOT NULL
) AS counted
WHERE occurrence = 1
""",
    ),
    "proofs_now": View(
        "The last row of each object at each replica by each method.",
        ("proofs",),
        """
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY object, replica, method ORDER BY checked_utc DESC) AS occurrence
    FROM proofs
) AS counted
WHERE occurrence = 1
""",
    ),
    "object_proofs": View(
        "Per object and replica that acknowledged it: when it was last read and last checked by its checksum, and how "
        "it was found; `proven_utc` is the later of the two where it was sound, NULL where it never was proven.",
        ("copies_now", "proofs_now", "checks_now"),
        """
SELECT object, replica, bytes, acknowledged_utc, read_utc, read_state, remote_utc, remote_state,
       CASE WHEN read_state = 'ok' AND (remote_state IS NULL OR remote_state <> 'ok' OR read_utc >= remote_utc)
            THEN read_utc WHEN remote_state = 'ok' THEN remote_utc END AS proven_utc
FROM (
    SELECT held.object AS object, held.replica AS replica, held.bytes AS bytes,
           held.acknowledged_utc AS acknowledged_utc, last_read.checked_utc AS read_utc,
           last_read.state AS read_state,
           CASE WHEN last_check.started_utc >= held.acknowledged_utc THEN last_check.finished_utc END AS remote_utc,
           CASE WHEN last_check.started_utc >= held.acknowledged_utc THEN coalesce(last_remote.state, 'ok')
           END AS remote_state
    FROM (SELECT * FROM copies_now WHERE state = 'acknowledged') AS held
    LEFT JOIN (SELECT * FROM proofs_now WHERE method = 'read') AS last_read
      ON last_read.object = held.object AND last_read.replica = held.replica
    LEFT JOIN (SELECT * FROM proofs_now WHERE method = 'remote') AS last_remote
      ON last_remote.object = held.object AND last_remote.replica = held.replica
    LEFT JOIN (SELECT * FROM checks_now WHERE method = 'remote') AS last_check ON last_check.replica = held.replica
) AS joined
""",
    ),
    "replica_proofs": View(
        "Per replica: packs acknowledged, never read, not proven by any means, and since when each of the others was.",
        ("object_proofs",),
        """
SELECT replica, count(*) AS packs, sum(CASE WHEN read_utc IS NULL THEN 1 ELSE 0 END) AS never_read,
       sum(CASE WHEN proven_utc IS NULL THEN 1 ELSE 0 END) AS never_proven,
       min(coalesce(read_utc, acknowledged_utc)) AS oldest_read_utc, min(proven_utc) AS oldest_proof_utc
FROM (SELECT * FROM object_proofs WHERE object LIKE 'packs/%') AS packs
GROUP BY replica
""",
    ),
}


def tables_of(name: str) -> frozenset[str]:
    """Return the tables that a table or view reads, through other views too."""
    if name not in VIEWS:
        return frozenset((name,))
    return frozenset(table for read in VIEWS[name].reads for table in tables_of(read))


def reads_of(name: str) -> frozenset[str]:
    """Return the tables and views that a table or view reads, through other views too, with itself."""
    if name not in VIEWS:
        return frozenset((name,))
    return frozenset((name, *(read for one in VIEWS[name].reads for read in reads_of(one))))


def columns_of(name: str) -> tuple[str, ...]:
    """Return the columns of a view that names each in its SQL; none of one that selects all of another."""
    selected, depth = [""], 0
    for word in re.findall(r"[\w.]+|\S", VIEWS[name].sql.strip().removeprefix("SELECT")):
        depth += (word == "(") - (word == ")")
        if word == "FROM" and not depth:
            break
        if word == "," and not depth:
            selected.append("")
        else:
            selected[-1] = word.rpartition(".")[2]
    return tuple(selected) if all(re.fullmatch(r"\w+", one) for one in selected) else ()
