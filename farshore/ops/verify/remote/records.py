"""The size and checksums that every object must have by the audit tables, in order of name, and its replicas.

The tables are plain Parquet, so no key is needed. Their files are fetched once and kept: of a million packs about as
much as one hundred of them hold (decision 0010).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from farshore import limits
from farshore.audit import names as audit_names
from farshore.audit import questions
from farshore.audit.cached_query import query_first
from farshore.audit.query import stream
from farshore.extras import require_extra
from farshore.model import dataclass
from farshore.replicas.repository import Replica, Repository


@dataclass(frozen=True, slots=True)
class Recorded:
    """The rows about one object. Texts `algorithm:hex`; replicas by name.

    `sent`: of the bytes before they left. `proof`: of bytes that were read back and hashed. `reported`: the checksum
    each replica gave at commit, empty where it gave none. `expected`: replicas that acknowledged it, with whether the
    provider made that copy by itself. `states`: the finding of the last check by checksums where that was not `ok`.
    """

    name: str
    bytes: int | None
    sent: tuple[str, ...] = ()
    proof: tuple[str, ...] = ()
    expected: Mapping[str, bool] | None = None
    reported: Mapping[str, str] | None = None
    states: Mapping[str, str] | None = None

    @property
    def made(self) -> bool:
        """Whether a row says that a run made it, or that a replica acknowledged it."""
        return self.bytes is not None or bool(self.expected)

    def last_state(self, replica: str) -> str:
        """Return the finding of the last check by checksums at a replica; `ok` without any row."""
        return self.states.get(replica, "ok") if self.states else "ok"


def choose_tables(repository: Repository) -> Sequence[Replica]:
    """Return the replicas in the order in which to ask for the rows: those with the most audit files first.

    The rows of all are alike, and a listing that leaves audit files out would leave out what must be there.
    """
    counts, _ = repository.ask_all(lambda replica: sum(1 for _ in replica.store.list(audit_names.AUDIT)))
    return [repository.replicas[name] for name in sorted(counts, key=lambda name: -counts[name]) if counts[name]]


@dataclass(frozen=True, slots=True)
class Tables:
    """The replica whose tables are read, and how many objects they have."""

    replica: str
    objects: int


def fetch_tables(repository: Repository) -> Tables | None:
    """Fetch the tables of recorded objects; return their replica, None where no replica has them whole.

    Called before anything is listed: an object is put before its row, so it must be in a later listing.

    Raises:
        ExtraMissing: DuckDB is not installed.
    """
    require_extra("sql")  # else every replica's tables would be called unreadable
    chosen = [replica.name for replica in choose_tables(repository)]
    asked = query_first(repository, chosen, [questions.OBJECTS_RECORDED])
    return Tables(asked[0], int(str(asked[1][0].rows[0][0]))) if asked else None


def read_records(repository: Repository, tables: Tables | None) -> Iterator[Recorded]:
    """Yield the rows about each object, in order of name; nothing where there are no tables."""
    if tables is None:
        return
    for sql in questions.object_records(tables.objects):
        batches = stream(
            repository.cache_dir, sql, repository_id=repository.repository_id, replica=tables.replica,
            rows_max=limits.SCRUB_BATCH_OBJECTS,
        )  # fmt: skip
        with closing(batches):
            for batch in batches:
                yield from (_recorded(*row) for row in batch)


def _recorded(name: Any, size: Any, sent: Any, proof: Any, copies: Any, states: Any) -> Recorded:
    rows: list[dict[str, Any]] = copies or []
    return Recorded(
        name=name,
        bytes=size,
        sent=tuple(sent or ()),
        proof=tuple(proof or ()),
        expected={one["replica"]: one["within"] for one in rows},
        reported={one["replica"]: one["reported"] for one in rows if one["reported"]},
        states={one["replica"]: one["state"] for one in states or ()},
    )
