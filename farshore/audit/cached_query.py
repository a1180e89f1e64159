"""Questions to the audit tables of the replicas of an open repository, whatever state this host's cache is in.

Fetching files from a replica has a bound on its silence; the SQL engine, which works on the local copy, has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farshore.audit.chain import Authority
from farshore.audit.engines import QueryTable
from farshore.audit.query import TablesAt, fetch, query
from farshore.errors import TABLE_ERRORS, ConfigInvalid, FarshoreError, StoreFull
from farshore.host_resources import CACHE, temporary_instead
from farshore.replicas import ask_first
from farshore.replicas.repository import Replica, Repository

_CACHE_UNUSABLE = (StoreFull, ConfigInvalid)  # of the cache alone: what is only asked fills no store


def query_replica(
    repository: Repository, replica: Replica, sql: str, *, fetched: bool = False, engine: str = "duckdb"
) -> QueryTable:
    """Answer one reading statement. Where the cache cannot be used, a temporary one serves until the end.

    Raises:
        FarshoreError: As `query` raises; `StoreFull` and `ConfigInvalid` only where there can be no temporary cache.
    """
    try:
        return _ask(repository, replica, sql, fetched=fetched, engine=engine)
    except _CACHE_UNUSABLE as trouble:
        _use_temporary_cache(repository, trouble)
    return _ask(repository, replica, sql, engine=engine)


def query_first(
    repository: Repository, names: Iterable[str], statements: Sequence[str]
) -> tuple[str, list[QueryTable]] | None:
    """Answer statements of ours from the first of these replicas that gives the tables whole; None where none does.

    The rows of all replicas are alike. The next one is asked when all before failed, or the last was silent.
    """
    left = list(names)
    while left:
        name, _, failed = ask_first(
            left, lambda one: _fetch(repository, one, statements), clock=repository.clock,
            alive=lambda one: repository.replica(one).life_sign(), first_bug=repository.first_bug,
        )  # fmt: skip
        unusable = next((error for error in failed.values() if isinstance(error, _CACHE_UNUSABLE)), None)
        if name is None and unusable is not None:  # the cache holds nothing, so `query_replica` takes another one
            name = next(one for one, error in failed.items() if error is unusable)
        if name is None:
            return None
        replica = repository.replica(name)
        try:
            return name, [query_replica(repository, replica, sql, fetched=unusable is None) for sql in statements]
        except TABLE_ERRORS:
            left = [one for one in left if one != name and one not in failed]
    return None


def ask_rows(repository: Repository, replica: str, sql: str) -> Sequence[Sequence[object]] | None:
    """Return rows of the audit tables of one replica; None where they cannot be read, or it is silent."""
    asked = query_first(repository, [replica], [sql])
    return asked[1][0].rows if asked else None


def query_all(repository: Repository, sql: str) -> dict[str, QueryTable]:
    """Answer one statement of ours from each replica that gives the tables whole, by name."""
    _, failed = repository.ask_all(lambda replica: _fetch(repository, replica.name, [sql]))
    found: dict[str, QueryTable] = {}
    for name, replica in repository.replicas.items():
        if name in failed and not isinstance(failed[name], _CACHE_UNUSABLE):
            continue
        try:
            found[name] = query_replica(repository, replica, sql, fetched=name not in failed)
        except TABLE_ERRORS:
            continue
    return found


def tables_at(repository: Repository, replica: Replica) -> TablesAt:
    """Return the audit tables of a replica, with what the owner log of the repository says."""
    authority = Authority(repository.trust, repository.header.fingerprint)
    return TablesAt(replica.store, repository.cache_dir, repository.repository_id, replica.name, authority)


def is_anywhere(repository: Repository, name: str) -> bool:
    """Whether some replica has an object now: one that was put while replicas were listed looks lost in the lists."""
    found, _ = repository.ask_all(lambda replica: replica.store.head(name))
    return bool(found)


def _fetch(repository: Repository, name: str, statements: Sequence[str]) -> None:
    fetch(tables_at(repository, repository.replica(name)), statements)


def _use_temporary_cache(repository: Repository, trouble: FarshoreError) -> None:
    repository.cache_dir = repository.resources.enter_context(temporary_instead(CACHE, trouble))


def _ask(
    repository: Repository, replica: Replica, sql: str, *, fetched: bool = False, engine: str = "duckdb"
) -> QueryTable:
    return query(tables_at(repository, replica), sql, fetched=fetched, engine=engine)
