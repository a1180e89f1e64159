"""Tombstones, and what takes one back, are folded into signed sets by two prunes of one key, beside somebody who reads.

Tombstone 1 forgets a snapshot, whose commit may come back at any time; tombstone 2 was taken back by `c`. A thief with
put rights has put a set that nobody certified signed, with every row. Each prune lists, puts a set of all that it saw,
reads it back, lists again, and deletes what that set has: single objects, and sets of a lower rank. Two rounds each, so
that sets are merged. The reader has tombstone 2 in its cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.models.explorer import Machine

_ROUNDS = 2
_SINGLES = ("1", "2", "c")


class Rules(NamedTuple):
    """The rules, each of which a mutant turns off."""

    puts_first: bool = True  # the set is there before anything single goes
    deletes_what_rows_have: bool = True  # and not what it was meant to have
    checks_signatures: bool = True
    ranks_sets: bool = True  # a set goes for a larger one, or one of a later name, and not for an equal one
    reads_again: bool = True  # where something that was listed is gone


class Set(NamedTuple):
    """A set; `rows` are letters of single objects."""

    rows: str
    name: str
    signed: bool = True

    @property
    def rank(self) -> tuple[int, str]:
        return len(self.rows), self.name


Object = str | Set


class Pruner(NamedTuple):
    """One prune. `doomed`: what it is going to delete."""

    name: str
    next: str = "list"
    round: int = 0
    made: Set | None = None
    doomed: tuple[Object, ...] = ()


class Reader(NamedTuple):
    """Somebody who asks which snapshots are forgotten, for instance the roots of another prune."""

    next: str = "list"
    left: tuple[Object, ...] = ()
    rows: frozenset[str] = frozenset()
    gone: bool = False
    rounds: int = 0


class World(NamedTuple):
    """The objects of one replica, and who is at work."""

    objects: frozenset[Object]
    pruners: tuple[Pruner, ...]
    reader: Reader = Reader()


START = World(frozenset({*_SINGLES, Set("12c", "thief", signed=False)}), (Pruner("p"), Pruner("q")))
PROTOCOL = Rules()


def machine(rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(START, lambda world: _steps(world, rules), _problem)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    for at, pruner in enumerate(world.pruners):
        for label, objects, after in _prune(world.objects, pruner, rules):
            pruners = (*world.pruners[:at], after, *world.pruners[at + 1 :])
            yield f"{pruner.name} {label}", world._replace(objects=objects, pruners=pruners)
    yield from _read(world, rules)


def _prune(objects: frozenset[Object], pruner: Pruner, rules: Rules) -> Iterator[tuple[str, frozenset[Object], Pruner]]:
    if pruner.next == "list" and pruner.round < _ROUNDS:
        rows = _rows(objects)
        if not rules.checks_signatures:  # what a set has is folded already
            rows -= _in_sets(objects)
        if not rules.deletes_what_rows_have:
            rows -= {"1"}
        made = Set("".join(sorted(rows)), f"{pruner.name}{pruner.round}")
        first = "put" if rules.puts_first else "look"
        yield "lists", objects, pruner._replace(made=made, next=first)
    elif pruner.next == "put" and pruner.made is not None:
        after = "look" if rules.puts_first else "over"
        yield f"puts a set of {pruner.made.rows}", objects | {pruner.made}, pruner._replace(next=after)
    elif pruner.next == "look" and pruner.made is not None:
        if pruner.made not in objects and rules.puts_first:
            yield "finds its set gone", objects, pruner._replace(next="over")
            return
        doomed = tuple(sorted(_doomed(objects, pruner.made, rules), key=str))
        yield "reads it back and lists again", objects, pruner._replace(doomed=doomed, next="delete")
    elif pruner.next == "delete" and pruner.doomed:
        one, *others = pruner.doomed
        yield f"deletes {one}", objects - {one}, pruner._replace(doomed=tuple(others))
    elif pruner.next == "delete":
        yield "is done", objects, pruner._replace(next="over" if rules.puts_first else "put")
    elif pruner.next == "over":
        yield "begins anew", objects, Pruner(pruner.name, round=pruner.round + 1)


def _doomed(objects: frozenset[Object], made: Set, rules: Rules) -> Iterator[Object]:
    rows = set(made.rows) if rules.deletes_what_rows_have else set(_SINGLES)
    if not rules.checks_signatures:
        rows |= _in_sets(objects)
    for one in objects:
        if isinstance(one, str):
            goes = one in rows
        else:
            goes = one.signed and one != made and set(one.rows) <= set(made.rows)
            goes = goes and (one.rank < made.rank or not rules.ranks_sets)
        if goes:
            yield one


def _in_sets(objects: Iterable[Object], *, signed_only: bool = False) -> set[str]:
    sets = [one for one in objects if isinstance(one, Set)]
    return {row for one in sets if one.signed or not signed_only for row in one.rows}


def _rows(objects: Iterable[Object]) -> set[str]:
    """Return what counts."""
    there = list(objects)
    return {one for one in there if isinstance(one, str)} | _in_sets(there, signed_only=True)


def _read(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    reader = world.reader
    if reader.next == "list" and reader.rounds < _ROUNDS:
        left = tuple(sorted(world.objects, key=str))
        yield "the reader lists", world._replace(reader=Reader("get", left, rounds=reader.rounds + 1))
    elif reader.next == "get" and reader.left:
        one, *others = reader.left
        is_there = one in world.objects or one == "2"
        rows = reader.rows | (_rows([one]) if is_there else set())
        after = reader._replace(left=tuple(others), rows=frozenset(rows), gone=reader.gone or not is_there)
        yield f"the reader gets {one}", world._replace(reader=after)
    elif reader.next == "get":
        following = "list" if reader.gone and rules.reads_again else "done"
        yield f"the reader goes to {following}", world._replace(reader=reader._replace(next=following))


def _problem(world: World) -> str | None:
    rows = _rows(world.objects)
    if "1" not in rows:
        return "O10: nothing forgets a snapshot any more whose commit may come back"
    if "2" in rows and "c" not in rows:
        return "O1: what was taken back is forgotten, and the next prune deletes it"
    reader = world.reader
    if reader.next == "done" and "1" not in reader.rows:
        return "O10: a reader that saw every object lists what is forgotten"
    if reader.next == "done" and "2" in reader.rows and "c" not in reader.rows:
        return "O1: a reader takes for forgotten what was taken back, and may be a prune"
    return None
