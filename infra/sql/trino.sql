-- Farshore's audit tables in Trino's Hive connector, with hive.timestamp-precision = MICROSECONDS. USE its catalog and
-- schema first, and replace SCHEMA, BUCKET and PREFIX. Call sync_partition_metadata again for new days. Times are UTC.

-- One row per run of one operation, whether it ended well or not; of a backup also the snapshot that it made.
CREATE TABLE IF NOT EXISTS runs (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  schema_version bigint COMMENT 'Version of the columns: 3. Later ones only add columns, which earlier files lack.',
  repository_id varchar COMMENT 'The repository, 32 hex digits.',
  engine varchar COMMENT 'What conducted the run: `cli` or `prefect`.',
  operation varchar COMMENT '`init`, `backup`, `restore`, `verify`, `heal`, `retire`, `prune`, `fold` or `rewrite`.',
  state varchar COMMENT '`completed`, `completed-with-warnings` or `failed`.',
  started_utc timestamp(6) COMMENT 'When the run started.',
  finished_utc timestamp(6) COMMENT 'When the run ended.',
  duration_s double COMMENT 'Seconds from start to end.',
  source_id varchar COMMENT 'The source, 32 hex digits; NULL where the run is of no one source.',
  source varchar COMMENT 'Name of the source in the configuration.',
  snapshot_id varchar COMMENT 'The snapshot that the run made or read.',
  identity varchar COMMENT 'Scheduled moment or event id; NULL for a run asked for by hand.',
  attempt bigint COMMENT '1 for the first attempt at the same identity.',
  flow_run_id varchar COMMENT 'Id of the run at the orchestrator.',
  error_code varchar COMMENT 'Code of docs/reference/errors.md; NULL unless the run failed.',
  error varchar COMMENT 'The message of the error; NULL for errors that may name files of a source, unless `audit.paths` is set.',
  problems bigint COMMENT 'Entries that a person should look at.',
  host varchar COMMENT 'Name of the machine that ran it.',
  version varchar COMMENT 'Version of Farshore that ran it.',
  replicas array(row(replica varchar, state varchar, bytes_sent bigint, objects_sent bigint, requests bigint, error_code varchar, error varchar)) COMMENT 'What each replica did. `state`: `committed`, `left-behind`, `created`, `read`, `checked`, `level`, `behind`, `retired`, `pruned`, `waiting` or `failed`; `requests` counts all requests to it; `error_code` and `error` say why not and are empty otherwise.',
  replaces varchar COMMENT 'Of a rewrite: the snapshot in whose place it made this one; NULL in every other row.',
  parent_snapshot_id varchar COMMENT 'The snapshot that it follows; NULL for a first one.',
  kind varchar COMMENT 'Kind of source: `directory`, `sqlite`, `postgres`.',
  reading_utc timestamp(6) COMMENT 'When reading the source started: the snapshot shows no later state.',
  committed_utc timestamp(6) COMMENT 'When it was committed.',
  entries bigint COMMENT 'Names in it.',
  files bigint COMMENT 'Regular files in it.',
  bytes_total bigint COMMENT 'Logical size of all its files.',
  bytes_read bigint COMMENT 'Bytes read from the source by this run.',
  bytes_new bigint COMMENT 'Plain bytes of chunks that the repository did not hold.',
  bytes_stored bigint COMMENT 'Bytes of objects made by this run, at each replica.',
  chunks_new bigint COMMENT 'Chunks that the repository did not hold.',
  packs_new bigint COMMENT 'Packs made by this run.',
  entries_unchanged bigint COMMENT 'Entries that were not read again.',
  quorum bigint COMMENT 'Replicas that had to hold it before it counted.',
  replicas_committed array(varchar) COMMENT 'Replicas that held it when the run ended.',
  facts array(row(key varchar, value varchar)) COMMENT 'What the source tells of itself, such as a server version or a log position.',
  snapshot_state varchar COMMENT '`complete`, or `incomplete`: it lacks something that its source had.',
  lacking bigint COMMENT 'Problems that leave something out.',
  sequence bigint COMMENT 'Its place among the snapshots of its source.',
  shrunken boolean COMMENT 'Whether entries or bytes were below half of those of the last complete snapshot.',
  needs_since bigint COMMENT 'Its needs are the rows of `needs` of its source from this place of the chain to its own.',
  date date
)
COMMENT 'One row per run of one operation, whether it ended well or not; of a backup also the snapshot that it made.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/runs', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'runs', 'ADD');

-- What the needs of a snapshot changed: one row per object that its run made, or that it needs and the snapshot before did not, or the other way round.
CREATE TABLE IF NOT EXISTS needs (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  object varchar COMMENT 'Name of the object in the repository.',
  change varchar COMMENT '`made` (by this run), `reused` (an earlier run had made it, and the snapshot before did not need it) or `dropped` (the snapshot before needed it, and this one does not).',
  kind varchar COMMENT 'Of `made`: `pack`, `index`, `manifest`, `needs`, `pages`, `commit` or `data-key`.',
  bytes bigint COMMENT 'Of `made`: its size.',
  source_id varchar COMMENT 'The source of the snapshot, 32 hex digits.',
  snapshot_id varchar COMMENT 'The snapshot.',
  sequence bigint COMMENT 'The place of the snapshot among those of its source.',
  checksums array(varchar) COMMENT 'Of `made`: what providers must tell of these bytes, `algorithm:hex`, computed before they were sent.',
  date date
)
COMMENT 'What the needs of a snapshot changed: one row per object that its run made, or that it needs and the snapshot before did not, or the other way round.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/needs', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'needs', 'ADD');

-- One row per object and replica that it was sent to; the latest row of the two is the one that holds.
CREATE TABLE IF NOT EXISTS copies (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  object varchar COMMENT 'Name of the object in the repository.',
  replica varchar COMMENT 'Name of the replica in the configuration.',
  region varchar COMMENT 'Region of the replica in the configuration.',
  provider varchar COMMENT '`s3`, `gcs`, `azure`, `directory` or `memory`.',
  state varchar COMMENT '`acknowledged`, `missing` or `failed`.',
  bytes bigint COMMENT 'Its size.',
  checksum varchar COMMENT 'As the provider gave it, or as a heal sent it, `algorithm:hex`.',
  acknowledged_utc timestamp(6) COMMENT 'When the provider acknowledged it.',
  snapshot_id varchar COMMENT 'The snapshot it was sent for.',
  error_code varchar COMMENT 'Code of docs/reference/errors.md where it failed.',
  date date
)
COMMENT 'One row per object and replica that it was sent to; the latest row of the two is the one that holds.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/copies', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'copies', 'ADD');

-- One row per verified replica (`object` is NULL), also when nothing was found, and one per damaged object.
CREATE TABLE IF NOT EXISTS checks (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  check_id varchar COMMENT 'One verify; the same in all its rows.',
  replica varchar COMMENT 'Name of the replica in the configuration.',
  object varchar COMMENT 'The damaged object; NULL in the row of the whole replica.',
  state varchar COMMENT 'Of the replica: `ok`, `damaged`, `unreachable` or `inconclusive` (too little was seen, or no snapshot); of an object: `missing`, `truncated`, `altered` or `undecodable`.',
  detail varchar COMMENT 'What was found.',
  snapshot_ids array(varchar) COMMENT 'Snapshots that the object touches.',
  started_utc timestamp(6) COMMENT 'When the check started.',
  finished_utc timestamp(6) COMMENT 'When the check ended.',
  objects_checked bigint COMMENT 'Objects checked at the replica; 0 in the row of an object.',
  damaged bigint COMMENT 'Damaged objects at the replica; 0 in the row of an object.',
  bytes_read bigint COMMENT 'Bytes read from the replica; 0 in the row of an object.',
  read_data_percent double COMMENT 'Share of content that was read and hashed.',
  paths_total bigint COMMENT 'Files that the object touches.',
  paths array(varchar) COMMENT 'Their names, at most 1,000; NULL unless `audit.paths` is set.',
  method varchar COMMENT '`listed` (sizes, and small objects read), `read` (also content), `remote` (by the checksums of providers).',
  proven bigint COMMENT 'Of a `remote` check: objects whose checksum is as it must be.',
  unproven bigint COMMENT 'Of a `remote` check: objects whose content nothing told.',
  unrecorded bigint COMMENT 'Of a `remote` check: objects of ours that no row tells of.',
  foreign_objects bigint COMMENT 'Of a `remote` check: objects that are not ours.',
  oldest_read_utc timestamp(6) COMMENT 'Of the row of a replica: since then every pack there was read, or put; NULL where nothing was read.',
  date date
)
COMMENT 'One row per verified replica (`object` is NULL), also when nothing was found, and one per damaged object.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/checks', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'checks', 'ADD');

-- One row per restore.
CREATE TABLE IF NOT EXISTS restores (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  snapshot_id varchar COMMENT 'The snapshot that was restored.',
  source_id varchar COMMENT 'The source, 32 hex digits.',
  source varchar COMMENT 'Name of the source in the configuration.',
  target_kind varchar COMMENT 'Kind of target: `directory`, `directory-delta` (of which only what differed was restored), `tar` or `file`.',
  state varchar COMMENT '`completed`, `completed-with-warnings` or `failed`.',
  started_utc timestamp(6) COMMENT 'When it started.',
  finished_utc timestamp(6) COMMENT 'When it ended.',
  duration_s double COMMENT 'Seconds from start to end.',
  entries bigint COMMENT 'Names restored.',
  files bigint COMMENT 'Regular files restored.',
  bytes_restored bigint COMMENT 'Bytes of content written.',
  replicas array(varchar) COMMENT 'Replicas that objects were read from.',
  verified boolean COMMENT 'Whether every byte written was hashed and matched the manifest.',
  fell_over bigint COMMENT 'Objects that were bad at one replica and read from another.',
  problems bigint COMMENT 'Entries that a person should look at.',
  date date
)
COMMENT 'One row per restore.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/restores', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'restores', 'ADD');

-- One row per object that a heal or a reader found missing or wrong at a replica, and what came of it.
CREATE TABLE IF NOT EXISTS repairs (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  replica varchar COMMENT 'Name of the replica in the configuration.',
  object varchar COMMENT 'Name of the object in the repository.',
  found varchar COMMENT '`missing`, `truncated`, `altered` or `foreign`.',
  action varchar COMMENT '`copied` (it was missing), `replaced` (the damaged one was removed and a good copy put), `refused` (it may not be removed), `removed` (removed, and the put failed), `left` (nothing was done), `none` (it was blamed before; a heal read it and it is sound).',
  source_replica varchar COMMENT 'Replica that the good copy came from.',
  method varchar COMMENT '`put`, or `provider-copy` where the service copied it by itself.',
  bytes bigint COMMENT 'Bytes put; 0 where nothing was.',
  blake3 varchar COMMENT 'BLAKE3-256 of the good copy, 64 hex digits.',
  blake3_found varchar COMMENT 'BLAKE3-256 of the damaged bytes that were read, 64 hex digits.',
  snapshot_ids array(varchar) COMMENT 'Snapshots that the object touches, as far as the keys at hand tell.',
  detail varchar COMMENT 'What was found, or why it was left.',
  error_code varchar COMMENT 'Code of docs/reference/errors.md where it could not be mended.',
  date date
)
COMMENT 'One row per object that a heal or a reader found missing or wrong at a replica, and what came of it.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/repairs', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'repairs', 'ADD');

-- What was proven of one object at one replica. A `read` has a row for each pack; a `remote` check has one where the state of an object is not what it last was (`ok` without any row).
CREATE TABLE IF NOT EXISTS proofs (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  replica varchar COMMENT 'Name of the replica in the configuration.',
  object varchar COMMENT 'Name of the object in the repository.',
  method varchar COMMENT '`read` (hashed here) or `remote` (by the checksum that the provider tells).',
  state varchar COMMENT '`ok`, `missing`, `truncated`, `altered`, `undecodable`, `unproven` or `foreign`.',
  against varchar COMMENT 'What it was compared with: `name` (its hash), `sent` (what was put), `proof` (an earlier read), `told` (what the provider told at commit), `peer` (other replicas).',
  checksum varchar COMMENT 'Of a `read`: computed from the bytes. Else as the provider told it.',
  bytes bigint COMMENT 'Its size as it was found; 0 where it is missing.',
  checked_utc timestamp(6) COMMENT 'When it was checked.',
  detail varchar COMMENT 'What was found.',
  date date
)
COMMENT 'What was proven of one object at one replica. A `read` has a row for each pack; a `remote` check has one where the state of an object is not what it last was (`ok` without any row).'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/proofs', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'proofs', 'ADD');

-- One row per snapshot and replica whenever its objects were locked, held or looked at.
CREATE TABLE IF NOT EXISTS locks (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  replica varchar COMMENT 'Name of the replica in the configuration.',
  snapshot_id varchar COMMENT 'The snapshot.',
  source_id varchar COMMENT 'The source, 32 hex digits.',
  source varchar COMMENT 'Name of the source in the configuration.',
  action varchar COMMENT '`committed` (promised by its commit record), `extended` or `checked` (as the service told of each object), `held` or `released` (a legal hold).',
  mode varchar COMMENT '`governance` or `compliance`; NULL where an object has no lock.',
  locked_until_utc timestamp(6) COMMENT 'Until when every object that the snapshot needs there is locked at least; NULL where one has no lock.',
  objects bigint COMMENT 'Objects that were looked at; 0 at a commit, which does not look at each.',
  changed bigint COMMENT 'Objects whose lock or hold was changed.',
  unlocked bigint COMMENT 'Objects without a lock.',
  held bigint COMMENT 'Objects under a legal hold.',
  error_code varchar COMMENT 'Code of docs/reference/errors.md where the replica could not be dealt with.',
  date date
)
COMMENT 'One row per snapshot and replica whenever its objects were locked, held or looked at.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/locks', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'locks', 'ADD');

-- One row per object that a prune deleted at a replica, or could not delete.
CREATE TABLE IF NOT EXISTS deletions (
  run_id varchar COMMENT 'The run that wrote the row; joins every table with `runs`.',
  recorded_utc timestamp(6) COMMENT 'When the row was written; `date` is its UTC day.',
  replica varchar COMMENT 'Name of the replica in the configuration.',
  provider varchar COMMENT '`s3`, `gcs`, `azure`, `directory` or `memory`.',
  object varchar COMMENT 'Name of the object in the repository.',
  kind varchar COMMENT 'Kind of the object; NULL for leases and plans that decide nothing any more.',
  bytes bigint COMMENT 'Its size; 0 where it was not deleted.',
  plan bigint COMMENT 'Number of the plan at that replica which condemned it.',
  rule varchar COMMENT 'The rules and reasons by which the snapshots of the plan were forgotten.',
  approvals array(varchar) COMMENT 'Hashes of the approvals that allowed the plan.',
  deleted_utc timestamp(6) COMMENT 'When the prune ended that deleted it.',
  error_code varchar COMMENT 'Code of docs/reference/errors.md where it is still there.',
  date date
)
COMMENT 'One row per object that a prune deleted at a replica, or could not delete.'
WITH (format = 'PARQUET', external_location = 's3://BUCKET/PREFIX/audit/deletions', partitioned_by = ARRAY['date']);
CALL system.sync_partition_metadata('SCHEMA', 'deletions', 'ADD');

-- One row per snapshot that was committed and read back at a quorum: what `runs` has of it. `started_utc` is when reading its source started.
CREATE OR REPLACE VIEW snapshots AS
SELECT schema_version, repository_id, run_id, engine, recorded_utc, snapshot_id, parent_snapshot_id, source_id, source,
       kind, identity, reading_utc AS started_utc, committed_utc, entries, files, bytes_total, bytes_read, bytes_new,
       bytes_stored, chunks_new, packs_new, entries_unchanged, problems, quorum, replicas_committed, facts,
       snapshot_state AS state, lacking, sequence, shrunken, needs_since, date
FROM runs
WHERE operation = 'backup' AND committed_utc IS NOT NULL AND source_id IS NOT NULL;

-- One row per object that a run made; the same bytes lie at every replica. The last 64 digits of its name are its BLAKE3.
CREATE OR REPLACE VIEW objects AS
SELECT run_id, recorded_utc, object, kind, bytes, snapshot_id, checksums, date
FROM needs
WHERE change = 'made';

-- `snapshots`, each snapshot once.
CREATE OR REPLACE VIEW snapshots_once AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY source_id, snapshot_id ORDER BY recorded_utc) AS occurrence FROM snapshots
) AS counted
WHERE occurrence = 1;

-- Each stretch of the chain of a source whose snapshots need an object: from `sequence` on, and before `until_sequence`.
CREATE OR REPLACE VIEW needs_spans AS
SELECT source_id, object, change, kind, snapshot_id, sequence, nullif(next_sequence, 0) AS until_sequence
FROM (
    SELECT source_id, object, change, kind, snapshot_id, sequence,
           lead(sequence) OVER (PARTITION BY source_id, object ORDER BY sequence) AS next_sequence
    FROM needs
) AS changes
WHERE change <> 'dropped' AND (next_sequence IS NULL OR next_sequence = 0 OR next_sequence > sequence);

-- Source -> snapshot -> copies: one row per snapshot and object that it needs or its run made. `reused`: an earlier run had made it; `replicas` committed the snapshot.
CREATE OR REPLACE VIEW lineage AS
SELECT snap.run_id AS run_id, snap.recorded_utc AS recorded_utc, snap.source_id AS source_id, snap.source AS source,
       snap.snapshot_id AS snapshot_id, snap.parent_snapshot_id AS parent_snapshot_id, span.object AS object,
       (span.snapshot_id <> snap.snapshot_id OR span.change = 'reused') AS reused,
       snap.replicas_committed AS replicas, snap.date AS date
FROM needs_spans AS span
JOIN snapshots_once AS snap ON snap.source_id = span.source_id
WHERE span.sequence >= snap.needs_since AND span.sequence <= snap.sequence
  AND (span.until_sequence IS NULL OR span.until_sequence > snap.sequence)
  AND (span.kind IS NULL OR span.kind NOT IN ('commit', 'index') OR span.snapshot_id = snap.snapshot_id);

-- The latest word on each object at each replica.
CREATE OR REPLACE VIEW copies_now AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY object, replica ORDER BY recorded_utc DESC) AS occurrence FROM copies
) AS counted
WHERE occurrence = 1;

-- The last complete snapshot of each source, in the order of their commits; `started_utc` is the moment that a restore of it brings back.
CREATE OR REPLACE VIEW last_good_backup AS
SELECT source, source_id, kind, snapshot_id, run_id, started_utc, committed_utc, quorum, replicas_committed, entries,
       bytes_total, problems, shrunken
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY source_id ORDER BY coalesce(sequence, 0) DESC, started_utc DESC, committed_utc DESC
    ) AS place
    FROM snapshots_once
    WHERE state = 'complete' OR (state IS NULL AND problems = 0)
) AS ranked
WHERE place = 1;

-- The last snapshot of each source, complete or not, and the last complete one beside it (`good_`), NULL where there is none.
CREATE OR REPLACE VIEW source_states AS
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
WHERE newest.place = 1;

-- For each snapshot and replica how many of the objects that it needs are there; `complete` when all are.
CREATE OR REPLACE VIEW copies_per_snapshot AS
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
GROUP BY needed.source, needed.source_id, needed.snapshot_id, held.replica;

-- Per UTC day and source: snapshots, bytes read, new, and stored at each replica.
CREATE OR REPLACE VIEW bytes_per_source_per_day AS
SELECT CAST(committed_utc AS DATE) AS day, source, source_id, count(*) AS snapshots, sum(bytes_read) AS bytes_read,
       sum(bytes_new) AS bytes_new, sum(bytes_stored) AS bytes_stored
FROM snapshots_once
GROUP BY CAST(committed_utc AS DATE), source, source_id;

-- What an object touches: every snapshot that needs it, and its source.
CREATE OR REPLACE VIEW object_impact AS
SELECT DISTINCT lineage.object AS object, lineage.source AS source, lineage.source_id AS source_id,
       lineage.snapshot_id AS snapshot_id, snapshots_once.committed_utc AS committed_utc
FROM lineage
LEFT JOIN snapshots_once
  ON snapshots_once.source_id = lineage.source_id AND snapshots_once.snapshot_id = lineage.snapshot_id;

-- Every damaged object that a verify found, with what it touches; one row per object, replica and snapshot.
CREATE OR REPLACE VIEW damage_impact AS
SELECT found.replica AS replica, found.object AS object, found.state AS state, found.detail AS detail,
       found.finished_utc AS found_utc, impact.source AS source, impact.source_id AS source_id,
       impact.snapshot_id AS snapshot_id, impact.committed_utc AS committed_utc
FROM (SELECT * FROM checks WHERE object IS NOT NULL) AS found
LEFT JOIN object_impact AS impact ON impact.object = found.object;

-- The latest word on how long each snapshot is locked at each replica.
CREATE OR REPLACE VIEW locks_now AS
SELECT replica, snapshot_id, source, source_id, action, mode, locked_until_utc, objects, unlocked, held, recorded_utc,
       run_id
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY replica, source_id, snapshot_id ORDER BY recorded_utc DESC
    ) AS occurrence FROM locks
    WHERE error_code IS NULL
) AS counted
WHERE occurrence = 1;

-- What was found wrong at a replica and is not mended by the latest word on it; foreign objects are left out.
CREATE OR REPLACE VIEW repairs_open AS
SELECT replica, object, found, action, detail, error_code, snapshot_ids, recorded_utc, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY replica, object ORDER BY recorded_utc DESC) AS occurrence FROM repairs
) AS counted
WHERE occurrence = 1 AND found <> 'foreign' AND action IN ('refused', 'removed', 'left');

-- The last check of each replica by each method.
CREATE OR REPLACE VIEW checks_now AS
SELECT replica, method, state, started_utc, finished_utc, objects_checked, damaged, proven, unproven, unrecorded,
       foreign_objects, bytes_read, read_data_percent, oldest_read_utc, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY replica, method ORDER BY finished_utc DESC) AS occurrence
    FROM checks WHERE object IS NULL AND method IS NOT NULL
) AS counted
WHERE occurrence = 1;

-- The last row of each object at each replica by each method.
CREATE OR REPLACE VIEW proofs_now AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY object, replica, method ORDER BY checked_utc DESC) AS occurrence
    FROM proofs
) AS counted
WHERE occurrence = 1;

-- Per object and replica that acknowledged it: when it was last read and last checked by its checksum, and how it was found; `proven_utc` is the later of the two where it was sound, NULL where it never was proven.
CREATE OR REPLACE VIEW object_proofs AS
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
) AS joined;

-- Per replica: packs acknowledged, never read, not proven by any means, and since when each of the others was.
CREATE OR REPLACE VIEW replica_proofs AS
SELECT replica, count(*) AS packs, sum(CASE WHEN read_utc IS NULL THEN 1 ELSE 0 END) AS never_read,
       sum(CASE WHEN proven_utc IS NULL THEN 1 ELSE 0 END) AS never_proven,
       min(coalesce(read_utc, acknowledged_utc)) AS oldest_read_utc, min(proven_utc) AS oldest_proof_utc
FROM (SELECT * FROM object_proofs WHERE object LIKE 'packs/%') AS packs
GROUP BY replica;
