"""Every question that Farshore asks of its audit tables, by name: all SQL over them is here.

A constant is a whole statement. A function returns one with its values put in as literals, quoted in one way;
of many names it returns several statements of `NAMES_AT_ONCE` each. DuckDB answers them.
"""
# ruff: noqa: S608 - every value that is put into a statement goes through `quoted` or `_moment`

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from farshore import limits
from farshore.format import names

NAMES_AT_ONCE = 500  # in one statement: its text stays below 64 KiB
_NAME_SLICES_MAX = 256  # of packs, by the first two digits of their ids


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def _moment(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat(timespec='seconds')}'"


def _lists(values: Sequence[str]) -> Iterator[str]:
    """Yield values as the insides of IN lists."""
    for start in range(0, len(values), NAMES_AT_ONCE):
        yield ", ".join(map(quoted, values[start : start + NAMES_AT_ONCE]))


# --- snapshots and what they need -------------------------------------------------------------------------------------

# source, its id, when reading of its last good snapshot and of its last one began, and the state of the last one
SOURCE_STATES = """
    SELECT source, source_id, good_started_utc, started_utc, state, lacking, problems, shrunken FROM source_states
"""


def snapshots_needing(objects: Sequence[str]) -> Iterator[str]:
    """Yield statements for (object, snapshot that needs it)."""
    for listed in _lists(objects):
        yield f"SELECT DISTINCT object, snapshot_id FROM lineage WHERE object IN ({listed})"


# --- checks, repairs and locks ----------------------------------------------------------------------------------------

# Damage that a check found stands until a check that would have found it again finds none. Reading is the deepest, and
# a share of it reads again what was not sound; a checksum and a listing tell of different things. It also ends once
# every object of it was mended at that replica, with evidence as good as the finding's: what was missing was put and
# is listed; what had wrong bytes was replaced and read back, or was read by a heal and hashed to what it must. What is
# left open after that counts again. What hashes right and does not decode is for a check alone: decision 0010.
LAST_CHECKS = """
    WITH mended AS (
        SELECT replica, object, recorded_utc, action FROM repairs AS one
        WHERE action IN ('copied', 'replaced', 'none') AND NOT EXISTS (
            SELECT 1 FROM repairs AS after
            WHERE after.replica = one.replica AND after.object = one.object
              AND after.action IN ('refused', 'removed', 'left') AND after.recorded_utc >= one.recorded_utc
        )
    ), findings AS (
        SELECT bad.check_id, bad.replica, bad.object, bool_or(
            mended.action = 'replaced' OR (bad.state = 'missing' AND mended.action = 'copied')
            OR (bad.state <> 'undecodable' AND mended.action = 'none')
        ) AS is_mended
        FROM checks AS bad LEFT JOIN mended
          ON mended.replica = bad.replica AND mended.object = bad.object AND mended.recorded_utc >= bad.finished_utc
        WHERE bad.object IS NOT NULL GROUP BY bad.check_id, bad.replica, bad.object
    ), repaired AS (
        SELECT check_id, replica, count(*) FILTER (is_mended) AS objects FROM findings GROUP BY check_id, replica
    ), replicas AS (
        SELECT *, coalesce(method, CASE WHEN read_data_percent > 0 THEN 'read' ELSE 'listed' END) AS means
        FROM checks WHERE object IS NULL AND state IN ('ok', 'damaged')
    )
    SELECT replica, max(finished_utc) AS checked_utc, bool_and(state = 'ok' OR disproved) AS clean,
           max(finished_utc) FILTER (means = 'remote') AS remote_utc,
           max(finished_utc) FILTER (means = 'read') AS read_utc,
           max_by(oldest_read_utc, finished_utc) FILTER (means = 'read') AS all_read_since_utc,
           bool_or(state = 'damaged' AND is_mended AND NOT is_gone) AS mended,
           max_by(means, finished_utc) AS method
    FROM (
        SELECT *, is_gone OR is_mended AS disproved FROM (
            SELECT found.*, EXISTS (
                SELECT 1 FROM replicas AS later
                WHERE later.replica = found.replica AND later.state = 'ok' AND later.finished_utc > found.finished_utc
                  AND later.means IN (found.means, 'read') AND later.read_data_percent >= found.read_data_percent
            ) AS is_gone, found.damaged > 0 AND coalesce(repaired.objects, 0) >= found.damaged AS is_mended
            FROM replicas AS found LEFT JOIN repaired
              ON repaired.check_id = found.check_id AND repaired.replica = found.replica
        ) AS seen
    ) AS judged GROUP BY replica
"""

# Until when a replica keeps at least one snapshot of each source that was ever locked there.
LOCKED_UNTIL = """
    SELECT replica, min(longest) AS locked_until_utc FROM (
        SELECT replica, source_id, max(locked_until_utc) AS longest FROM locks_now GROUP BY replica, source_id
    ) AS of_source GROUP BY replica
"""

# replica, object: damage that was found and that no later repair mended
DAMAGE_FOUND = """
    SELECT DISTINCT replica, object FROM checks AS found
    WHERE object IS NOT NULL AND state IN ('truncated', 'altered', 'undecodable') AND NOT EXISTS (
        SELECT 1 FROM repairs AS mended
        WHERE mended.replica = found.replica AND mended.object = found.object
          AND mended.action IN ('copied', 'replaced', 'none') AND mended.recorded_utc > found.recorded_utc
    )
    UNION SELECT replica, object FROM repairs_open
"""


def last_reads(replica: str) -> str:
    """Return the statement for (object, when it was last read) at a replica."""
    return f"""
SELECT object, max(checked_utc) FROM proofs WHERE replica = {quoted(replica)} AND method = 'read' GROUP BY object
"""


def reading_runs(replica: str) -> str:
    """Return the statement for (start, end) of the checks that read packs of a replica."""
    return f"""
SELECT started_utc, finished_utc FROM checks
WHERE replica = {quoted(replica)} AND object IS NULL AND method = 'read'
"""


def not_sound(replica: str) -> str:
    """Return the statement for the objects of a replica that were not sound when they were last looked at.

    A later reading that found an object sound outweighs an earlier word of a checksum, and the other way round.
    """
    return f"""
SELECT object FROM (
    SELECT object, max_by(state, checked_utc) AS state FROM proofs
    WHERE replica = {quoted(replica)} AND state NOT IN ('unproven', 'foreign') GROUP BY object
) AS last WHERE state IN ('missing', 'truncated', 'altered', 'undecodable')
"""


# --- what every object must be ----------------------------------------------------------------------------------------

# how many objects there are; names every table that `object_records` reads, so that their files are fetched
OBJECTS_RECORDED = """
SELECT (SELECT count(*) FROM objects) + 0 * (SELECT count(*) FROM copies) + 0 * (SELECT count(*) FROM proofs)
     + 0 * (SELECT count(*) FROM repairs)
"""

# One row per object that a run made or a replica acknowledged, in order of name by code point. Text that is no row of
# ours is not trusted to be in order either: DuckDB sorts it.
_OBJECT_RECORDS = """
WITH made AS (
    SELECT object, max(bytes) AS bytes, list_distinct(flatten(list(checksums))) AS sent
    FROM objects WHERE {slice} GROUP BY object
), words AS (
    SELECT object, replica, state, checksum, false AS within, recorded_utc FROM copies WHERE {slice}
    UNION ALL
    SELECT object, replica, 'acknowledged', NULL, method = 'provider-copy', recorded_utc FROM repairs
    WHERE action IN ('copied', 'replaced') AND {slice}
), held AS (
    SELECT object, list({{'replica': replica, 'within': within, 'reported': reported}}) AS copies
    FROM (
        SELECT object, replica, max_by(state, recorded_utc) AS state, max_by(checksum, recorded_utc) AS reported,
               coalesce(bool_or(within), false) AS within
        FROM words GROUP BY object, replica
    ) AS latest
    WHERE state = 'acknowledged' GROUP BY object
), proven AS (
    SELECT object, list(DISTINCT checksum) AS proof FROM proofs
    WHERE method = 'read' AND state = 'ok' AND checksum IS NOT NULL AND {slice} GROUP BY object
), judged AS (
    SELECT object, list({{'replica': replica, 'state': state}}) AS states
    FROM (
        SELECT object, replica, max_by(state, checked_utc) AS state FROM proofs WHERE method = 'remote' AND {slice}
        GROUP BY object, replica
    ) AS last
    WHERE state <> 'ok' GROUP BY object
)
SELECT object, bytes, sent, proof, copies, states
FROM made FULL JOIN held USING (object) FULL JOIN judged USING (object) LEFT JOIN proven USING (object)
ORDER BY object
"""


def object_records(objects: int) -> Iterator[str]:
    """Yield statements that, one after the other, give the record of every object in order of name.

    Several, because grouping and sorting a million objects at once needs over a GiB.

    Args:
        objects: How many there are, about.
    """
    for condition in name_slices(objects):
        yield _OBJECT_RECORDS.format(slice=condition)


def name_slices(objects: int) -> list[str]:
    """Return conditions on names that, one after the other, select all of them in order; packs are spread evenly."""
    parts = min(max(-(-objects // limits.SCRUB_SLICE_OBJECTS), 1), _NAME_SLICES_MAX)
    bounds = [f"{names.PACKS}{number * _NAME_SLICES_MAX // parts:02x}" for number in range(1, parts)]
    lower = ["", *(f"object >= {quoted(bound)}" for bound in bounds)]
    upper = [*(f"object < {quoted(bound)}" for bound in bounds), ""]
    return [" AND ".join(filter(None, pair)) or "true" for pair in zip(lower, upper, strict=True)]


# --- what replicas hold and what is asked of them, for their cost -----------------------------------------------------

FIRST_RUN = "SELECT min(started_utc) FROM runs"

# replica, objects, bytes
STORED = """
SELECT replica, count(*), sum(bytes) FROM copies_now WHERE state = 'acknowledged' GROUP BY replica
"""

# replica, objects, bytes: of what the last good snapshot of each source needs
NEEDED = """
SELECT held.replica, count(*), sum(held.bytes)
FROM (SELECT DISTINCT object FROM lineage
      WHERE snapshot_id IN (SELECT snapshot_id FROM last_good_backup)) AS needed
JOIN copies_now AS held ON held.object = needed.object
WHERE held.state = 'acknowledged' GROUP BY held.replica
"""


def grown(since_utc: datetime) -> str:
    """Return the statement for (replica, bytes): put by snapshots since then that follow another."""
    return f"""
SELECT held.replica, sum(held.bytes)
FROM copies_now AS held JOIN snapshots_once AS made ON made.snapshot_id = held.snapshot_id
WHERE held.state = 'acknowledged' AND made.parent_snapshot_id IS NOT NULL AND made.started_utc >= {_moment(since_utc)}
GROUP BY held.replica
"""


def backup_runs(since_utc: datetime) -> str:
    """Return the statement for (replica, source, runs, requests, objects sent), first backups left out."""
    return f"""
SELECT counted.replica, counted.source, count(*), sum(counted.requests), sum(counted.objects)
FROM (
    SELECT once.source AS source, part.replica AS replica, part.requests AS requests, part.objects_sent AS objects
    FROM (SELECT run_id, source_id, any_value(source) AS source, any_value(replicas) AS replicas,
                 any_value(snapshot_id) AS snapshot_id
          FROM runs WHERE operation = 'backup' AND started_utc >= {_moment(since_utc)}
          GROUP BY run_id, source_id) AS once
    LEFT JOIN snapshots_once AS made ON made.source_id = once.source_id AND made.snapshot_id = once.snapshot_id,
         unnest(once.replicas) AS parts(part)
    WHERE made.snapshot_id IS NULL OR made.parent_snapshot_id IS NOT NULL
) AS counted GROUP BY counted.replica, counted.source
"""


def checks_made(since_utc: datetime) -> str:
    """Return the statement for (replica, checks, objects asked for, bytes read).

    A check by checksums asks S3 for each object, as a get is priced; the listings of the others have them.
    """
    return f"""
SELECT replica, count(*), sum(CASE WHEN means NOT IN ('remote', 'sizes') OR asked THEN objects_checked ELSE 0 END),
       sum(bytes_read)
FROM (SELECT DISTINCT check_id, checks.replica AS replica, objects_checked, bytes_read, coalesce(method, '') AS means,
             asking.replica IS NOT NULL AS asked
      FROM checks LEFT JOIN (SELECT DISTINCT replica FROM copies WHERE provider = 's3') AS asking
        ON asking.replica = checks.replica
      WHERE object IS NULL AND finished_utc >= {_moment(since_utc)}) AS once
GROUP BY replica
"""


def restores_made(since_utc: datetime) -> str:
    """Return the statement for (replica, restores, bytes): a restore counts in equal shares."""
    return f"""
SELECT replica, count(*), sum(share) FROM (
    SELECT unnest(replicas) AS replica, bytes_restored / len(replicas) AS share
    FROM (SELECT DISTINCT run_id, replicas, bytes_restored FROM restores
          WHERE started_utc >= {_moment(since_utc)} AND len(replicas) > 0) AS once
) AS shared GROUP BY replica
"""
