"""The program with one rule of the protocol taken out: each must be found broken by some history.

Each mutant replaces one function, and nothing else. `--find-mutants` looks for the first seed that finds each, and
writes the table of README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from farshore.format import names
from farshore.ops.backup import lease_steps, prepare
from farshore.ops.backup.attempt import Attempt
from farshore.ops.backup.lease_steps import StartedLease
from farshore.ops.heal import heal_lease
from farshore.ops.prune import prune_replica
from farshore.ops.prune.fold_tombstones import Folding
from farshore.ops.prune.garbage import Garbage
from farshore.ops.prune.prune_replica import ReplicaPrune
from farshore.ops.prune.roots import RootReader, Roots
from farshore.ops.prune.sweep import Sweeper
from farshore.ops.retain import unforget
from farshore.replicas.lease_holder import LeaseHolder
from farshore.replicas.leases import ListedLease
from farshore.replicas.plans import read_condemned
from farshore.replicas.repository import Repository
from farshore.stores.base import ANY_OBJECT, DeletionErrors, ObjectInfo
from farshore.stores.one_by_one import error_of


@dataclass(frozen=True)
class Mutant:
    """A rule that is taken out: the place of a function, its name, and what stands in for it."""

    rule: str
    place: Any
    name: str
    stand_in: Callable[..., Any]


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""


def _proves_nothing(*_: object, **__: object) -> bool:
    return True


def _nothing_condemned(*_: object) -> frozenset[str]:
    return frozenset()


def _waits_for_nobody(
    repository: object, replica: object, known: list[ListedLease], **_: object
) -> tuple[list[ListedLease], tuple[()]]:
    return list(known), ()


def _marked_before(self: RootReader, leases: object) -> Roots:
    return self.roots


def _deletes_by_name(self: Sweeper, infos: Sequence[ObjectInfo]) -> DeletionErrors:
    return [error_of(self._replica.store.delete, one.name, ANY_OBJECT) for one in infos]


def _packs_first(self: ReplicaPrune, part: Any, garbage: Garbage) -> None:
    roots = self._reader.roots
    sweeper = self._sweeper(part.number)
    sweeper.delete(garbage.packs.only(~roots.needs_packs(garbage.packs.ids)).infos())
    _sweep(self, part, garbage)


def _settles_broken(leases: list[ListedLease], **_: object) -> Iterator[str]:
    for lease in leases:
        if lease.decision is not None:
            yield from (names.lease_end(lease.lease_id, k) for k in lease.ends)


def _needs_of_nothing(self: RootReader, *_: object) -> None:
    """Add nothing to the roots."""


class _Started(StartedLease):
    """What was condemned is known before the lease is put, and is not read again."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "condemned" or "condemned" not in self.__dict__:
            super().__setattr__(name, value)


def _plans_first(repository: Repository, attempt: Attempt) -> StartedLease:
    answers, _ = repository.ask_all(lambda replica: read_condemned(repository, replica))
    started = lease_steps.start_lease(repository, attempt)
    return _Started(started.holder, started.failed, frozenset().union(*answers.values()))


_sweep = ReplicaPrune._sweep  # noqa: SLF001 - the real one, which a mutant goes on with

MUTANTS: Mapping[str, Mutant] = {
    "commits-without-end": Mutant("W6: a commit is put without a decision", LeaseHolder, "commit", _nothing),
    "writers-ignore-plans": Mutant(
        "W3: a writer uses again what a plan condemns", lease_steps, "read_condemned", _nothing_condemned
    ),
    "heals-ignore-plans": Mutant(
        "W3: a heal puts again what a plan condemns", heal_lease, "read_condemned", _nothing_condemned
    ),
    "unforgets-blindly": Mutant(
        "a snapshot is unforgotten although a plan condemns what it needs", unforget, "_refuse_condemned", _nothing
    ),
    "waits-for-nobody": Mutant(
        "P5: leases are not looked at once the plan is published", prune_replica, "settle_leases", _waits_for_nobody
    ),
    "marks-once": Mutant("P6: the roots are not read again", RootReader, "read_again", _marked_before),
    "ends-are-no-roots": Mutant(
        "P2: only commits are roots, not the ends that promise them", RootReader, "_add_promised", _needs_of_nothing
    ),
    "deletes-by-name": Mutant(
        "O6: a deletion acts on a name, not on the object that was seen", Sweeper, "_delete_batch", _deletes_by_name
    ),
    "packs-first": Mutant(
        "O9: packs are deleted before the commits that need them", ReplicaPrune, "_sweep", _packs_first
    ),
    "plans-before-lease": Mutant(
        "W1 before W2: plans are listed before the lease is put", prepare, "start_lease", _plans_first
    ),
    "forgets-broken-ends": Mutant(
        "the end of a broken lease is deleted", prune_replica, "settled_leases", _settles_broken
    ),
    "folds-without-a-set": Mutant(
        "O10: single tombstones go before a set that has them is there", Folding, "prove", _proves_nothing
    ),
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Take one rule out of the program, for a block; none for None."""
    if name is None:
        yield
        return
    mutant = MUTANTS[name]
    before = getattr(mutant.place, mutant.name)
    setattr(mutant.place, mutant.name, mutant.stand_in)
    try:
        yield
    finally:
        setattr(mutant.place, mutant.name, before)
