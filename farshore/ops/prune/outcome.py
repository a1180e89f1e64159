"""The options of a prune, and its outcome at each replica."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from farshore import limits
from farshore.errors import FarshoreError, PruneRefused
from farshore.format.object_kinds import Kind
from farshore.model import ReplicaRequests
from farshore.plan.prices import EarlyPrices
from farshore.stores.base import NO_TRASH, Trash

_DELETE_MAX = re.compile(r"(\d+)(%?)")


@dataclass(frozen=True, slots=True)
class DeleteMax:
    """How much may go at one replica at once: a number of packs, or a share of the bytes of all packs there."""

    packs: int | None = None
    percent: float | None = None

    @staticmethod
    def parse(text: str) -> DeleteMax:
        """Return a number of packs, or a share of the bytes with a percent sign.

        Raises:
            ValueError: It is neither.
        """
        match = _DELETE_MAX.fullmatch(text.strip())
        if match is None or (match[2] and int(match[1]) > 100):
            raise ValueError(f"must be a number of packs such as 500, or a share such as 80%, not {text!r}")
        return DeleteMax(percent=float(match[1])) if match[2] else DeleteMax(packs=int(match[1]))

    def allows(self, *, packs: int, packs_bytes: int, all_bytes: int) -> bool:
        """Whether this much may go."""
        if self.packs is not None:
            return packs <= self.packs
        return self.percent is None or packs_bytes * 100 <= self.percent * all_bytes

    def __str__(self) -> str:
        return f"{self.packs} packs" if self.packs is not None else f"{self.percent:g}% of the bytes"


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """The options of a prune.

    `replica`: prune this one alone. `grace`: for how long what was forgotten, or was stored and is needed by nothing,
    stays. `max_time`: no deletion begins, and no lease is waited for, after it. `even_last`: also where a source loses
    its newest complete snapshot. `early_prices`: by replica, what deleting early costs there.
    """

    replica: str | None = None
    dry_run: bool = False
    delete_max: DeleteMax | None = None
    max_time: timedelta | None = None
    grace: timedelta = timedelta(seconds=limits.PRUNE_GRACE_S)
    empty_trash: bool = False
    even_last: bool = False
    early_prices: Mapping[str, EarlyPrices] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EarlyDeletion:
    """The packs that go before the shortest time of their class is over, and what is billed for them all the same."""

    objects: int = 0
    bytes: int = 0
    cost: float = 0.0
    currency: str = ""

    @property
    def price(self) -> str:
        """The cost, for people."""
        return f"{self.cost:.2f} {self.currency}" if self.cost >= 0.01 else f"less than 0.01 {self.currency}"


class PruneState(StrEnum):
    """The outcome at one replica."""

    PRUNED = "pruned"  # its plan is closed, and so is every earlier one
    CLEAN = "clean"  # nothing was to go
    PLANNED = "planned"  # a dry run: nothing was changed
    WAITING = "waiting"  # writers are at work that may need what is condemned; the next prune goes on
    STOPPED = "stopped"  # the time was over, or deletions failed; the next prune goes on
    REFUSED = "refused"  # what the replica shows is no ground to delete on
    FAILED = "failed"  # it could not be asked


@dataclass(frozen=True, slots=True)
class Amount:
    """Objects and their bytes."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.objects + other.objects, self.bytes + other.bytes)


NO_AMOUNT = Amount()


@dataclass(frozen=True, slots=True)
class WaitedLease:
    """A lease that a prune waits for. `host`: where its writer is, as it says; `signer`: its key."""

    lease: str
    host: str
    source_id: str
    since_utc: datetime | None
    signer: str


@dataclass(frozen=True, slots=True)
class DeletedObject:
    """One object that was deleted, or could not be: then `error_code` says why."""

    name: str
    kind: Kind | None
    bytes: int
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class PrunedReplica:
    """One replica after a prune.

    `garbage`: the objects that go, without locked and young ones; `early`: those of them that are billed for longer.
    `locked`: those that locks keep, of which the first ends at `locked_until_utc`. `young`: those that nothing needs
    and that are too new to go. `forgotten`: ids of the snapshots that go. `in_grace`: forgotten snapshots that stay for
    now, the first until `grace_until_utc`. `freed`: the deleted objects, at a directory in the trash. `foreign`:
    commits that nobody certified signed. `approvals`: hashes of those without which the plan would not have passed.
    `folded`: tombstones and smaller sets that were deleted because a set has them.
    """

    replica: str
    state: PruneState
    plan: int = 0
    forgotten: tuple[str, ...] = ()
    in_grace: int = 0
    grace_until_utc: datetime | None = None
    garbage: Amount = NO_AMOUNT
    locked: Amount = NO_AMOUNT
    locked_until_utc: datetime | None = None
    young: Amount = NO_AMOUNT
    early: EarlyDeletion = EarlyDeletion()
    rescued: int = 0
    freed: Amount = NO_AMOUNT
    failed: int = 0
    folded: int = 0
    waits_for: tuple[WaitedLease, ...] = ()
    trash: Trash = NO_TRASH
    trash_emptied: Amount = NO_AMOUNT
    foreign: int = 0
    rule: str = ""
    approvals: tuple[str, ...] = ()
    error_code: str = ""
    error: str = ""
    hint: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing is left for the next run to go on with."""
        return self.state in (PruneState.PRUNED, PruneState.CLEAN, PruneState.PLANNED)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """The outcome at every replica that was asked for."""

    run_id: str
    dry_run: bool
    started_utc: datetime
    finished_utc: datetime
    replicas: tuple[PrunedReplica, ...]
    requests: tuple[ReplicaRequests, ...] = field(default=())

    @property
    def done(self) -> bool:
        """Whether every replica is pruned, or had nothing to prune."""
        return all(one.done for one in self.replicas)


def refusal_of(result: PruneResult) -> FarshoreError | None:
    """Return the error of the first replica that was refused or failed; None where there is none."""
    for one in result.replicas:
        if one.state in (PruneState.REFUSED, PruneState.FAILED):
            return PruneRefused(f"{one.replica}: {one.error}", one.hint or None)
    return None
