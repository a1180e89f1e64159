"""A snapshot that replica A holds is completed at B, while its writer is suspended at B and a prune is at work there.

The writer has uploaded its pack to B and not decided there; it may wake at any time. The next attempt at the same
backup completes the snapshot as a heal does, and makes a second one only where a plan condemns what the first needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tests.models.explorer import Machine


class Rules(NamedTuple):
    """The rules, each of which a mutant turns off."""

    completes: bool = True  # else the next attempt makes the backup again
    under_lease: bool = True  # W1 and W6
    obeys_plans: bool = True  # W2 and W3
    reads_tombstones: bool = True  # after the lease


PROTOCOL = Rules()


class End(StrEnum):
    """The state of a lease at B."""

    NONE = "none"
    OPEN = "open"
    COMMITTING = "committing"
    BROKEN = "broken"


class World(NamedTuple):
    """Replica B, the processes there, and how many snapshots of that night were made."""

    pack: bool = True
    commit: bool = False
    forgotten: bool = False
    writer: End = End.OPEN  # the lease of the suspended writer
    next: str = "begin"  # step of the next attempt
    lease: End = End.NONE  # of the next attempt
    prune: str = "begin"
    condemned: bool = False  # by a plan that is not closed
    snapshots: int = 1
    was_condemned: bool = False  # when the next attempt looked
    was_forgotten: bool = False
    is_back: bool = False

    @property
    def is_root(self) -> bool:
        ends = End.COMMITTING in (self.writer, self.lease)
        return (self.commit or ends) and not self.forgotten


def machine(rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), _problem)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    yield from _writer(world)
    yield from _next(world, rules)
    yield from _prune(world)
    if not world.forgotten:
        yield "a maintainer forgets the snapshot", world._replace(forgotten=True)


def _writer(world: World) -> Iterator[tuple[str, World]]:
    if world.writer is End.OPEN and world.pack:
        yield "W6 the writer wakes and decides", world._replace(writer=End.COMMITTING)
    if world.writer is End.COMMITTING and not world.commit:
        yield "W7 the writer puts the commit", world._replace(commit=True)


def _next(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if world.next == "begin" and not rules.completes:
        yield "the next attempt makes the backup again", world._replace(snapshots=2, next="done")
    elif world.next == "begin":
        lease = End.OPEN if rules.under_lease else End.NONE
        yield "W1 the next attempt puts its lease", world._replace(lease=lease, next="look")
    elif world.next == "look":
        leaves = (world.condemned and rules.obeys_plans) or (world.forgotten and rules.reads_tombstones)
        step = "again" if leaves else "copy"
        seen = world._replace(was_condemned=world.condemned, was_forgotten=world.forgotten, next=step)
        yield "W2 the next attempt reads plans and tombstones", seen
    elif world.next == "again":
        yield "W3 it leaves the snapshot, and makes a new one", world._replace(snapshots=2, next="done")
    elif world.next == "copy":
        copied = world._replace(pack=True, next="check", is_back=world.was_forgotten and not world.pack)
        yield "W4 the next attempt puts the pack", copied
    elif world.next == "check":
        if world.pack:
            yield "W5 it finds all that the snapshot needs", world._replace(next="decide")
        else:
            yield "W5 the pack is gone again, and it gives up", world._replace(next="done")
    elif world.next == "decide" and not rules.under_lease:
        yield "it puts the commit", world._replace(commit=True, next="done")
    elif world.next == "decide" and world.lease is End.OPEN:
        yield "W6 the next attempt decides", world._replace(lease=End.COMMITTING, next="put")
    elif world.next == "decide":
        yield "W6 its lease is broken, and it gives up", world._replace(next="done")
    elif world.next == "put":
        yield "W7 the next attempt puts the commit", world._replace(commit=True, next="done")


def _prune(world: World) -> Iterator[tuple[str, World]]:
    if world.prune == "begin" and world.pack and not world.is_root:
        yield "P4 a plan condemns the pack", world._replace(condemned=True, prune="leases")
    elif world.prune == "leases":
        writer = End.BROKEN if world.writer is End.OPEN else world.writer
        lease = End.BROKEN if world.lease is End.OPEN else world.lease
        yield "P5 the prune breaks open leases", world._replace(writer=writer, lease=lease, prune="sweep")
    elif world.prune == "sweep":
        if world.is_root:
            yield "P6 the pack is needed now, and rescued", world._replace(prune="close")
        else:
            swept = world._replace(pack=False, commit=world.commit and not world.forgotten, prune="close")
            yield "P7 the prune deletes the pack", swept
    elif world.prune == "close":
        yield "P8 the plan is closed", world._replace(condemned=False, prune="done")


def _problem(world: World) -> str | None:
    if world.commit and not world.forgotten and not world.pack:
        return "O1: the snapshot is listed, and its pack is gone"
    if world.is_back:
        return "O10: what was forgotten and pruned before the next attempt looked is back"
    if world.snapshots > 1 and not (world.was_condemned or world.was_forgotten):
        return "there are two snapshots of one night, and the first could be completed"
    return None
