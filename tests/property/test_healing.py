"""Three replicas with random loss and damage: heal converges, a second one does nothing, no half snapshot is spread.

The model: an object is lost when no replica holds its bytes. What is not lost is alike everywhere after one heal that
reads all data.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.repair.object_kinds import kind_of
from tests.unit.ops.engine import Engine, flipped
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource

REPLICAS = ("a", "b", "c")
Shelf = dict[str, tuple[bytes, datetime]]


@dataclass(frozen=True)
class World:
    """A repository as it was before anything was hurt, and what each object's bytes are."""

    engine: Engine
    shelves: dict[str, Shelf]
    good: dict[str, bytes]

    def _repr_pretty_(self, printer: RepresentationPrinter, _: bool) -> None:
        """Keep megabytes out of what Hypothesis prints: it refuses to show a failure that they are part of."""
        printer.text(f"World({len(self.good)} objects)")

    def reset(self) -> None:
        for replica, shelf in self.shelves.items():
            self.engine.shelf(replica).objects.clear()
            self.engine.shelf(replica).objects.update(shelf)
        self.engine.forget_cache()

    def commits(self, replica: str) -> set[str]:
        return {name for name in self.engine.objects(replica, names.SNAPSHOTS) if kind_of(name) is Kind.COMMIT}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Five snapshots; b missed the second, c the last two."""
    with tempfile.TemporaryDirectory(prefix="farshore-healing-") as root:
        engine = Engine(Path(root)).initialize()
        source = TreeSource(clock=engine.clock)
        for number, away in enumerate(((), ("b",), (), ("c",), ("c",))):
            source.file(f"{number}".encode(), random.Random(number).randbytes(60_000))
            source.file(b"changing", random.Random(-number).randbytes(30_000))
            with engine.away(*away):
                engine.backup(source)
        good: dict[str, bytes] = {}
        for replica in REPLICAS:
            good |= engine.data_objects(replica)
        yield World(engine, {replica: dict(engine.shelf(replica).objects) for replica in REPLICAS}, good)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1 << 32), keyless=st.booleans(), harm=st.sampled_from([0.02, 0.1, 0.3]))
def test_heal_converges_from_any_loss_and_damage(world: World, seed: int, keyless: bool, harm: float) -> None:
    dice = random.Random(seed)
    world.reset()
    _hurt(world, dice, harm)
    before = {replica: world.commits(replica) for replica in REPLICAS}
    lost = _lost(world)
    bare = _without_record(world, lost)
    note(f"lost: {sorted(lost)}")

    first = heal(world.engine, keyless=keyless, read_data=True)
    second = heal(world.engine, keyless=keyless, read_data=True)

    assert not second.changed, [one for one in second.repairs if one.mended]
    unvouched = {one.object for one in first.repairs if "nothing vouches" in one.detail}
    if not lost and not unvouched:
        assert first.in_sync
        assert second.in_sync
    for replica in REPLICAS:
        held = world.engine.data_objects(replica)
        wrong = {name for name, data in held.items() if name in world.good and data != world.good[name]}
        assert wrong <= lost | unvouched | bare, "damage is only left where no good copy is"
        if not lost and not unvouched:
            assert held.keys() == world.good.keys()
    reported = {one.object for one in second.repairs if one.open}
    assert reported >= {name for name in lost - bare if _is_needed(world, name)}, "what is lost is told every time"
    _restores(world, before, dice, lost)


def _hurt(world: World, dice: random.Random, harm: float) -> None:
    for replica in REPLICAS:
        for name in world.engine.data_objects(replica):
            if kind_of(name) is Kind.HEADER or dice.random() >= harm:
                continue
            if kind_of(name) is Kind.SLOT and replica == "a":  # without any slot nobody could open the rest
                continue
            if dice.random() < 0.5:
                world.engine.lose(replica, name)
            elif dice.random() < 0.5:
                world.engine.alter(replica, name, lambda data: data[: dice.randrange(len(data))])
            else:
                world.engine.alter(replica, name, lambda data: flipped(data, dice.randrange(len(data))))


def _lost(world: World) -> set[str]:
    held = [world.engine.data_objects(replica) for replica in REPLICAS]
    return {name for name, data in world.good.items() if all(one.get(name) != data for one in held)}


def _is_needed(world: World, name: str) -> bool:
    """Whether somebody can know that an object is lost: some replica lists it."""
    return any(name in world.engine.data_objects(replica) for replica in REPLICAS)


def _without_record(world: World, lost: set[str]) -> set[str]:
    """The parts of snapshots whose commit record is lost: such a snapshot is none any more, and nothing vouches."""
    gone = {name.rpartition("/")[0] for name in lost if kind_of(name) is Kind.COMMIT}
    return {name for name in world.good if name.rpartition("/")[0] in gone}


def _restores(world: World, before: dict[str, set[str]], dice: random.Random, lost: set[str]) -> None:
    """What heal has committed anywhere restores from there; that is invariant 1."""
    added = [(replica, name) for replica in REPLICAS for name in sorted(world.commits(replica) - before[replica])]
    for replica, name in dice.sample(added, min(3, len(added))):
        result, _ = world.engine.restore(name.split("/")[2], replica=replica)
        assert not result.problems
        # The index is rebuilt from the packs where a fragment is lost everywhere.
        assert {one.name for one in result.fell_over} <= {one for one in lost if kind_of(one) is Kind.FRAGMENT}
