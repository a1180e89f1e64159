"""A committing end whose writer is suspended: others finish it, forget it, sweep it; the writer wakes at any time.

Or the writer is revoked after it put the end. What its key signed stays a root, and nobody else puts its commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.models.explorer import Machine


class Rules(NamedTuple):
    """The rules, each of which a mutant turns off."""

    keeps_tombstones: bool = True
    finishes_revoked: bool = False
    refused_is_garbage: bool = False


PROTOCOL = Rules()


class World(NamedTuple):
    """One snapshot whose end says committing, and whose pack is there."""

    pack: bool = True
    commit: bool = False
    tombstone: bool = False
    end: bool = True
    revoked: bool = False
    is_awake: bool = False  # the writer has gone on
    finished_refused: bool = False
    swept: bool = False

    def is_root(self, rules: Rules) -> bool:
        signed = (self.commit or self.end) and not self.tombstone
        return signed and not (self.revoked and rules.refused_is_garbage)


def machine(rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), _problem)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if not world.is_awake:
        yield "W7 the writer wakes and puts the commit", world._replace(commit=True, is_awake=True)
    if world.end and not world.commit and not world.tombstone and world.pack:
        if not world.revoked:
            yield "a maintainer finishes the commit", world._replace(commit=True)
        elif rules.finishes_revoked:
            yield "a maintainer finishes the commit", world._replace(commit=True, finished_refused=True)
    if not world.revoked:
        yield "the owner revokes the writer, and does not accept the snapshot", world._replace(revoked=True)
    if world.commit and not world.tombstone:
        yield "a maintainer forgets the snapshot", world._replace(tombstone=True)
    if world.pack and not world.is_root(rules):
        commit = world.commit and not world.tombstone
        yield "a prune deletes what is no root", world._replace(pack=False, commit=commit, swept=True)
    if world.swept and world.tombstone and not world.commit:
        yield "a prune removes the finished end", world._replace(end=False)
        if not rules.keeps_tombstones:
            yield "the tombstone goes, as no replica has the commit", world._replace(end=False, tombstone=False)


def _problem(world: World) -> str | None:
    if world.finished_refused:
        return "a maintainer put a commit of a revoked writer"
    if world.commit and not world.tombstone and not world.pack:
        return "O1: the snapshot is listed, and its pack is gone"
    return None
