"""SQL over the audit tables of a replica, and the few questions that other commands ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.unlock import Need
from farshore.audit import questions
from farshore.audit.cached_query import query_replica
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import (
    TABLE_ERRORS,
    BucketNotFound,
    FarshoreError,
    ObjectCorrupt,
    ObjectNotFound,
    StoreDenied,
    StorePaused,
    StoreUnavailable,
)
from farshore.extras import require_extra
from farshore.model import dataclass
from farshore.replicas import OnWait, unasked_error, wait_quietly
from farshore.replicas.repository import Repository, no_such_replica

_NOT_FROM_HERE = (StoreUnavailable, StorePaused, StoreDenied, BucketNotFound, ObjectCorrupt, ObjectNotFound)


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
    unused: int = 0  # audit files of these tables there that nobody sealed with the right to such rows


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

    Needs no key: the tables are not sealed, and who may have signed their chain the owner log says.

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
    with open_tables(config, replica, on_wait=on_wait, clock=clock) as repository:
        return _first_answer(repository, sql, list(repository.configured), _NOT_FROM_HERE, engine=engine, failed=failed)


def open_tables(
    config: Config, replica: str | None = None, *, on_wait: OnWait = wait_quietly, clock: Clock
) -> Repository:
    """Open the replicas, or one, to ask for audit rows: the owner log says which count, and needs no key.

    Raises:
        FarshoreError: As `open_repository`.
    """
    chosen = config if replica is None else replace(config, replicas={replica: config.replicas[replica]})
    return open_repository(chosen, need=Need.NONE, writes=Writes.NONE, patient=False, on_wait=on_wait, clock=clock)


def _first_answer(
    repository: Repository,
    sql: str,
    replicas: Sequence[str],
    passed_over: tuple[type[FarshoreError], ...],
    *,
    engine: str = "duckdb",
    failed: dict[str, FarshoreError],
) -> QueryResult:
    """Answer from the first of these replicas that can.

    The bound on silence is on the first answer of a replica. Fetching its tables and running the statement, which may
    need minutes, has none but the time-outs of each request.

    Args:
        passed_over: The next replica is asked after these errors of one that had answered.
        failed: Filled with the replicas that were asked in vain, and why.
    """
    for name in replicas:
        if name not in repository.replicas:
            failed[name] = repository.unreachable[name]
            continue
        try:
            table = query_replica(repository, repository.replicas[name], sql, engine=engine)
        except passed_over as error:
            failed[name] = error
            continue
        return QueryResult(tuple(table.columns), list(table.rows), name, table.unused)
    raise unasked_error(failed)


def last_checks(repository: Repository, replicas: Sequence[str]) -> dict[str, LastChecks]:
    """Return for each replica when it was last verified, how, and whether it was clean; empty where nothing is known.

    The rows of all replicas are alike, so the first that can be read answers for all.
    """
    found: dict[str, LastChecks] = {}
    for replica, checked_utc, clean, *moments, mended, method in _known_rows(
        repository, questions.LAST_CHECKS, replicas
    ):
        if isinstance(checked_utc, datetime):
            remote, read, since = (one if isinstance(one, datetime) else None for one in moments)
            found[str(replica)] = LastChecks(checked_utc, bool(clean), remote, read, since, bool(mended), str(method))
    return found


def locked_until(repository: Repository, replicas: Sequence[str]) -> dict[str, datetime]:
    """Return for each replica until when it keeps at least one snapshot of each source; empty where nothing is known.

    Read from the audit tables, so no key is needed and no store is asked for a lock.
    """
    rows = _known_rows(repository, questions.LOCKED_UNTIL, replicas)
    return {str(replica): until for replica, until in rows if isinstance(until, datetime)}


def _known_rows(repository: Repository, sql: str, replicas: Sequence[str]) -> list[tuple[object, ...]]:
    """Return the answer of the first of these replicas whose tables are whole; no row where there is none."""
    chosen = [name for name in replicas if name in repository.replicas]
    try:
        require_extra("sql")
        return _first_answer(repository, sql, chosen, (FarshoreError,), failed={}).rows
    except TABLE_ERRORS:
        return []
