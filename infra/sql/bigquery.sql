-- Farshore's audit tables in BigQuery, from a GCS replica. Replace DATASET, BUCKET and PREFIX. Columns come from the
-- files; times are TIMESTAMP, lists are ARRAY.

-- One row per run of one operation, whether it ended well or not; of a backup also the snapshot that it made.
CREATE OR REPLACE EXTERNAL TABLE DATASET.runs
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per run of one operation, whether it ended well or not; of a backup also the snapshot that it made.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/runs',
  uris = ['gs://BUCKET/PREFIX/audit/runs/date=*']
);

-- What the needs of a snapshot changed: one row per object that its run made, or that it needs and the snapshot before did not, or the other way round.
CREATE OR REPLACE EXTERNAL TABLE DATASET.needs
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'What the needs of a snapshot changed: one row per object that its run made, or that it needs and the snapshot before did not, or the other way round.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/needs',
  uris = ['gs://BUCKET/PREFIX/audit/needs/date=*']
);

-- One row per object and replica that it was sent to; the latest row of the two is the one that holds.
CREATE OR REPLACE EXTERNAL TABLE DATASET.copies
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per object and replica that it was sent to; the latest row of the two is the one that holds.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/copies',
  uris = ['gs://BUCKET/PREFIX/audit/copies/date=*']
);

-- One row per verified replica (`object` is NULL), also when nothing was found, and one per damaged object.
CREATE OR REPLACE EXTERNAL TABLE DATASET.checks
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per verified replica (`object` is NULL), also when nothing was found, and one per damaged object.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/checks',
  uris = ['gs://BUCKET/PREFIX/audit/checks/date=*']
);

-- One row per restore.
CREATE OR REPLACE EXTERNAL TABLE DATASET.restores
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per restore.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/restores',
  uris = ['gs://BUCKET/PREFIX/audit/restores/date=*']
);

-- One row per object that a heal or a reader found missing or wrong at a replica, and what came of it.
CREATE OR REPLACE EXTERNAL TABLE DATASET.repairs
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per object that a heal or a reader found missing or wrong at a replica, and what came of it.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/repairs',
  uris = ['gs://BUCKET/PREFIX/audit/repairs/date=*']
);

-- What was proven of one object at one replica. A `read` has a row for each pack; a `remote` check has one where the state of an object is not what it last was (`ok` without any row).
CREATE OR REPLACE EXTERNAL TABLE DATASET.proofs
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'What was proven of one object at one replica. A `read` has a row for each pack; a `remote` check has one where the state of an object is not what it last was (`ok` without any row).',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/proofs',
  uris = ['gs://BUCKET/PREFIX/audit/proofs/date=*']
);

-- One row per snapshot and replica whenever its objects were locked, held or looked at.
CREATE OR REPLACE EXTERNAL TABLE DATASET.locks
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per snapshot and replica whenever its objects were locked, held or looked at.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/locks',
  uris = ['gs://BUCKET/PREFIX/audit/locks/date=*']
);

-- One row per object that a prune deleted at a replica, or could not delete.
CREATE OR REPLACE EXTERNAL TABLE DATASET.deletions
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
  format = 'PARQUET',
  enable_list_inference = true,
  description = 'One row per object that a prune deleted at a replica, or could not delete.',
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/audit/deletions',
  uris = ['gs://BUCKET/PREFIX/audit/deletions/date=*']
);

-- One row per snapshot that was committed and read back at a quorum: what `runs` has of it. `started_utc` is when reading its source started.
CREATE OR REPLACE VIEW DATASET.snapshots AS
SELECT schema_version, repository_id, run_id, engine, recorded_utc, snapshot_id, parent_snapshot_id, source_id, source,
       kind, identity, reading_utc AS started_utc, committed_utc, entries, files, bytes_total, bytes_read, bytes_new,
       bytes_stored, chunks_new, packs_new, entries_unchanged, problems, quorum, replicas_committed, facts,
       snapshot_state AS state, lacking, sequence, shrunken, needs_since, date
FROM DATASET.runs
WHERE operation = 'backup' AND committed_utc IS NOT NULL AND source_id IS NOT NULL;

-- One row per object that a run made; the same bytes lie at every replica. The last 64 digits of its name are its BLAKE3.
CREATE OR REPLACE VIEW DATASET.objects AS
SELECT run_id, recorded_utc, object, kind, bytes, snapshot_id, checksums, date
FROM DATASET.needs
WHERE change = 'made';

-- `snapshots`, each snapshot once.
CREATE OR REPLACE VIEW DATASET.snapshots_once AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY source_id, snapshot_id ORDER BY recorded_utc) AS occurrence FROM DATASET.snapshots
) AS counted
WHERE occurrence = 1;

-- Each stretch of the chain of a source whose snapshots need an object: from `sequence` on, and before `until_sequence`.
CREATE OR REPLACE VIEW DATASET.needs_spans AS
SELECT source_id, object, change, kind, snapshot_id, sequence, nullif(next_sequence, 0) AS until_sequence
FROM (
    SELECT source_id, object, change, kind, snapshot_id, sequence,
           lead(sequence) OVER (PARTITION BY source_id, object ORDER BY sequence) AS next_sequence
    FROM DATASET.needs
) AS changes
WHERE change <> 'dropped' AND (next_sequence IS NULL OR next_sequence = 0 OR next_sequence > sequence);

-- Source -> snapshot -> copies: one row per snapshot and object that it needs or its run made. `reused`: an earlier run had made it; `replicas` committed the snapshot.
CREATE OR REPLACE VIEW DATASET.lineage AS
SELECT snap.run_id AS run_id, snap.recorded_utc AS recorded_utc, snap.source_id AS source_id, snap.source AS source,
       snap.snapshot_id AS snapshot_id, snap.parent_snapshot_id AS parent_snapshot_id, span.object AS object,
       (span.snapshot_id <> snap.snapshot_id OR span.change = 'reused') AS reused,
       snap.replicas_committed AS replicas, snap.date AS date
FROM DATASET.needs_spans AS span
JOIN DATASET.snapshots_once AS snap ON snap.source_id = span.source_id
WHERE span.sequence >= snap.needs_since AND span.sequence <= snap.sequence
  AND (span.until_sequence IS NULL OR span.until_sequence > snap.sequence)
  AND (span.kind IS NULL OR span.kind NOT IN ('commit', 'index') OR span.snapshot_id = snap.snapshot_id);

-- The latest word on each object at each replica.
CREATE OR REPLACE VIEW DATASET.copies_now AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY object, replica ORDER BY recorded_utc DESC) AS occurrence FROM DATASET.copies
) AS counted
WHERE occurrence = 1;

-- The last complete snapshot of each source, in the order of their commits; `started_utc` is the moment that a restore of it brings back.
CREATE OR REPLACE VIEW DATASET.last_good_backup AS
SELECT source, source_id, kind, snapshot_id, run_id, started_utc, committed_utc, quorum, replicas_committed, entries,
       bytes_total, problems, shrunken
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY source_id ORDER BY coalesce(sequence, 0) DESC, started_utc DESC, committed_utc DESC
    ) AS place
    FROM DATASET.snapshots_once
    WHERE state = 'complete' OR (state IS NULL AND problems = 0)
) AS ranked
WHERE place = 1;

-- The last snapshot of each source, complete or not, and the last complete one beside it (`good_`), NULL where there is none.
CREATE OR REPLACE VIEW DATASET.source_states AS
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
    FROM DATASET.snapshots_once
) AS newest
LEFT JOIN DATASET.last_good_backup AS good ON good.source_id = newest.source_id
WHERE newest.place = 1;

-- For each snapshot and replica how many of the objects that it needs are there; `complete` when all are.
CREATE OR REPLACE VIEW DATASET.copies_per_snapshot AS
SELECT needed.source AS source, needed.source_id AS source_id, needed.snapshot_id AS snapshot_id,
       held.replica AS replica, max(held.region) AS region, max(held.provider) AS provider, count(*) AS objects_held,
       max(total.objects_needed) AS objects_needed, sum(held.bytes) AS bytes_held,
       count(*) = max(total.objects_needed) AS complete
FROM (SELECT DISTINCT source, source_id, snapshot_id, object FROM DATASET.lineage) AS needed
JOIN (SELECT source_id, snapshot_id, count(DISTINCT object) AS objects_needed
      FROM DATASET.lineage GROUP BY source_id, snapshot_id) AS total
  ON total.source_id = needed.source_id AND total.snapshot_id = needed.snapshot_id
JOIN DATASET.copies_now AS held ON held.object = needed.object
WHERE held.state = 'acknowledged'
GROUP BY needed.source, needed.source_id, needed.snapshot_id, held.replica;

-- Per UTC day and source: snapshots, bytes read, new, and stored at each replica.
CREATE OR REPLACE VIEW DATASET.bytes_per_source_per_day AS
SELECT CAST(committed_utc AS DATE) AS day, source, source_id, count(*) AS snapshots, sum(bytes_read) AS bytes_read,
       sum(bytes_new) AS bytes_new, sum(bytes_stored) AS bytes_stored
FROM DATASET.snapshots_once
GROUP BY CAST(committed_utc AS DATE), source, source_id;

-- What an object touches: every snapshot that needs it, and its source.
CREATE OR REPLACE VIEW DATASET.object_impact AS
SELECT DISTINCT lineage.object AS object, lineage.source AS source, lineage.source_id AS source_id,
       lineage.snapshot_id AS snapshot_id, snapshots_once.committed_utc AS committed_utc
FROM DATASET.lineage
LEFT JOIN DATASET.snapshots_once
  ON snapshots_once.source_id = lineage.source_id AND snapshots_once.snapshot_id = lineage.snapshot_id;

-- Every damaged object that a verify found, with what it touches; one row per object, replica and snapshot.
CREATE OR REPLACE VIEW DATASET.damage_impact AS
SELECT found.replica AS replica, found.object AS object, found.state AS state, found.detail AS detail,
       found.finished_utc AS found_utc, impact.source AS source, impact.source_id AS source_id,
       impact.snapshot_id AS snapshot_id, impact.committed_utc AS committed_utc
FROM (SELECT * FROM DATASET.checks WHERE object IS NOT NULL) AS found
LEFT JOIN DATASET.object_impact AS impact ON impact.object = found.object;

-- The latest word on how long each snapshot is locked at each replica.
CREATE OR REPLACE VIEW DATASET.locks_now AS
SELECT replica, snapshot_id, source, source_id, action, mode, locked_until_utc, objects, unlocked, held, recorded_utc,
       run_id
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY replica, source_id, snapshot_id ORDER BY recorded_utc DESC
    ) AS occurrence FROM DATASET.locks
    WHERE error_code IS NULL
) AS counted
WHERE occurrence = 1;

-- What was found wrong at a replica and is not mended by the latest word on it; foreign objects are left out.
CREATE OR REPLACE VIEW DATASET.repairs_open AS
SELECT replica, object, found, action, detail, error_code, snapshot_ids, recorded_utc, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY replica, object ORDER BY recorded_utc DESC) AS occurrence FROM DATASET.repairs
) AS counted
WHERE occurrence = 1 AND found <> 'foreign' AND action IN ('refused', 'removed', 'left');

-- The last check of each replica by each method.
CREATE OR REPLACE VIEW DATASET.checks_now AS
SELECT replica, method, state, started_utc, finished_utc, objects_checked, damaged, proven, unproven, unrecorded,
       foreign_objects, bytes_read, read_data_percent, oldest_read_utc, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY replica, method ORDER BY finished_utc DESC) AS occurrence
    FROM DATASET.checks WHERE object IS NULL AND method IS NOT NULL
) AS counted
WHERE occurrence = 1;

-- The last row of each object at each replica by each method.
CREATE OR REPLACE VIEW DATASET.proofs_now AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY object, replica, method ORDER BY checked_utc DESC) AS occurrence
    FROM DATASET.proofs
) AS counted
WHERE occurrence = 1;

-- Per object and replica that acknowledged it: when it was last read and last checked by its checksum, and how it was found; `proven_utc` is the later of the two where it was sound, NULL where it never was proven.
CREATE OR REPLACE VIEW DATASET.object_proofs AS
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
    FROM (SELECT * FROM DATASET.copies_now WHERE state = 'acknowledged') AS held
    LEFT JOIN (SELECT * FROM DATASET.proofs_now WHERE method = 'read') AS last_read
      ON last_read.object = held.object AND last_read.replica = held.replica
    LEFT JOIN (SELECT * FROM DATASET.proofs_now WHERE method = 'remote') AS last_remote
      ON last_remote.object = held.object AND last_remote.replica = held.replica
    LEFT JOIN (SELECT * FROM DATASET.checks_now WHERE method = 'remote') AS last_check ON last_check.replica = held.replica
) AS joined;

-- Per replica: packs acknowledged, never read, not proven by any means, and since when each of the others was.
CREATE OR REPLACE VIEW DATASET.replica_proofs AS
SELECT replica, count(*) AS packs, sum(CASE WHEN read_utc IS NULL THEN 1 ELSE 0 END) AS never_read,
       sum(CASE WHEN proven_utc IS NULL THEN 1 ELSE 0 END) AS never_proven,
       min(coalesce(read_utc, acknowledged_utc)) AS oldest_read_utc, min(proven_utc) AS oldest_proof_utc
FROM (SELECT * FROM DATASET.object_proofs WHERE object LIKE 'packs/%') AS packs
GROUP BY replica;
