"""What every history begins with: a repository with snapshots and with garbage, made once for a process and copied."""

from __future__ import annotations

import copy
import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farshore import limits
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import generate_identity
from farshore.stores import memory
from farshore.stores.memory import Shelf, shared_shelf
from tests.simulation import acts, store
from tests.simulation.primitives import repeatable
from tests.simulation.store import SimulatedStore
from tests.simulation.threads import Actor, Scheduler, cooperative
from tests.simulation.weather import DAY_S, Weather
from tests.simulation.world import ADMIN, REPLICAS, WRITERS, Contents, World, copied, enroll_writer
from tests.unit.ops.tree_source import TreeSource

_ROUNDS = 5  # backups of each source
_FORGOTTEN = 7  # snapshots, so that there is garbage, which the caches of their writers still name


@dataclass(frozen=True)
class Base:
    """All that a history begins with."""

    objects: dict[str, tuple[dict[str, Any], dict[str, Any]]]  # by replica
    files: Path  # a copy of the hosts' directories
    fingerprint: str
    now_s: float
    snapshots: dict[str, Contents]
    trees: dict[str, TreeSource]


def _initialize(world: World) -> str:
    line = generate_identity(world.root / "identity")
    made = initialize(world.config(ADMIN), with_credential=False, recipients=[line], clock=world.clock(ADMIN))
    world.fingerprint = made.fingerprint
    for host in WRITERS:
        enroll_writer(world, host)
    return "made"


@contextmanager
def simulated(chance: random.Random) -> Iterator[Scheduler]:
    """Run what follows on virtual threads, time, stores and keys."""
    before, folds = memory.MemoryStore, limits.FOLD_TOMBSTONES_MIN
    with cooperative(chance) as scheduler, repeatable(random.Random(chance.random())):
        limits.FOLD_TOMBSTONES_MIN = 3  # so that histories fold
        memory.MemoryStore = SimulatedStore  # type: ignore[misc] # what opens `memory://` finds it there
        try:
            yield scheduler
        finally:
            memory.MemoryStore = before  # type: ignore[misc]
            limits.FOLD_TOMBSTONES_MIN = folds


def make_base(root: Path) -> Base:
    """Make what every history begins with, under a directory."""
    files = root / "base"
    files.mkdir()
    chance = random.Random(0)
    _clear()
    with simulated(chance) as scheduler:
        world = World(files, scheduler, Weather(), chance)
        store.enter(world.site)
        steps: list[tuple[str, acts.Act]] = [(ADMIN, lambda world, _: _initialize(world))]
        steps += [(host, acts.back_up) for _ in range(_ROUNDS) for host in WRITERS]
        steps += [(ADMIN, acts.forget)] * _FORGOTTEN
        for number, (host, act) in enumerate(steps):
            actor = Actor(f"base {number}", host)
            world.start(actor, lambda act=act, actor=actor: act(world, actor))  # type: ignore[misc]
            scheduler.run()
            scheduler.now_s += DAY_S
        store.leave()
        faults = [*(str(error) for _, error in scheduler.errors), *world.faults, *world.obligations.broken]
        assert not faults, faults
        snapshots = {
            known.head.snapshot: world.content_of(known.head.snapshot) for known in world.obligations.commits.values()
        }
        return Base(_objects(), files, world.fingerprint, scheduler.now_s + 10 * DAY_S, snapshots, world.trees)


@contextmanager
def begun(base: Base, root: Path, scheduler: Scheduler, weather: Weather, chance: random.Random) -> Iterator[World]:
    """Hold a world that begins as the base ended."""
    _clear()
    for name, (objects, kept) in base.objects.items():
        shelf = shared_shelf(f"simulated-{name}")
        shelf.objects.update(objects)
        shelf.kept.update({one: replace(how) for one, how in kept.items()})
        shelf.generations = itertools.count(1 + max(how.generation for how in kept.values()))
    hosts = root / "hosts"
    shutil.rmtree(hosts, ignore_errors=True)
    shutil.copytree(base.files, hosts)
    scheduler.now_s = base.now_s
    world = World(hosts, scheduler, weather, chance, fingerprint=base.fingerprint, snapshots=base.snapshots)
    world.trees = {name: copied(tree) for name, tree in base.trees.items()}
    store.enter(world.site)
    try:
        yield world
    finally:
        store.leave()


def _shelves() -> dict[str, Shelf]:
    return {name: shared_shelf(f"simulated-{name}") for name in REPLICAS}


def _clear() -> None:
    for shelf in _shelves().values():
        shelf.objects.clear()
        shelf.kept.clear()


def _objects() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {name: (dict(shelf.objects), copy.deepcopy(shelf.kept)) for name, shelf in _shelves().items()}


@contextmanager
def scratch() -> Iterator[Path]:
    """Hold a directory in memory, where this machine has a file system there."""
    memory_root = Path("/dev/shm")
    place = tempfile.mkdtemp(prefix="farshore-simulation-", dir=memory_root if memory_root.is_dir() else None)
    try:
        yield Path(place)
    finally:
        with suppress(OSError):
            shutil.rmtree(place)
