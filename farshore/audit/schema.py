"""The audit tables as data: their columns, types and meaning. Pure; docs, DDL and the Parquet schema derive from it.

The types are those that every engine reads alike: no unsigned integers, no nanosecond times, no maps, no dictionaries.
The partition column `date` is in the name of the file alone and is a DATE in every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A plain type."""

    TEXT = "text"
    INT64 = "int64"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"  # microseconds, UTC


@dataclass(frozen=True, slots=True)
class Struct:
    """Named plain fields."""

    fields: tuple[tuple[str, Kind], ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """Any number of one type; never NULL inside."""

    element: Kind | Struct


ColumnType = Kind | ListOf


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `nullable` text is NULL where a row has the empty text.

    Descriptions go into DDL as they are: no apostrophe, and at most 255 characters, the limit of AWS Glue.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table."""

    name: str
    description: str
    columns: tuple[Column, ...]


PARTITION_COLUMN = "date"

_TEXTS = ListOf(Kind.TEXT)
_FACTS = ListOf(Struct((("key", Kind.TEXT), ("value", Kind.TEXT))))
_PARTS = ListOf(
    Struct(
        (
            ("replica", Kind.TEXT),
            ("state", Kind.TEXT),
            ("bytes_sent", Kind.INT64),
            ("objects_sent", Kind.INT64),
            ("requests", Kind.INT64),
            ("error_code", Kind.TEXT),
            ("error", Kind.TEXT),
        )
    )
)

# The recorder knows these for all rows of a file; a row itself does not hold them.
STAMP_COLUMNS = ("repository_id", "recorded_utc", "schema_version")

# Few, because a column costs more bytes than its value in the file of a run: `runs` says the rest, once a run.
_COMMON = (
    Column("run_id", Kind.TEXT, "The run that wrote the row; joins every table with `runs`."),
    Column("recorded_utc", Kind.TIMESTAMP, "When the row was written; `date` is its UTC day."),
)


def _table(name: str, description: str, *columns: Column) -> TableSchema:
    return TableSchema(name, description, _COMMON + columns)


# Of the snapshot that a backup made; NULL in every other row. The view `snapshots` has them as columns of its own.
_MADE = (
    Column("parent_snapshot_id", Kind.TEXT, "The snapshot that it follows; NULL for a first one.", nullable=True),
    Column("kind", Kind.TEXT, "Kind of source: `directory`, `sqlite`, `postgres`.", nullable=True),
    Column(
        "reading_utc",
        Kind.TIMESTAMP,
        "When reading the source started: the snapshot shows no later state.",
        nullable=True,
    ),
    Column("committed_utc", Kind.TIMESTAMP, "When it was committed.", nullable=True),
    Column("entries", Kind.INT64, "Names in it.", nullable=True),
    Column("files", Kind.INT64, "Regular files in it.", nullable=True),
    Column("bytes_total", Kind.INT64, "Logical size of all its files.", nullable=True),
    Column("bytes_read", Kind.INT64, "Bytes read from the source by this run.", nullable=True),
    Column("bytes_new", Kind.INT64, "Plain bytes of chunks that the repository did not hold.", nullable=True),
    Column("bytes_stored", Kind.INT64, "Bytes of objects made by this run, at each replica.", nullable=True),
    Column("chunks_new", Kind.INT64, "Chunks that the repository did not hold.", nullable=True),
    Column("packs_new", Kind.INT64, "Packs made by this run.", nullable=True),
    Column("entries_unchanged", Kind.INT64, "Entries that were not read again.", nullable=True),
    Column("quorum", Kind.INT64, "Replicas that had to hold it before it counted.", nullable=True),
    Column("replicas_committed", _TEXTS, "Replicas that held it when the run ended.", nullable=True),
    Column(
        "facts", _FACTS, "What the source tells of itself, such as a server version or a log position.", nullable=True
    ),
    Column(
        "snapshot_state",
        Kind.TEXT,
        "`complete`, or `incomplete`: it lacks something that its source had.",
        nullable=True,
    ),
    Column("lacking", Kind.INT64, "Problems that leave something out.", nullable=True),
    Column("sequence", Kind.INT64, "Its place among the snapshots of its source.", nullable=True),
    Column(
        "shrunken",
        Kind.BOOL,
        "Whether entries or bytes were below half of those of the last complete snapshot.",
        nullable=True,
    ),
    Column(
        "needs_since",
        Kind.INT64,
        "Its needs are the rows of `needs` of its source from this place of the chain to its own.",
        nullable=True,
    ),
)
MADE_COLUMNS = frozenset(column.name for column in _MADE)

_RUNS = _table(
    "runs",
    "One row per run of one operation, whether it ended well or not; of a backup also the snapshot that it made.",
    Column(
        "schema_version",
        Kind.INT64,
        "Version of the columns: 3. Later ones only add columns, which earlier files lack.",
    ),
    Column("repository_id", Kind.TEXT, "The repository, 32 hex digits."),
    Column("engine", Kind.TEXT, "What conducted the run: `cli` or `prefect`."),
    Column(
        "operation",
        Kind.TEXT,
        "`init`, `backup`, `restore`, `verify`, `heal`, `retire`, `prune`, `fold` or `rewrite`.",
    ),
    Column("state", Kind.TEXT, "`completed`, `completed-with-warnings` or `failed`."),
    Column("started_utc", Kind.TIMESTAMP, "When the run started."),
    Column("finished_utc", Kind.TIMESTAMP, "When the run ended."),
    Column("duration_s", Kind.DOUBLE, "Seconds from start to end."),
    Column("source_id", Kind.TEXT, "The source, 32 hex digits; NULL where the run is of no one source.", nullable=True),
    Column("source", Kind.TEXT, "Name of the source in the configuration.", nullable=True),
    Column("snapshot_id", Kind.TEXT, "The snapshot that the run made or read.", nullable=True),
    Column("identity", Kind.TEXT, "Scheduled moment or event id; NULL for a run asked for by hand.", nullable=True),
    Column("attempt", Kind.INT64, "1 for the first attempt at the same identity."),
    Column("flow_run_id", Kind.TEXT, "Id of the run at the orchestrator.", nullable=True),
    Column("error_code", Kind.TEXT, "Code of docs/reference/errors.md; NULL unless the run failed.", nullable=True),
    Column(
        "error",
        Kind.TEXT,
        "The message of the error; NULL for errors that may name files of a source, unless `audit.paths` is set.",
        nullable=True,
    ),
    Column("problems", Kind.INT64, "Entries that a person should look at."),
    Column("host", Kind.TEXT, "Name of the machine that ran it.", nullable=True),
    Column("version", Kind.TEXT, "Version of Farshore that ran it.", nullable=True),
    Column(
        "replicas",
        _PARTS,
        "What each replica did. `state`: `committed`, `left-behind`, `created`, `read`, `checked`, `level`, "
        "`behind`, `retired`, `pruned`, `waiting` or `failed`; `requests` counts all requests to it; `error_code` and "
        "`error` say why not and are empty otherwise.",
    ),
    Column(
        "replaces",
        Kind.TEXT,
        "Of a rewrite: the snapshot in whose place it made this one; NULL in every other row.",
        nullable=True,
    ),
    *_MADE,
)

_NEEDS = _table(
    "needs",
    "What the needs of a snapshot changed: one row per object that its run made, or that it needs and the snapshot "
    "before did not, or the other way round.",
    Column("object", Kind.TEXT, "Name of the object in the repository."),
    Column(
        "change",
        Kind.TEXT,
        "`made` (by this run), `reused` (an earlier run had made it, and the snapshot before did not need it) or "
        "`dropped` (the snapshot before needed it, and this one does not).",
    ),
    Column(
        "kind",
        Kind.TEXT,
        "Of `made`: `pack`, `index`, `manifest`, `needs`, `pages`, `commit` or `data-key`.",
        nullable=True,
    ),
    Column("bytes", Kind.INT64, "Of `made`: its size.", nullable=True),
    Column("source_id", Kind.TEXT, "The source of the snapshot, 32 hex digits."),
    Column("snapshot_id", Kind.TEXT, "The snapshot."),
    Column("sequence", Kind.INT64, "The place of the snapshot among those of its source."),
    Column(
        "checksums",
        _TEXTS,
        "Of `made`: what providers must tell of these bytes, `algorithm:hex`, computed before they were sent.",
        nullable=True,
    ),
)

_COPIES = _table(
    "copies",
    "One row per object and replica that it was sent to; the latest row of the two is the one that holds.",
    Column("object", Kind.TEXT, "Name of the object in the repository."),
    Column("replica", Kind.TEXT, "Name of the replica in the configuration."),
    Column("region", Kind.TEXT, "Region of the replica in the configuration.", nullable=True),
    Column("provider", Kind.TEXT, "`s3`, `gcs`, `azure`, `directory` or `memory`."),
    Column("state", Kind.TEXT, "`acknowledged`, `missing` or `failed`."),
    Column("bytes", Kind.INT64, "Its size."),
    Column("checksum", Kind.TEXT, "As the provider gave it, or as a heal sent it, `algorithm:hex`.", nullable=True),
    Column("acknowledged_utc", Kind.TIMESTAMP, "When the provider acknowledged it.", nullable=True),
    Column("snapshot_id", Kind.TEXT, "The snapshot it was sent for.", nullable=True),
    Column("error_code", Kind.TEXT, "Code of docs/reference/errors.md where it failed.", nullable=True),
)

_CHECKS = _table(
    "checks",
    "One row per verified replica (`object` is NULL), also when nothing was found, and one per damaged object.",
    Column("check_id", Kind.TEXT, "One verify; the same in all its rows."),
    Column("replica", Kind.TEXT, "Name of the replica in the configuration."),
    Column("object", Kind.TEXT, "The damaged object; NULL in the row of the whole replica.", nullable=True),
    Column(
        "state",
        Kind.TEXT,
        "Of the replica: `ok`, `damaged`, `unreachable` or `inconclusive` (too little was seen, or no snapshot); of an "
        "object: `missing`, `truncated`, `altered` or `undecodable`.",
    ),
    Column("detail", Kind.TEXT, "What was found.", nullable=True),
    Column("snapshot_ids", _TEXTS, "Snapshots that the object touches."),
    Column("started_utc", Kind.TIMESTAMP, "When the check started."),
    Column("finished_utc", Kind.TIMESTAMP, "When the check ended."),
    Column("objects_checked", Kind.INT64, "Objects checked at the replica; 0 in the row of an object."),
    Column("damaged", Kind.INT64, "Damaged objects at the replica; 0 in the row of an object."),
    Column("bytes_read", Kind.INT64, "Bytes read from the replica; 0 in the row of an object."),
    Column("read_data_percent", Kind.DOUBLE, "Share of content that was read and hashed."),
    Column("paths_total", Kind.INT64, "Files that the object touches."),
    Column("paths", _TEXTS, "Their names, at most 1,000; NULL unless `audit.paths` is set.", nullable=True),
    Column(
        "method",
        Kind.TEXT,
        "`listed` (sizes, and small objects read), `read` (also content), `remote` (by the checksums of providers).",
        nullable=True,
    ),
    Column("proven", Kind.INT64, "Of a `remote` check: objects whose checksum is as it must be.", nullable=True),
    Column("unproven", Kind.INT64, "Of a `remote` check: objects whose content nothing told.", nullable=True),
    Column("unrecorded", Kind.INT64, "Of a `remote` check: objects of ours that no row tells of.", nullable=True),
    Column("foreign_objects", Kind.INT64, "Of a `remote` check: objects that are not ours.", nullable=True),
    Column(
        "oldest_read_utc",
        Kind.TIMESTAMP,
        "Of the row of a replica: since then every pack there was read, or put; NULL where nothing was read.",
        nullable=True,
    ),
)

_PROOFS = _table(
    "proofs",
    "What was proven of one object at one replica. A `read` has a row for each pack; a `remote` check has one where "
    "the state of an object is not what it last was (`ok` without any row).",
    Column("replica", Kind.TEXT, "Name of the replica in the configuration."),
    Column("object", Kind.TEXT, "Name of the object in the repository."),
    Column("method", Kind.TEXT, "`read` (hashed here) or `remote` (by the checksum that the provider tells)."),
    Column(
        "state",
        Kind.TEXT,
        "`ok`, `missing`, `truncated`, `altered`, `undecodable`, `unproven` or `foreign`.",
    ),
    Column(
        "against",
        Kind.TEXT,
        "What it was compared with: `name` (its hash), `sent` (what was put), `proof` (an earlier read), `told` (what "
        "the provider told at commit), `peer` (other replicas).",
        nullable=True,
    ),
    Column("checksum", Kind.TEXT, "Of a `read`: computed from the bytes. Else as the provider told it.", nullable=True),
    Column("bytes", Kind.INT64, "Its size as it was found; 0 where it is missing."),
    Column("checked_utc", Kind.TIMESTAMP, "When it was checked."),
    Column("detail", Kind.TEXT, "What was found.", nullable=True),
)

_RESTORES = _table(
    "restores",
    "One row per restore.",
    Column("snapshot_id", Kind.TEXT, "The snapshot that was restored."),
    Column("source_id", Kind.TEXT, "The source, 32 hex digits."),
    Column("source", Kind.TEXT, "Name of the source in the configuration."),
    Column(
        "target_kind",
        Kind.TEXT,
        "Kind of target: `directory`, `directory-delta` (of which only what differed was restored), `tar` or `file`.",
    ),
    Column("state", Kind.TEXT, "`completed`, `completed-with-warnings` or `failed`."),
    Column("started_utc", Kind.TIMESTAMP, "When it started."),
    Column("finished_utc", Kind.TIMESTAMP, "When it ended."),
    Column("duration_s", Kind.DOUBLE, "Seconds from start to end."),
    Column("entries", Kind.INT64, "Names restored."),
    Column("files", Kind.INT64, "Regular files restored."),
    Column("bytes_restored", Kind.INT64, "Bytes of content written."),
    Column("replicas", _TEXTS, "Replicas that objects were read from."),
    Column("verified", Kind.BOOL, "Whether every byte written was hashed and matched the manifest."),
    Column("fell_over", Kind.INT64, "Objects that were bad at one replica and read from another."),
    Column("problems", Kind.INT64, "Entries that a person should look at."),
)

_REPAIRS = _table(
    "repairs",
    "One row per object that a heal or a reader found missing or wrong at a replica, and what came of it.",
    Column("replica", Kind.TEXT, "Name of the replica in the configuration."),
    Column("object", Kind.TEXT, "Name of the object in the repository."),
    Column("found", Kind.TEXT, "`missing`, `truncated`, `altered` or `foreign`."),
    Column(
        "action",
        Kind.TEXT,
        "`copied` (it was missing), `replaced` (the damaged one was removed and a good copy put), `refused` (it may "
        "not be removed), `removed` (removed, and the put failed), `left` (nothing was done), `none` (it was blamed "
        "before; a heal read it and it is sound).",
    ),
    Column("source_replica", Kind.TEXT, "Replica that the good copy came from.", nullable=True),
    Column("method", Kind.TEXT, "`put`, or `provider-copy` where the service copied it by itself.", nullable=True),
    Column("bytes", Kind.INT64, "Bytes put; 0 where nothing was."),
    Column("blake3", Kind.TEXT, "BLAKE3-256 of the good copy, 64 hex digits.", nullable=True),
    Column("blake3_found", Kind.TEXT, "BLAKE3-256 of the damaged bytes that were read, 64 hex digits.", nullable=True),
    Column("snapshot_ids", _TEXTS, "Snapshots that the object touches, as far as the keys at hand tell."),
    Column("detail", Kind.TEXT, "What was found, or why it was left.", nullable=True),
    Column("error_code", Kind.TEXT, "Code of docs/reference/errors.md where it could not be mended.", nullable=True),
)

_LOCKS = _table(
    "locks",
    "One row per snapshot and replica whenever its objects were locked, held or looked at.",
    Column("replica", Kind.TEXT, "Name of the replica in the configuration."),
    Column("snapshot_id", Kind.TEXT, "The snapshot."),
    Column("source_id", Kind.TEXT, "The source, 32 hex digits."),
    Column("source", Kind.TEXT, "Name of the source in the configuration."),
    Column(
        "action",
        Kind.TEXT,
        "`committed` (promised by its commit record), `extended` or `checked` (as the service told of each object), "
        "`held` or `released` (a legal hold).",
    ),
    Column("mode", Kind.TEXT, "`governance` or `compliance`; NULL where an object has no lock.", nullable=True),
    Column(
        "locked_until_utc",
        Kind.TIMESTAMP,
        "Until when every object that the snapshot needs there is locked at least; NULL where one has no lock.",
        nullable=True,
    ),
    Column("objects", Kind.INT64, "Objects that were looked at; 0 at a commit, which does not look at each."),
    Column("changed", Kind.INT64, "Objects whose lock or hold was changed."),
    Column("unlocked", Kind.INT64, "Objects without a lock."),
    Column("held", Kind.INT64, "Objects under a legal hold."),
    Column(
        "error_code",
        Kind.TEXT,
        "Code of docs/reference/errors.md where the replica could not be dealt with.",
        nullable=True,
    ),
)

_DELETIONS = _table(
    "deletions",
    "One row per object that a prune deleted at a replica, or could not delete.",
    Column("replica", Kind.TEXT, "Name of the replica in the configuration."),
    Column("provider", Kind.TEXT, "`s3`, `gcs`, `azure`, `directory` or `memory`."),
    Column("object", Kind.TEXT, "Name of the object in the repository."),
    Column(
        "kind", Kind.TEXT, "Kind of the object; NULL for leases and plans that decide nothing any more.", nullable=True
    ),
    Column("bytes", Kind.INT64, "Its size; 0 where it was not deleted."),
    Column("plan", Kind.INT64, "Number of the plan at that replica which condemned it."),
    Column(
        "rule", Kind.TEXT, "The rules and reasons by which the snapshots of the plan were forgotten.", nullable=True
    ),
    Column("approvals", _TEXTS, "Hashes of the approvals that allowed the plan."),
    Column("deleted_utc", Kind.TIMESTAMP, "When the prune ended that deleted it."),
    Column("error_code", Kind.TEXT, "Code of docs/reference/errors.md where it is still there.", nullable=True),
)

TABLES: dict[str, TableSchema] = {
    table.name: table for table in (_RUNS, _NEEDS, _COPIES, _CHECKS, _RESTORES, _REPAIRS, _PROOFS, _LOCKS, _DELETIONS)
}
