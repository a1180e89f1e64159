"""What the audit tables tell of earlier readings of a replica."""

from __future__ import annotations

from datetime import datetime

from farshore.audit.cached_query import query_replica
from farshore.errors import FarshoreError
from farshore.ops.verify.rotation import History
from farshore.replicas.repository import Repository

_BAD = "('missing', 'truncated', 'altered', 'undecodable')"


def read_history(repository: Repository, replica: str) -> History | None:
    """Return what was read at a replica, from its own tables or else from another's, whose rows are alike.

    None where no replica's tables can be read: then nothing is known, which is not the same as nothing was read.
    """
    others = [one for name, one in repository.replicas.items() if name != replica]
    for source in [repository.replica(replica), *others]:

        def ask(sql: str, at: str = source.name) -> list[tuple[object, ...]]:
            statement = sql.format(replica=replica.replace("'", "''"))
            return query_replica(repository, repository.replica(at), statement).rows

        try:
            return _history(ask(_LAST_READS), ask(_RUNS), ask(_UNSOUND))
        except FarshoreError:
            continue
    return None


def _history(
    reads: list[tuple[object, ...]], runs: list[tuple[object, ...]], unsound: list[tuple[object, ...]]
) -> History:
    return History(
        last_read={str(name): moment for name, moment in reads if isinstance(moment, datetime)},
        runs=[(one, other) for one, other in runs if isinstance(one, datetime) and isinstance(other, datetime)],
        bad=frozenset(str(name) for (name,) in unsound),
    )


_LAST_READS = """
SELECT object, max(checked_utc) FROM proofs WHERE replica = '{replica}' AND method = 'read' GROUP BY object
"""
_RUNS = """
SELECT started_utc, finished_utc FROM checks WHERE replica = '{replica}' AND object IS NULL AND method = 'read'
"""
# A later reading that found an object sound outweighs an earlier word of a checksum, and the other way round.
_UNSOUND = f"""
SELECT object FROM (
    SELECT object, max_by(state, checked_utc) AS state FROM proofs
    WHERE replica = '{{replica}}' AND state NOT IN ('unproven', 'foreign') GROUP BY object
) AS last WHERE state IN {_BAD}
"""  # noqa: S608 - words of ours
