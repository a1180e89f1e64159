"""Questions to the audit tables of a replica of an open repository, whatever state this host's cache is in."""

from __future__ import annotations

from farshore.audit.engines import QueryTable
from farshore.audit.query import query
from farshore.errors import ConfigInvalid, StoreFull
from farshore.host_places import CACHE
from farshore.replicas.repository import Replica, Repository
from farshore.scratch import temporary_instead


def query_replica(repository: Repository, replica: Replica, sql: str) -> QueryTable:
    """Answer one reading statement of ours. Where the cache cannot be used, a temporary one serves until the end.

    Raises:
        FarshoreError: As `query` raises; `StoreFull` and `ConfigInvalid` only where there can be no temporary cache.
    """
    try:
        return _ask(repository, replica, sql)
    except (StoreFull, ConfigInvalid) as trouble:  # of the cache alone: what is only asked fills no store
        repository.cache_dir = repository.held.enter_context(temporary_instead(CACHE, trouble))
    return _ask(repository, replica, sql)


def _ask(repository: Repository, replica: Replica, sql: str) -> QueryTable:
    return query(replica.store, repository.cache_dir, sql, repository_id=repository.repository_id, replica=replica.name)
