"""SQL over the audit tables of a replica, and the few questions that other commands ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from farshore.access.open_repository import Writes, open_with_header
from farshore.audit import questions
from farshore.audit.engines import QueryTable
from farshore.audit.query import query
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import (
    TABLE_ERRORS,
    BucketNotFound,
    ConfigInvalid,
    FarshoreError,
    StoreDenied,
    StoreFull,
    StorePaused,
    StoreUnavailable,
)
from farshore.extras import require_extra
from farshore.host_resources import CACHE, temporary_instead
from farshore.replicas.ask import OnWait, ask_first, unasked_error, wait_quietly
from farshore.replicas.repository import Replica, no_such_replica

_AWAY = (StoreUnavailable, StorePaused, StoreDenied, BucketNotFound)


@dataclass(frozen=True, slots=True)
class LastChecks:
    """When a replica was last checked, and how. Every moment is the end of a check, but for `all_read_since_utc`."""

    checked_utc: datetime
    clean: bool
    remote_utc: datetime | None  # by the checksums of its provider
    read_utc: datetime | None  # with content
    all_read_since_utc: datetime | None  # every pack was read, or put, since then
    mended: bool  # the damage that it found was mended since, as heal or a repair proved
    method: str  # of the last one: listed | read | remote


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer: column names, rows of plain Python values, and the replica it was read from."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    replica: str


def run_query(
    config: Config,
    sql: str,
    *,
    replica: str | None = None,
    engine: str = "duckdb",
    unasked: dict[str, FarshoreError] | None = None,
    on_wait: OnWait = wait_quietly,
    clock: Clock,
) -> QueryResult:
    """Answer one reading statement from a replica's audit tables: the one named, else the first that answers.

    Needs no key: the tables are not sealed, their chain is signed.

    Args:
        unasked: Filled with the replicas that were asked in vain, and why.
        on_wait: Called with the replicas that do not answer soon.

    Raises:
        QueryInvalid: The statement is wrong, or would do more than read.
        ExtraMissing: DuckDB is not installed.
        FarshoreError: No replica could be read; with the reason of each.
    """
    if engine == "duckdb":
        require_extra("sql")
    if replica is not None and replica not in config.replicas:
        raise no_such_replica(replica, config.replicas)
    failed: dict[str, FarshoreError] = {} if unasked is None else unasked
    left = [replica] if replica else list(config.replicas)
    return _first_answer(config, sql, left, _AWAY, engine=engine, failed=failed, on_wait=on_wait, clock=clock)


def _first_answer(
    config: Config,
    sql: str,
    replicas: Sequence[str],
    passed_over: tuple[type[FarshoreError], ...],
    *,
    engine: str = "duckdb",
    failed: dict[str, FarshoreError],
    on_wait: OnWait = wait_quietly,
    clock: Clock,
) -> QueryResult:
    """Answer from the first of these replicas that can.

    The bound on silence is on the first answer of a replica. Fetching its tables and running the statement, which may
    need minutes, has none but the time-outs of each request, so it is no part of `ask_first`.

    Args:
        passed_over: The next replica is asked after these errors of one that had answered.
        failed: Filled with the replicas that were asked in vain, and why.
    """
    left = list(replicas)
    while left:
        name, found, silent = ask_first(
            left,
            lambda one: open_with_header(config, config.replicas[one], clock, Writes.NONE),
            clock=clock,
            on_wait=on_wait,
        )
        failed.update(silent)
        if name is None:
            break
        opened, header = found[name]
        try:
            return _ask(config, opened, header.repository_id, sql, engine)
        except passed_over as error:
            failed[name] = error
        left = [one for one in left if one not in failed]
    raise unasked_error(failed)


def last_checks(config: Config, replicas: Sequence[str], clock: Clock) -> dict[str, LastChecks]:
    """Return for each replica when it was last verified, how, and whether it was clean; empty where nothing is known.

    The rows of all replicas are alike, so the first that can be read answers for all.
    """
    found: dict[str, LastChecks] = {}
    for replica, checked_utc, clean, *moments, mended, method in _known_rows(
        config, questions.LAST_CHECKS, replicas, clock
    ):
        if isinstance(checked_utc, datetime):
            remote, read, since = (one if isinstance(one, datetime) else None for one in moments)
            found[str(replica)] = LastChecks(checked_utc, bool(clean), remote, read, since, bool(mended), str(method))
    return found


def locked_until(config: Config, replicas: Sequence[str], clock: Clock) -> dict[str, datetime]:
    """Return for each replica until when it keeps at least one snapshot of each source; empty where nothing is known.

    Read from the audit tables, so no key is needed and no store is asked for a lock. Asks only where some replica is
    configured with a lock.
    """
    if not any(one.lock for one in config.replicas.values()):
        return {}
    rows = _known_rows(config, questions.LOCKED_UNTIL, replicas, clock)
    return {str(replica): until for replica, until in rows if isinstance(until, datetime)}


def _known_rows(config: Config, sql: str, replicas: Sequence[str], clock: Clock) -> list[tuple[object, ...]]:
    """Return the answer of the first of these replicas whose tables are whole; no row where there is none."""
    try:
        require_extra("sql")
        return _first_answer(config, sql, replicas, (FarshoreError,), failed={}, clock=clock).rows
    except TABLE_ERRORS:
        return []


def _ask(config: Config, replica: Replica, repository_id: str, sql: str, engine: str) -> QueryResult:
    def ask(cache_dir: Path) -> QueryTable:
        return query(replica.store, cache_dir, sql, repository_id=repository_id, replica=replica.name, engine=engine)

    try:
        try:
            table = ask(config.cache_dir)
        except (StoreFull, ConfigInvalid) as trouble:  # of the cache alone: reading fills no store
            with temporary_instead(CACHE, trouble) as cache_dir:
                table = ask(cache_dir)
    finally:
        replica.store.close()
    return QueryResult(tuple(table.columns), list(table.rows), replica.name)
