"""Earlier readings of a replica, from the audit tables."""

from __future__ import annotations

from datetime import datetime

from farshore.audit import questions
from farshore.audit.cached_query import query_first
from farshore.ops.verify.rotation import History
from farshore.replicas.repository import Repository


def read_history(repository: Repository, replica: str) -> History | None:
    """Return the earlier reads of a replica, from its own tables or else from another's, whose rows are alike.

    None where no replica's tables can be read: then nothing is known, which is not the same as nothing was read.
    """
    asked = query_first(
        repository,
        [replica, *(name for name in repository.replicas if name != replica)],
        [questions.last_reads(replica), questions.reading_runs(replica), questions.not_sound(replica)],
    )
    return _history(*(table.rows for table in asked[1])) if asked else None


def _history(
    reads: list[tuple[object, ...]], runs: list[tuple[object, ...]], unsound: list[tuple[object, ...]]
) -> History:
    return History(
        last_read={str(name): moment for name, moment in reads if isinstance(moment, datetime)},
        runs=[(one, other) for one, other in runs if isinstance(one, datetime) and isinstance(other, datetime)],
        bad=frozenset(str(name) for (name,) in unsound),
    )
