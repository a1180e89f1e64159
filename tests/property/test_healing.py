"""Three replicas with random loss and damage: heal converges, a second one does nothing, no half snapshot is spread.

The model: an object is lost when no replica holds its bytes, but for a commit that the end of a lease holds too and
that could be finished. What is not lost, and a commit that is not lost needs, is alike everywhere after one heal that
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

from farshore.catalog.needs import objects_of
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.repair.object_kinds import kind_of
from farshore.results import Found
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
    needs: dict[str, frozenset[str]]  # of each commit, the objects that its snapshot needs

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
        shelves = {replica: dict(engine.shelf(replica).objects) for replica in REPLICAS}
        yield World(engine, shelves, good, _needs(engine))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1 << 32), keyless=st.booleans(), harm=st.sampled_from([0.02, 0.1, 0.3]))
def test_heal_converges_from_any_loss_and_damage(world: World, seed: int, keyless: bool, harm: float) -> None:
    dice = random.Random(seed)
    world.reset()
    _hurt(world, dice, harm)
    before = {replica: world.commits(replica) for replica in REPLICAS}
    lost = _lost(world)

    first = heal(world.engine, keyless=keyless, read_data=True)
    second = heal(world.engine, keyless=keyless, read_data=True)

    finished = {(one.replica, one.object) for one in first.repairs if one.detail.startswith("finished")}
    lost -= {name for name in _held(world) if kind_of(name) is Kind.COMMIT}
    bare = _without_record(world, lost)
    note(f"lost: {sorted(lost)}")
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
    # A fragment without a whole copy may be of anybody, because its signature is lost too: it is shown as foreign.
    reported = {one.object for one in second.repairs if one.open or one.found is Found.FOREIGN}
    assert reported >= {name for name in lost - bare if _is_needed(world, name)}, "what is lost is told every time"
    _restores(world, before, dice, lost, finished)


def _hurt(world: World, dice: random.Random, harm: float) -> None:
    for replica in REPLICAS:
        for name in world.engine.data_objects(replica):
            if kind_of(name) is Kind.HEADER or dice.random() >= harm:
                continue
            if kind_of(name) in (Kind.SLOT, Kind.LOG) and replica == "a":  # else nobody could open or trust the rest
                continue
            if dice.random() < 0.5:
                world.engine.lose(replica, name)
            elif dice.random() < 0.5:
                world.engine.alter(replica, name, lambda data: data[: dice.randrange(len(data))])
            else:
                world.engine.alter(replica, name, lambda data: flipped(data, dice.randrange(len(data))))


def _needs(engine: Engine) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for one in engine.snapshots():
        head = engine.commit_of(one.snapshot_id)
        found[head.name] = frozenset(needed.name for needed in objects_of(head, engine.needs_of(one.snapshot_id)))
    return found


def _held(world: World) -> set[str]:
    """What some replica holds whole."""
    held = [world.engine.data_objects(replica) for replica in REPLICAS]
    return {name for name, data in world.good.items() if any(one.get(name) == data for one in held)}


def _lost(world: World) -> set[str]:
    return world.good.keys() - _held(world)


def _is_needed(world: World, name: str) -> bool:
    """Whether somebody can know that an object is lost: some replica lists it."""
    return any(name in world.engine.data_objects(replica) for replica in REPLICAS)


def _without_record(world: World, lost: set[str]) -> set[str]:
    """The runs and data keys that only lost commits name: nothing says any more what they are, so none is spread."""
    needed = {name for commit, needs in world.needs.items() if commit not in lost for name in needs}
    return {name for name in world.good.keys() - needed if kind_of(name) in (Kind.RUN, Kind.DATA_KEY)}


def _restores(
    world: World, before: dict[str, set[str]], dice: random.Random, lost: set[str], finished: set[tuple[str, str]]
) -> None:
    """What heal has committed anywhere restores from there; that is invariant 1.

    A commit that it finished was there since its lease decided, whatever was hurt since.
    """
    added = [(replica, name) for replica in REPLICAS for name in sorted(world.commits(replica) - before[replica])]
    added = [one for one in added if one not in finished]
    for replica, name in dice.sample(added, min(3, len(added))):
        parsed = names.parse_commit(name)
        assert parsed is not None
        result, _ = world.engine.restore(parsed.snapshot_id, replica=replica)
        assert not result.problems
        # The index is rebuilt from the packs where a fragment is lost everywhere.
        assert {one.name for one in result.fell_over} <= {one for one in lost if kind_of(one) is Kind.FRAGMENT}
