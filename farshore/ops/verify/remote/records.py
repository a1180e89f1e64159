"""What the audit tables say every object must be, in order of name, and where it must lie.

The tables are plain Parquet, so no key is needed. Their files are fetched once and kept: of a million packs about as
much as one hundred of them hold (decision 0010).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from farshore import limits
from farshore.audit import names as audit_names
from farshore.audit.cached_query import query_replica
from farshore.audit.query import stream
from farshore.errors import FarshoreError
from farshore.extras import require_extra
from farshore.format import names
from farshore.replicas.repository import Replica, Repository

_SLICES_MAX = 256  # of packs, by the first two digits of their ids


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the rows tell of one object. Texts `algorithm:hex`; replicas by name.

    `sent`: of the bytes before they left. `proof`: of bytes that were read back and hashed. `told`: what each replica
    told at commit, empty where it told none. `expected`: replicas that acknowledged it, with whether the provider made
    that copy by itself. `states`: what the last check by checksums found where that was not `ok`.
    """

    name: str
    bytes: int | None
    sent: tuple[str, ...] = ()
    proof: tuple[str, ...] = ()
    expected: Mapping[str, bool] | None = None
    told: Mapping[str, str] | None = None
    states: Mapping[str, str] | None = None

    @property
    def made(self) -> bool:
        """Whether a row tells that a run made it, or that a replica acknowledged it."""
        return self.bytes is not None or bool(self.expected)

    def last_state(self, replica: str) -> str:
        """Return what the last check by checksums found at a replica; `ok` without any row."""
        return self.states.get(replica, "ok") if self.states else "ok"


# One row per object that a run made or a replica acknowledged, in order of name by code point. Text that is no row of
# ours is not trusted to be in order either: DuckDB sorts it.
_RECORDS = """
WITH made AS (
    SELECT object, max(bytes) AS bytes, list_distinct(flatten(list(checksums))) AS sent
    FROM objects WHERE {slice} GROUP BY object
), words AS (
    SELECT object, replica, state, checksum, false AS within, recorded_utc FROM copies WHERE {slice}
    UNION ALL
    SELECT object, replica, 'acknowledged', NULL, method = 'provider-copy', recorded_utc FROM repairs
    WHERE action IN ('copied', 'replaced') AND {slice}
), held AS (
    SELECT object, list({{'replica': replica, 'within': within, 'told': told}}) AS copies
    FROM (
        SELECT object, replica, max_by(state, recorded_utc) AS state, max_by(checksum, recorded_utc) AS told,
               coalesce(bool_or(within), false) AS within
        FROM words GROUP BY object, replica
    ) AS latest
    WHERE state = 'acknowledged' GROUP BY object
), proven AS (
    SELECT object, list(DISTINCT checksum) AS proof FROM proofs
    WHERE method = 'read' AND state = 'ok' AND checksum IS NOT NULL AND {slice} GROUP BY object
), judged AS (
    SELECT object, list({{'replica': replica, 'state': state}}) AS states
    FROM (
        SELECT object, replica, max_by(state, checked_utc) AS state FROM proofs WHERE method = 'remote' AND {slice}
        GROUP BY object, replica
    ) AS last
    WHERE state <> 'ok' GROUP BY object
)
SELECT object, bytes, sent, proof, copies, states
FROM made FULL JOIN held USING (object) FULL JOIN judged USING (object) LEFT JOIN proven USING (object)
ORDER BY object
"""


def choose_tables(repository: Repository) -> Sequence[Replica]:
    """Return the replicas in the order in which to ask for the rows: those with the most audit files first.

    The rows of all are alike, and a listing that leaves audit files out would leave out what must be there.
    """
    counts: dict[str, int] = {}
    for name, replica in repository.replicas.items():
        try:
            counts[name] = sum(1 for _ in replica.store.list(audit_names.AUDIT))
        except FarshoreError:
            counts[name] = -1
    chosen = sorted(repository.replicas.values(), key=lambda one: -counts[one.name])
    return [one for one in chosen if counts[one.name] > 0]


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the rows come from, and how many there are of objects."""

    replica: str
    objects: int


def fetch_tables(repository: Repository) -> Tables | None:
    """Fetch the tables that tell what must be; return where they come from, None where no replica has them whole.

    Called before anything is listed: what a row tells of was put before the row, so it must be in a later listing.

    Raises:
        ExtraMissing: DuckDB is not installed.
    """
    require_extra("sql")  # else every replica's tables would be called unreadable
    for replica in choose_tables(repository):
        try:
            rows = query_replica(repository, replica, _ANY).rows
        except FarshoreError:
            continue
        return Tables(replica.name, int(str(rows[0][0])))
    return None


_ANY = """
SELECT (SELECT count(*) FROM objects) + 0 * (SELECT count(*) FROM copies) + 0 * (SELECT count(*) FROM proofs)
     + 0 * (SELECT count(*) FROM repairs)
"""


def read_records(repository: Repository, tables: Tables | None) -> Iterator[Recorded]:
    """Yield what the rows tell, in order of name; nothing where there are no tables.

    One slice of the names after the other, because grouping and sorting a million objects at once takes over a GiB.
    """
    if tables is None:
        return
    for condition in slices(tables.objects):
        batches = stream(
            repository.cache_dir, _RECORDS.format(slice=condition), repository_id=repository.repository_id,
            replica=tables.replica, rows_max=limits.SCRUB_BATCH_OBJECTS,
        )  # fmt: skip
        with closing(batches):
            for batch in batches:
                yield from (_recorded(*row) for row in batch)


def slices(objects: int) -> list[str]:
    """Return conditions on names that, one after the other, take all of them in order; packs are spread evenly."""
    parts = min(max(-(-objects // limits.SCRUB_SLICE_OBJECTS), 1), _SLICES_MAX)
    bounds = [f"{names.PACKS}{number * _SLICES_MAX // parts:02x}" for number in range(1, parts)]
    lower = ["", *(f"object >= '{bound}'" for bound in bounds)]
    upper = [*(f"object < '{bound}'" for bound in bounds), ""]
    return [" AND ".join(filter(None, pair)) or "true" for pair in zip(lower, upper, strict=True)]


def _recorded(name: Any, size: Any, sent: Any, proof: Any, copies: Any, states: Any) -> Recorded:
    held: list[dict[str, Any]] = copies or []
    return Recorded(
        name=name,
        bytes=size,
        sent=tuple(sent or ()),
        proof=tuple(proof or ()),
        expected={one["replica"]: one["within"] for one in held},
        told={one["replica"]: one["told"] for one in held if one["told"]},
        states={one["replica"]: one["state"] for one in states or ()},
    )
