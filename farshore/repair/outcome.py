"""Findings and actions of a heal: values for the command line and the flow, and the audit rows of a repair.

A restore records repairs too, so nothing here loads an SQL engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from farshore.audit.rows import AuditRow, CopyRow, CopyState, RepairMethod, RepairRow
from farshore.errors import (
    BucketNotFound,
    FarshoreError,
    HealIncomplete,
    HistoryCut,
    LeaseLost,
    ReplicaEmpty,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from farshore.format import names
from farshore.model import LostSnapshot, ReplicaRequests, dataclass
from farshore.plural import count_of
from farshore.replicas.repository import Replica
from farshore.results import Found, RepairAction
from farshore.run import Run

_LASTING: tuple[type[FarshoreError], ...] = (StoreFull, StoreDenied, BucketNotFound, LeaseLost)  # no retry cures these


@dataclass(frozen=True, slots=True)
class Repair:
    """The finding and the action for one object at one replica."""

    replica: str
    object: str
    found: Found
    action: RepairAction
    source: str = ""
    method: RepairMethod = RepairMethod.NONE
    bytes: int = 0
    blake3: str = ""
    blake3_found: str = ""
    snapshots: tuple[str, ...] = ()
    detail: str = ""
    error_code: str = ""

    @property
    def mended(self) -> bool:
        """Whether the object is whole now."""
        return self.action in (RepairAction.COPIED, RepairAction.REPLACED)

    @property
    def open(self) -> bool:
        """Whether a person should look."""
        return not self.mended and self.found not in (Found.FOREIGN, Found.SOUND)


def repair_rows(one: Repair, replica: Replica, finished_utc: datetime, run: Run) -> list[AuditRow]:
    """Return the rows of one repair: finding and action, and the copy that is there now."""
    rows: list[AuditRow] = [
        RepairRow(
            replica=one.replica, object=one.object, found=one.found, action=one.action, source_replica=one.source,
            method=one.method, bytes=one.bytes, blake3=one.blake3, blake3_found=one.blake3_found,
            snapshot_ids=one.snapshots, detail=one.detail, error_code=one.error_code,
            run_id=run.run_id,
        )
    ]  # fmt: skip
    if one.mended and not one.object.startswith(names.AUDIT):
        rows.append(
            CopyRow(
                object=one.object, replica=one.replica, region=replica.region,
                provider=replica.store.capabilities.kind, state=CopyState.ACKNOWLEDGED, bytes=one.bytes,
                checksum=replica.meter.sent_checksum(one.object), acknowledged_utc=finished_utc,
                run_id=run.run_id,
            )
        )  # fmt: skip
    return rows


class HealedState(StrEnum):
    """The state of a replica after a heal."""

    IN_SYNC = "level"
    BEHIND = "behind"
    FAILED = "failed"  # it could not be looked at or changed


@dataclass(frozen=True, slots=True)
class HealedReplica:
    """The outcome of one replica."""

    replica: str
    state: HealedState
    missing: int = 0  # objects that others had and it had not, when it was listed
    bytes_missing: int = 0  # as far as sizes are known
    copied: int = 0
    replaced: int = 0
    open: int = 0  # objects that are missing or damaged still
    foreign: int = 0
    snapshots_added: int = 0
    bytes_copied: int = 0
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class HealResult:
    """The outcome of one heal over one or more replicas."""

    run_id: str
    keyless: bool
    dry_run: bool
    started_utc: datetime
    finished_utc: datetime
    replicas: tuple[HealedReplica, ...]
    repairs: tuple[Repair, ...] = ()  # at most the first 1,000, those that need a person first
    repairs_total: int = 0  # a key of --json alone
    requests: tuple[ReplicaRequests, ...] = ()
    snapshots: int = 0  # that any replica listed: with none there was nothing to compare
    lost: tuple[LostSnapshot, ...] = ()  # that no replica has any more: then none is in sync

    @property
    def in_sync(self) -> bool:
        """Whether every replica that was asked for holds everything now, whole as far as it was looked at."""
        return all(one.state is HealedState.IN_SYNC for one in self.replicas)

    @property
    def open(self) -> int:
        """Objects that are missing or damaged still."""
        return sum(one.open for one in self.replicas)

    @property
    def changed(self) -> bool:
        """Whether anything was put anywhere."""
        return any(one.copied or one.replaced for one in self.replicas)


def shown_repairs(repairs: Sequence[Repair], most: int) -> tuple[Repair, ...]:
    """Return the first repairs, those that need a person before those that do not."""
    chosen = [one for one in repairs if one.open]
    chosen = chosen[:most] + [one for one in repairs if not one.open][: max(most - len(chosen), 0)]
    return tuple(chosen)


def heal_error(result: HealResult) -> FarshoreError:
    """Return the error of a heal that left something not in sync: errors for a person before passing ones."""
    if result.lost:
        first = result.lost[0]
        return HistoryCut(f"snapshot {first.snapshot_id} is at no replica, and {first.detail}")
    behind = [one.replica for one in result.replicas if one.state is HealedState.BEHIND and not one.error]
    if result.open or behind:
        where = sorted({one.replica for one in result.repairs if one.open}) or behind
        return HealIncomplete(f"{count_of(result.open, 'object')} missing or damaged still at {', '.join(where)}")
    for one in result.replicas:
        if one.error_code == ReplicaEmpty.code:
            return ReplicaEmpty(one.error)
    said = "; ".join(f"{one.replica}: {one.error}" for one in result.replicas if one.error)
    for kind in _LASTING:
        if any(one.error_code == kind.code for one in result.replicas):
            return kind(said)
    return StoreUnavailable(said)
