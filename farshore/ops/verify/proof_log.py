"""Reading content in a rotation: the packs a run reads, the rows it keeps of them, and how long ago all were read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from farshore import limits
from farshore.audit.rows import AuditRow
from farshore.check_results import ReplicaReading, Rotation
from farshore.clock import Clock
from farshore.format import names
from farshore.ops.verify.findings import ReplicaCheck
from farshore.ops.verify.rotation import History, plan_partition, plan_sample, runs_for
from farshore.replicas.repository import Repository

FULL = 100.0
_DAY_S = 86_400


@dataclass(frozen=True)
class ReadingPlan:
    """The packs that one run reads at one replica. `put_utc` has every pack that is listed there."""

    packs: list[str]
    put_utc: Mapping[str, datetime | None]
    history: History = field(default_factory=History)
    rotation: Rotation = Rotation.OLDEST_FIRST


def choose_packs(repository: Repository, check: ReplicaCheck, percent: float, clock: Clock) -> ReadingPlan:
    """Return the packs to read of those that a replica lists: all of them, none, or the share whose turn it is.

    Of packs that no snapshot needs a bounded number is among them, because anybody may have put them.
    """
    listed = [name for name in check.sizes if names.parse_pack(name)]
    needed: set[str] = set()
    many = len(listed) > limits.UNKNOWN_OBJECTS_MAX or sum(map(check.bytes_of, listed)) > limits.UNNEEDED_READ_BYTES_MAX
    if percent > 0 and many:
        for needs in check.needs.values():
            needed.update(names.pack(pack.pack_id) for pack in needs.packs)
        listed = check.choose(listed, needed)
    put_utc = {name: check.put_utc.get(name) for name in listed if name not in check.archived}  # not readable now
    if percent >= FULL or not put_utc:
        return ReadingPlan(sorted(put_utc), put_utc)
    if percent <= 0:
        return ReadingPlan([], put_utc)
    from farshore.ops.verify.history import read_history

    history = read_history(repository, check.replica.name)
    if history is None:
        day = math.floor(clock.now_utc().timestamp() / _DAY_S)
        return ReadingPlan(plan_partition(put_utc, percent, day), put_utc, rotation=Rotation.BY_NAME)
    return ReadingPlan(plan_sample(put_utc, history, percent), put_utc, history)


def reading_of(plan: ReadingPlan, replica: str, percent: float, started_utc: datetime) -> ReplicaReading:
    """Return the share that a run read, once it has read it, and how long ago the rest was read."""
    now_read = set(plan.packs)
    last_read = plan.history.last_read
    rest = [name for name in plan.put_utc if name not in now_read]
    never = [name for name in rest if name not in last_read]
    reads = [last_read[name] for name in rest if name in last_read]
    puts = [moment for name in never if (moment := plan.put_utc[name])]
    if now_read:
        reads.append(started_utc)
    return ReplicaReading(
        replica=replica,
        packs=len(plan.put_utc),
        packs_read=len(now_read),
        packs_never_read=len(never),
        oldest_read_utc=min(reads, default=None),
        oldest_put_utc=min(puts, default=None),
        runs_for_all=runs_for(percent),
        rotation=plan.rotation,
    )


def all_read_since(reading: ReplicaReading | None) -> datetime | None:
    """Return since when every pack of a replica was read, or put; None where that is not known."""
    if reading is None or reading.rotation is not Rotation.OLDEST_FIRST or reading.packs_archived:
        return None
    moments = [moment for moment in (reading.oldest_read_utc, reading.oldest_put_utc) if moment]
    if reading.packs_never_read and reading.oldest_put_utc is None:
        moments.append(datetime(1970, 1, 1, tzinfo=UTC))  # the replica gives no times: since an unknown moment
    return min(moments, default=None)


class ProofKeeper:
    """Collects the rows of one replica's proofs and writes them in bounded batches. One thread.

    Args:
        write: Writes rows to the audit tables.
    """

    def __init__(self, write: Callable[[list[AuditRow]], object]) -> None:
        self._write = write
        self._rows: list[AuditRow] = []

    def add(self, row: AuditRow) -> None:
        """Keep one row; write the batch when it is full."""
        self._rows.append(row)
        if len(self._rows) >= limits.PROOF_ROWS_MAX:
            self.flush()

    def flush(self) -> None:
        """Write the kept rows. An interrupted run then goes on where it stopped."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._write(rows)
