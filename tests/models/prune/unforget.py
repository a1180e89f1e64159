"""A forgotten snapshot is brought back while a prune is at work.

The snapshot's tombstone is there, and a prune condemns its pack. `unforget` is an act under a lease, like a backup. The
mutant looks whether a plan condemns the pack, and then undoes the tombstone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.models.explorer import Machine
from tests.models.prune.replica import LeaseState


class Rules(NamedTuple):
    """The rule that a mutant turns off."""

    under_lease: bool = True


PROTOCOL = Rules()


class World(NamedTuple):
    """One snapshot, one prune, one unforget."""

    pack: bool = True
    commit: bool = True
    tombstone: bool = True
    condemned: bool = False
    prune: str = "begin"
    sweeps: bool = False
    unforget: str = "begin"
    lease: LeaseState | None = None

    @property
    def is_root(self) -> bool:
        return (self.commit and not self.tombstone) or self.lease is LeaseState.COMMITTING


def machine(rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), _problem)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    yield from _prune(world)
    yield from _under_lease(world) if rules.under_lease else _after_a_look(world)


def _prune(world: World) -> Iterator[tuple[str, World]]:
    if world.prune == "begin" and not world.is_root:
        yield "P4 the prune condemns the pack", world._replace(condemned=True, prune="break")
    elif world.prune == "break":
        if world.lease is LeaseState.OPEN:
            yield "P5 the prune breaks the lease", world._replace(lease=LeaseState.BROKEN, prune="rescue")
        else:
            yield "P5 the prune finds no open lease", world._replace(prune="rescue")
    elif world.prune == "rescue":
        yield "P6 the prune reads the roots again", world._replace(sweeps=not world.is_root, prune="commit")
    elif world.prune == "commit" and world.sweeps:
        yield "P7 the prune deletes the commit", world._replace(commit=False, prune="pack")
    elif world.prune == "pack":
        yield "P7 the prune deletes the pack", world._replace(pack=False, prune="done")


def _under_lease(world: World) -> Iterator[tuple[str, World]]:
    if world.unforget == "begin":
        yield "unforget puts its lease", world._replace(lease=LeaseState.OPEN, unforget="list")
    elif world.unforget == "list":
        following = "refused" if world.condemned else "end"
        yield f"unforget lists plans, and goes to {following}", world._replace(unforget=following)
    elif world.unforget == "end":
        if world.lease is LeaseState.OPEN:
            yield "unforget puts the end committing", world._replace(lease=LeaseState.COMMITTING, unforget="undo")
        else:
            yield "unforget has lost its lease", world._replace(unforget="refused")
    elif world.unforget == "undo":
        yield "unforget undoes the tombstone, and reports success", world._replace(tombstone=False, unforget="done")


def _after_a_look(world: World) -> Iterator[tuple[str, World]]:
    if world.unforget == "begin":
        following = "refused" if world.condemned else "undo"
        yield f"unforget lists plans, and goes to {following}", world._replace(unforget=following)
    elif world.unforget == "undo":
        yield "unforget undoes the tombstone, and reports success", world._replace(tombstone=False, unforget="done")


def _problem(world: World) -> str | None:
    is_whole = world.pack and world.commit
    return (
        "O1: unforget reported success, and the snapshot is gone" if world.unforget == "done" and not is_whole else None
    )
