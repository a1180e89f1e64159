"""State of one replica with writers, heals and pruners at work, the rules they follow, and O1.

Pack GARBAGE is in use by nobody at the start: its snapshot was forgotten. Pack SHARED is needed by the snapshot S0. A
writer whose cached index still names GARBAGE would like to reuse it; a heal has to bring a snapshot that needs it.
A lease may be broken at any moment: no clock is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

GARBAGE = "old-pack"
SHARED = "shared-pack"

Names = frozenset[str]
NOTHING: Names = frozenset()


class Rules(NamedTuple):
    """The rules of the protocol, each of which a mutant turns off, and whether deletions may arrive late."""

    late_deletes: bool = False  # a request to delete may still be on its way when its plan is abandoned
    deletes_by_version: bool = True  # a deletion acts on the object that was listed, not on its name
    abandoned_condemns: bool = True  # an abandoned plan condemns until it is closed
    commits_by_end: bool = True  # the end of a lease decides; else: look at the lease, then put the commit
    lease_before_plans: bool = True  # W1 before W2
    plan_before_leases: bool = True  # P4 before P5
    marks_again: bool = True  # P6
    waits: bool = True  # P5
    grace_time_only: bool = False  # leases that outlive a grace time are ignored, and not broken
    writers_obey_plans: bool = True  # W3
    heals_obey_plans: bool = True  # W3 of a heal
    keeps_broken_ends: bool = True  # the end of a broken lease stays for ever


PROTOCOL = Rules()


class LeaseState(StrEnum):
    OPEN = "open"
    BROKEN = "broken"
    COMMITTING = "committing"


class Lease(NamedTuple):
    """A lease and its end; `needs` is what the committing end names."""

    state: LeaseState = LeaseState.OPEN
    needs: Names = NOTHING


class PlanState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    ABANDONED = "abandoned"


class Plan(NamedTuple):
    condemned: Names
    state: PlanState


class Pack(NamedTuple):
    """One object; the generation differs where a name was deleted and put again."""

    name: str
    generation: int


class Writer(NamedTuple):
    """A backup run, or a heal where `is_heal`, and its progress."""

    name: str
    is_heal: bool
    step: str = "begin"
    condemned: Names = NOTHING  # that it saw
    needs: Names = NOTHING
    puts: str = ""  # the name it has to put


class Pruner(NamedTuple):
    """A prune and its progress."""

    name: str
    step: str = "begin"
    garbage: Names = NOTHING
    listed: frozenset[Pack] = frozenset()
    plan: int = -1
    waits_for: Names = NOTHING
    sweeps: Names = NOTHING


class World(NamedTuple):
    """Everything at the replica, and all processes. Mappings are sorted tuples, so that states can be hashed."""

    packs: frozenset[Pack]
    generation: int
    leases: tuple[tuple[str, Lease], ...]
    plans: tuple[Plan, ...]
    commits: tuple[tuple[str, Names], ...]
    processes: tuple[Writer | Pruner, ...]

    def names(self) -> Names:
        return frozenset(pack.name for pack in self.packs)

    def lease(self, name: str) -> Lease:
        return dict(self.leases)[name]

    def with_lease(self, name: str, lease: Lease) -> World:
        return self._replace(leases=_sorted({**dict(self.leases), name: lease}))

    def with_commit(self, name: str, needs: Names) -> World:
        return self._replace(commits=tuple(sorted({**dict(self.commits), name: needs}.items())))

    def with_pack(self, name: str) -> World:
        """Put if absent, with a new generation."""
        if name in self.names():
            return self._replace(generation=self.generation + 1)
        pack = Pack(name, self.generation)
        return self._replace(packs=self.packs | {pack}, generation=self.generation + 1)

    def with_process(self, index: int, process: Writer | Pruner) -> World:
        processes = (*self.processes[:index], process, *self.processes[index + 1 :])
        return self._replace(processes=processes)

    def condemned(self, rules: Rules) -> Names:
        """Return what plans condemn that are not closed."""
        states = {PlanState.OPEN, PlanState.ABANDONED} if rules.abandoned_condemns else {PlanState.OPEN}
        return NOTHING.union(*(plan.condemned for plan in self.plans if plan.state in states))

    def roots(self, rules: Rules) -> Names:
        """Return what commits need, and what committing ends need."""
        ends = [lease.needs for _, lease in self.leases] if rules.commits_by_end else []
        return NOTHING.union(*(needs for _, needs in self.commits), *ends)


def _sorted(leases: Mapping[str, Lease]) -> tuple[tuple[str, Lease], ...]:
    return tuple(sorted(leases.items()))


@dataclass(frozen=True)
class Cast:
    """How many processes of each kind are at work."""

    writers: int = 0
    heals: int = 0
    pruners: int = 1


def start(cast: Cast) -> World:
    """Return the replica before anybody did anything."""
    processes: tuple[Writer | Pruner, ...] = (
        *(Writer(f"W{number}", is_heal=False) for number in range(cast.writers)),
        *(Writer(f"H{number}", is_heal=True) for number in range(cast.heals)),
        *(Pruner(f"P{number}") for number in range(cast.pruners)),
    )
    packs = frozenset({Pack(GARBAGE, 0), Pack(SHARED, 0)})
    return World(packs, 1, (), (), (("S0", frozenset({SHARED})),), processes)


def lost(world: World) -> str | None:
    """O1: each pack that a commit needs is there."""
    there = world.names()
    for snapshot, needs in world.commits:
        if not needs <= there:
            return f"O1: snapshot {snapshot} lacks {', '.join(sorted(needs - there))}"
    return None
