"""A heal without any key copies between two replicas, and each name says what its object hashes to.

One honest object and junk that a thief, or a bad replica, puts under any listed name; a thief also writes unsigned
audit rows. The good replica must keep the honest object, and a heal must bring it to the other one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.models.explorer import Machine

HONEST, JUNK = "honest", "junk"  # the bytes; their hash is called the same
_SUBJECT = "run 1"


@dataclass(frozen=True)
class Rules:
    """The rules, each of which a mutant turns off."""

    names_carry_hashes: bool = True  # else a heal believes audit rows, whoever wrote them
    hash_is_checked: bool = True
    disputed_is_left: bool = True  # else of two objects for one subject the later name goes


Name = tuple[str, str]  # subject and hash; no hash where names carry none


@dataclass(frozen=True)
class World:
    """The bytes under each name at the good and at the bad replica, and the hash that audit rows claim."""

    good: frozenset[tuple[Name, str]] = frozenset()
    bad: frozenset[tuple[Name, str]] = frozenset()
    row: str = HONEST
    committed: bool = False
    healed: bool = False  # just now


def machine(rules: Rules = Rules()) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), lambda world: _problem(world, rules))


def _name(content: str, rules: Rules) -> Name:
    return (_SUBJECT, content if rules.names_carry_hashes else "")


def _put(objects: frozenset[tuple[Name, str]], name: Name, content: str) -> frozenset[tuple[Name, str]]:
    """Put if absent."""
    return objects if any(there == name for there, _ in objects) else objects | {(name, content)}


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    moved = replace(world, healed=False)
    own = _name(HONEST, rules)
    if not world.committed and all(there != own for there, _ in world.good):
        good = _put(world.good, own, HONEST)
        yield "the run commits at the good replica", replace(moved, good=good, committed=True)
        both = replace(moved, good=good, bad=_put(world.bad, own, HONEST), committed=True)
        yield "the run commits at both replicas", both
    for name in {_name(JUNK, rules), *([own] if world.committed else [])}:
        if world.committed:  # before that nobody knows the name
            yield (
                f"the thief puts junk as {name} at both",
                replace(moved, good=_put(world.good, name, JUNK), bad=_put(world.bad, name, JUNK)),
            )
        bad = frozenset(one for one in world.bad if one[0] != name) | {(name, JUNK)}
        yield f"the bad replica has junk as {name}", replace(moved, bad=bad)
    if world.row == HONEST:
        yield "the thief writes an audit row that says junk", replace(moved, row=JUNK)
    yield "a heal without keys", _healed(world, rules)


def _healed(world: World, rules: Rules) -> World:
    def is_right(name: Name, content: str) -> bool:
        expected = name[1] if rules.names_carry_hashes else world.row
        return content == expected or not rules.hash_is_checked

    right = {one for one in world.good | world.bad if is_right(*one)}
    good, bad = (frozenset(one for one in side if is_right(*one)) for side in (world.good, world.bad))
    for name, content in sorted(right, reverse=True):
        good, bad = _put(good, name, content), _put(bad, name, content)
    if not rules.disputed_is_left:
        good, bad = (frozenset(sorted(side)[-1:]) for side in (good, bad))
    return replace(world, good=good, bad=bad, healed=True)


def _problem(world: World, rules: Rules) -> str | None:
    wanted = (_name(HONEST, rules), HONEST)
    if world.committed and wanted not in world.good:
        return "the good replica has lost the honest object"
    if world.committed and world.healed and wanted not in world.bad:
        return "P7: a heal with names and hashes alone did not bring the honest object to the other replica"
    return None
