"""Seals of two writers, a cut at all replicas, and a revoked writer that names heads nobody ever made.

Each writer has a chain of seals, and each seal carries the newest heads of other chains that its maker remembers. One
who may delete at all replicas cuts the end of one chain, once. Within the chains of the two honest writers: the cut
shows at the next seal of a writer that had seen what is gone, and at the host whose seal it was. Without a cut there
is no alarm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.models.explorer import Machine

_WRITERS = ("a", "b")
_SEALS = 2

SealHead = tuple[str, int]  # writer and number; the number stands for the hash, too


@dataclass(frozen=True)
class Rules:
    """The rules, each of which a mutant turns off."""

    seals_carry_heads: bool = True
    heads_are_remembered: bool = True  # else a seal carries the heads listed when it is made
    host_remembers: bool = True  # a host knows its own last seal
    refused_seals_count: bool = False


@dataclass(frozen=True)
class Seal:
    """One seal. `owes` is the truth that no reader sees: heads its maker had seen, and that were gone by then."""

    head: SealHead
    carries: frozenset[SealHead] = frozenset()
    owes: frozenset[SealHead] = frozenset()


@dataclass(frozen=True)
class World:
    """Seals at all replicas, and what each writer has seen of the other."""

    seals: frozenset[Seal] = frozenset()
    made: tuple[int, int] = (0, 0)  # by each writer, which it remembers
    seen: tuple[frozenset[SealHead], frozenset[SealHead]] = (frozenset(), frozenset())
    gone: frozenset[SealHead] = frozenset()
    was_cut: bool = False
    bogus: bool = False

    def heads(self) -> frozenset[SealHead]:
        return frozenset(seal.head for seal in self.seals)


def missing_heads(seals: frozenset[Seal], *, revoked: frozenset[str]) -> frozenset[SealHead]:
    """Return the heads that seals of writers in good standing carry, or follow, and that are not there."""
    good = [seal for seal in seals if seal.head[0] not in revoked]
    carried = {head for seal in good for head in seal.carries}
    before = {(seal.head[0], number) for seal in good for number in range(1, seal.head[1])}
    return frozenset(carried | before) - {seal.head for seal in seals}


def machine(rules: Rules = Rules()) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), lambda world: _problem(world, rules))


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    for index, writer in enumerate(_WRITERS):
        others = frozenset(head for head in world.heads() if head[0] in _WRITERS and head[0] != writer)
        if not others <= world.seen[index]:
            seen = list(world.seen)
            seen[index] |= others
            yield f"{writer} reads the chains", replace(world, seen=(seen[0], seen[1]))
        if world.made[index] < _SEALS:
            yield _sealed(world, index, others, rules)
        number = world.made[index]
        if not world.was_cut and (writer, number) in world.heads():
            seals = frozenset(seal for seal in world.seals if seal.head != (writer, number))
            label = f"seal {number} of {writer} is deleted at all replicas"
            yield label, replace(world, seals=seals, gone=frozenset({(writer, number)}), was_cut=True)
    if not world.bogus:
        seal = Seal(("revoked", 9), frozenset({("a", 9)}))
        yield "a revoked writer seals a head that nobody made", replace(world, seals=world.seals | {seal}, bogus=True)


def _sealed(world: World, index: int, listed: frozenset[SealHead], rules: Rules) -> tuple[str, World]:
    made = list(world.made)
    made[index] += 1
    known = world.seen[index] if rules.heads_are_remembered else listed
    carries = known if rules.seals_carry_heads else frozenset()
    seal = Seal((_WRITERS[index], made[index]), carries, world.seen[index] & world.gone)
    after = replace(world, seals=world.seals | {seal}, made=(made[0], made[1]))
    return f"{_WRITERS[index]} puts seal {made[index]} with the heads {sorted(carries)}", after


def _problem(world: World, rules: Rules) -> str | None:
    revoked = frozenset() if rules.refused_seals_count else frozenset({"revoked"})
    reported = missing_heads(world.seals, revoked=revoked)
    if reported - world.gone:
        return f"a fresh reader is told of a cut of {sorted(reported)}, and nothing was cut"
    for seal in world.seals:
        if not seal.owes <= reported:
            return f"{seal.head} was made by one who had seen {sorted(seal.owes)}, and no reader is told"
    for index, writer in enumerate(_WRITERS):
        last = (writer, world.made[index])
        alarms = rules.host_remembers and world.made[index] > 0 and last not in world.heads()
        if last in world.gone and not alarms:
            return f"the last seal of {writer} is gone everywhere, and its own host is content"
    return None
