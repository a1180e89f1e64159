"""A pack of which little is in use is repacked: its segments in use are moved to a new pack, and a signed move says so.

Two replicas. Snapshot S0 uses segment 1 of the old pack and is at both; S1 uses segment 2, is at the second alone, and
may be forgotten. The maker of the move does not know of it, so the move carries segment 1. It is an honest maintainer,
or a thief with its key, whose new pack has other bytes. The move is made once and copied by a heal, which also copies
packs that a replica needs and does not have. Each replica is pruned by itself. Leases are in `protocol.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.models.explorer import Machine

CARRIED = frozenset({1})
USES = {"S0": frozenset({1}), "S1": frozenset({2})}


class Rules(NamedTuple):
    """The rules that mutants turn off."""

    compares: bool = True  # an old pack is condemned once its segments were compared with those of the new one, here
    obeys_own_moves: bool = True  # a pruner goes by the moves that its own replica lists
    pack_before_move: bool = True  # the new pack is put first, by who makes the move and by a heal
    heals_by_moves: bool = True  # a heal copies no old pack for a segment that a move carries
    by_segments: bool = True  # a move counts for the segments that it carries, not for the old pack
    marks_again: bool = True  # P6
    keeps_condemned_off: bool = True  # W3 of a heal


PROTOCOL = Rules()


class Place(NamedTuple):
    """One replica."""

    commits: tuple[str, ...]
    old: bool = True
    new: bool = False
    move: bool = False
    condemned: bool = False
    back: bool = False  # the old pack was copied here though nobody needs it

    def reads(self, segment: int, *, honest: bool) -> bool:
        """Whether somebody who has this replica alone reads a segment: from the old pack, or as the move says."""
        return self.old or (self.move and self.new and honest and segment in CARRIED)


class World(NamedTuple):
    """Both replicas; `honest`: whether the new pack has the bytes of the segments; `maker`: who puts it."""

    places: tuple[Place, Place] = (Place(("S0",)), Place(("S0", "S1")))
    honest: bool = True
    maker: str = "begin"
    forgotten: bool = False  # S1

    def commits(self, number: int) -> tuple[str, ...]:
        """Return the commits at a replica that are roots there."""
        return tuple(one for one in self.places[number].commits if one == "S0" or not self.forgotten)

    def at(self, number: int, **changes: Any) -> World:
        places = [one._replace(**changes) if at == number else one for at, one in enumerate(self.places)]
        return self._replace(places=(places[0], places[1]))


def machine(rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), _problem)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    yield from _make(world, rules)
    for number in (0, 1):
        yield from _prune(world, number, rules)
        yield from _heal_pack(world, number, rules)
    yield from _heal_move(world, rules)
    yield from _heal_commit(world, rules)
    if not world.forgotten:
        yield "S1 is forgotten", world._replace(forgotten=True)


def _make(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    first, second = ("new", "move") if rules.pack_before_move else ("move", "new")
    if world.maker == "begin":
        yield f"an honest maintainer puts the {first}", world.at(0, **{first: True})._replace(maker="second")
        stolen = world.at(0, **{first: True})._replace(maker="second", honest=False)
        yield f"a thief puts the {first}, with other bytes", stolen
    elif world.maker == "second":
        yield f"the {second} is put", world.at(0, **{second: True})._replace(maker="done")


def _heal_move(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    first, second = world.places
    if not first.move or second.move:
        return
    if first.new and not second.new:
        yield "a heal copies the new pack", world.at(1, new=True)
    if second.new or not rules.pack_before_move:
        yield "a heal copies the move", world.at(1, move=True)


def _heal_pack(world: World, number: int, rules: Rules) -> Iterator[tuple[str, World]]:
    here, there = world.places[number], world.places[1 - number]
    moved = CARRIED if here.move else frozenset()
    is_needed = any(not USES[one] <= moved for one in _wanted(world))
    condemned = here.condemned and rules.keeps_condemned_off
    if there.old and not here.old and not condemned and (is_needed or not rules.heals_by_moves):
        yield f"a heal copies the old pack to {number}", world.at(number, old=True, back=not is_needed)


def _wanted(world: World) -> tuple[str, ...]:
    """Return the snapshots that a heal wants at each replica: all that any has."""
    return tuple(sorted({*world.commits(0), *world.commits(1)}))


def _heal_commit(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    first = world.places[0]
    if (
        "S1" not in first.commits
        and not world.forgotten
        and first.old
        and not (first.condemned and rules.keeps_condemned_off)
    ):
        yield "a heal puts S1", world.at(0, commits=("S0", "S1"))


def _prune(world: World, number: int, rules: Rules) -> Iterator[tuple[str, World]]:
    here = world.places[number]
    in_use = _uses_old(world, number, rules)
    if here.old and not here.condemned and not in_use:
        yield f"P4 the old pack is condemned at {number}", world.at(number, condemned=True)
    if here.condemned:
        if here.old and not (in_use and rules.marks_again):
            swept = world.at(number, old=False, condemned=False)
            yield f"P7 the old pack is deleted at {number}", swept
        else:
            yield f"P8 the plan is closed at {number}", world.at(number, condemned=False)


def _uses_old(world: World, number: int, rules: Rules) -> bool:
    """Whether this pruner finds that its replica needs the old pack."""
    here = world.places[number]
    listed = here.move if rules.obeys_own_moves else any(one.move for one in world.places)
    same = world.honest or not rules.compares
    if not (listed and here.new and same):
        return True
    carried = CARRIED if rules.by_segments else CARRIED.union(*USES.values())
    return any(not USES[one] <= carried for one in world.commits(number))


def _problem(world: World) -> str | None:
    for number, here in enumerate(world.places):
        for commit in world.commits(number):
            for segment in USES[commit]:
                if not here.reads(segment, honest=world.honest):
                    return f"O1: snapshot {commit} at replica {number} lacks segment {segment}"
        if here.move and not here.new:
            return f"O14: replica {number} lists a move, and not the pack that it names"
        if here.back:
            return f"O12: the old pack was copied back to replica {number}, where a move has all that is needed of it"
    return None
