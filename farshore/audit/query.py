"""SQL over the audit tables of one replica, in whatever cloud it is: a local copy of its files, and an engine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from farshore.audit.cache import Synced, cache_root, drop_damaged, sync_tables
from farshore.audit.chain import UNPROVEN, Authority
from farshore.audit.engines import ENGINES, CopyUnreadable, QueryTable, run_sql, stream_duckdb
from farshore.audit.evidence import Evidence, read_evidence
from farshore.audit.schema import PARTITION_COLUMN, TABLES
from farshore.audit.seal_cache import open_seal_cache
from farshore.audit.statements import check_read_only
from farshore.audit.views import VIEWS, columns_of, tables_of
from farshore.errors import ObjectCorrupt, QueryInvalid
from farshore.stores.base import Store

_WORD = re.compile(r"\w+")
_DESCRIBED = "The page docs/reference/audit.md describes tables, columns and views."
_UNKNOWN = (  # how engines name what they do not know
    re.compile(r"Table with name \"?(\w+)\"? does not exist"),
    re.compile(r"[Rr]eferenced column \"(\w+)\" not found"),
    re.compile(r"does not have a column named \"(\w+)\""),
    re.compile(r"table '(?:\w+\.)*(\w+)' not found"),
    re.compile(r"No field named \"?(?:\w+\.)*(\w+)\"?"),
    re.compile(r"relation '(\w+)' was not found"),
    re.compile(r"unable to find column \"(\w+)\""),
    re.compile(r"no column named '(\w+)' found"),
    re.compile(r"Unknown (?:table )?expression identifier [`'](\w+)[`']"),
)


@dataclass(frozen=True, slots=True)
class TablesAt:
    """The audit tables of one replica: where they are, where they are kept here, and what decides which files count."""

    store: Store
    cache_dir: Path
    repository_id: str
    replica: str
    authority: Authority

    @property
    def root(self) -> Path:
        """The local copy.

        Raises:
            ConfigInvalid: As `cache_root`.
        """
        return cache_root(self.cache_dir, self.repository_id, self.replica)


def fetch(at: TablesAt, statements: Iterable[str]) -> None:
    """Fetch the files that `query` fetches for these statements; errors are those of the store and the cache there."""
    _sync(at, frozenset(table for sql in statements for table in _tables_named(sql)))


def query(at: TablesAt, sql: str, *, engine: str = "duckdb", fetched: bool = False) -> QueryTable:
    """Return the answer to one reading statement over the tables and views of docs/reference/audit.md.

    Only rows of files count that a seal of a certified signer names, who has the right for their table and for the
    sources that they are about; the answer says how many others there are. Fetches only files of the tables that the
    statement names and that are not in `cache_dir` yet; safe to call from many processes at once. With DuckDB the
    statement can read nothing but the audit tables of this replica.

    Args:
        fetched: `fetch` was called for this statement just now, so nothing is asked of the store.
    Raises:
        QueryInvalid: The statement is wrong, or would do more than read; the message is the engine's.
        ObjectCorrupt, ObjectNotFound: A table that the statement names has a damaged file here, or has lost one.
        ToolUnavailable, ExtraMissing: The engine is not installed.
        StoreUnavailable, StoreDenied, BucketNotFound: As the store said.
        StoreFull, ConfigInvalid: The cache directory has no space or cannot be used.
    """
    if engine not in ENGINES:
        raise QueryInvalid(f"no SQL engine is called {engine!r}", f"Choose one of: {', '.join(ENGINES)}.")
    check_read_only(sql, engine)
    tables = _tables_named(sql)
    synced = Synced(at.root, {}) if fetched else _sync(at, tables)
    try:
        return _run(engine, synced, sql, tables)
    except CopyUnreadable as error:
        # The disk spoilt the local copy since it was fetched, or its signer sealed what is no table: once more without.
        cache = open_seal_cache(at.cache_dir, at.repository_id, at.authority.fingerprint)
        if not drop_damaged(synced.root, tables, cache):
            raise _explained(str(error), sql) from error
    synced = _sync(at, tables)
    try:
        return _run(engine, synced, sql, tables)
    except CopyUnreadable as error:
        raise _explained(str(error), sql) from error


def stream(
    cache_dir: Path, sql: str, *, repository_id: str, replica: str, rows_max: int
) -> Generator[list[tuple[object, ...]], None, None]:
    """Yield the answer to one statement of ours in batches of rows; the rows of millions of objects do not fit at once.

    Asks the local copy as an earlier `query` over the same tables left it, and fetches nothing.

    Raises:
        QueryInvalid: The local copy was spoilt since; asking `query` again fetches it anew.
        ConfigInvalid: The cache directory cannot be used.
    """
    root = cache_root(cache_dir, repository_id, replica)
    try:
        yield from stream_duckdb(root, sql, _tables_named(sql), rows_max)
    except CopyUnreadable as error:
        raise _explained(str(error), sql) from error


def _sync(at: TablesAt, tables: frozenset[str]) -> Synced:
    root = at.root
    if not tables:
        return sync_tables(at.store, root, (), at.replica, None)
    evidence = _evidence(at)
    synced = sync_tables(at.store, root, tables, at.replica, evidence)
    if synced.damaged:
        again = _evidence(at)  # a fold may have replaced files since the seals were listed
        if again.counted.folded.folds.keys() - evidence.counted.folded.folds.keys():
            synced = sync_tables(at.store, root, tables, at.replica, again)
    for trouble in synced.damaged.values():
        raise trouble
    return synced


def _evidence(at: TablesAt) -> Evidence:
    """Return the evidence at a replica, all of which can be read."""
    evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority)
    if evidence.damaged:
        raise ObjectCorrupt(
            f"{evidence.damaged[0]} at replica {at.replica} is damaged, so the rows it vouched for are not known",
            "Query another replica with --replica, and run 'farshore verify' on this one.",
        )
    if evidence.counted.folded.unproven:
        seal = evidence.counted.seals[min(evidence.counted.folded.unproven)]
        raise ObjectCorrupt(
            f"{seal.name} at replica {at.replica} {UNPROVEN}",
            "Query another replica with --replica, and run 'farshore verify' on this one.",
        )
    return evidence


def _run(engine: str, synced: Synced, sql: str, tables: frozenset[str]) -> QueryTable:
    try:
        return replace(run_sql(engine, synced.root, sql, tables), unused=len(synced.unused))
    except QueryInvalid as error:
        raise _explained(error.message, sql) from error


def _tables_named(sql: str) -> frozenset[str]:
    # By word and not by parser: that holds for every dialect, and a word too many costs only a look at a listing.
    words = {word.lower() for word in _WORD.findall(sql)}
    return frozenset(table for name in words & _known_columns().keys() for table in tables_of(name))


def _known_columns() -> Mapping[str, tuple[str, ...]]:
    """Return the columns of every table and view; none of a view that selects all of another."""
    columns = {name: (*(column.name for column in table.columns), PARTITION_COLUMN) for name, table in TABLES.items()}
    return columns | {name: columns_of(name) for name in VIEWS}


def _explained(message: str, sql: str) -> QueryInvalid:
    """Return what an engine says, with the nearest table, or column of the tables that the statement names."""
    known = _known_columns()
    for pattern in _UNKNOWN:
        if match := pattern.search(message):
            named = sorted({word.lower() for word in _WORD.findall(sql)} & known.keys())
            columns = sorted({column for name in named for column in known[name]})
            near = difflib.get_close_matches(match[1].lower(), [*columns, *(() if named else sorted(known))], n=1)
            if near:
                return QueryInvalid(message, f"Did you mean {near[0]}? {_DESCRIBED}")
            if columns:
                return QueryInvalid(message, f"The columns of {' and '.join(named)} are {', '.join(columns)}.")
            return QueryInvalid(
                message, f"The tables are {', '.join(TABLES)}; {_DESCRIBED[:1].lower()}{_DESCRIBED[1:]}"
            )
    return QueryInvalid(message)
