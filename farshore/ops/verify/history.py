"""What the audit tables tell of earlier readings of a replica."""

from __future__ import annotations

from datetime import datetime

from farshore.audit import questions
from farshore.audit.cached_query import query_replica
from farshore.errors import FarshoreError
from farshore.ops.verify.rotation import History
from farshore.replicas.repository import Repository


def read_history(repository: Repository, replica: str) -> History | None:
    """Return what was read at a replica, from its own tables or else from another's, whose rows are alike.

    None where no replica's tables can be read: then nothing is known, which is not the same as nothing was read.
    """
    others = [one for name, one in repository.replicas.items() if name != replica]
    for source in [repository.replica(replica), *others]:

        def ask(sql: str, at: str = source.name) -> list[tuple[object, ...]]:
            return query_replica(repository, repository.replica(at), sql).rows

        try:
            return _history(
                ask(questions.last_reads(replica)), ask(questions.reading_runs(replica)),
                ask(questions.not_sound(replica)),
            )  # fmt: skip
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
