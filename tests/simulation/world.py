"""A repository of three replicas with its hosts, made once for a process and copied for each history."""

from __future__ import annotations

import copy
import itertools
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.config import Config
from farshore.config.settings import Dedupe, ReplicaConfig, RepositoryConfig
from farshore.errors import FarshoreError
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.initialize import initialize, write_credential
from farshore.ops.setup.keys import generate_identity
from farshore.replicas.repository import Repository
from farshore.stores import memory
from farshore.stores.memory import Shelf, shared_shelf
from tests.simulation import store
from tests.simulation.clock import SimulatedClock
from tests.simulation.obligations import Obligations
from tests.simulation.primitives import repeatable
from tests.simulation.store import SimulatedStore, Site
from tests.simulation.threads import Actor, Scheduler, cooperative
from tests.simulation.weather import DAY_S, Weather
from tests.unit.ops.tree_source import Node, TreeSource

REPLICAS = ("a", "b", "c")
QUORUM = 2
ADMIN = "admin"  # has the identity that reads, heals and maintains
WRITERS = {"one": "home", "two": "work"}  # write-only hosts of one domain, and the source of each
_FILES = (b"f", b"g", b"h")
_BLOBS = 6

Contents = dict[bytes, bytes | None]


@dataclass(frozen=True)
class Base:
    """What every history begins with."""

    objects: dict[str, tuple[dict[str, Any], dict[str, Any]]]  # by replica
    files: Path  # a copy of the hosts' directories
    fingerprint: str
    now_s: float


@dataclass
class World:
    """One history's repository, its hosts, and what is known of it by whoever looks on."""

    root: Path
    scheduler: Scheduler
    weather: Weather
    chance: random.Random
    dedupe: Dedupe = Dedupe.DOMAIN
    fingerprint: str = ""
    writers: dict[str, str] = field(default_factory=lambda: dict(WRITERS))
    contents: dict[str, Contents] = field(default_factory=dict)  # by the process that backs up
    green: dict[str, list[str]] = field(default_factory=dict)  # snapshot -> replicas that a green run named
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    trees: dict[str, TreeSource] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.shelves = {name: shared_shelf(f"simulated-{name}") for name in REPLICAS}
        self.obligations = Obligations(self.shelves)
        self.site = Site(
            self.scheduler, self.weather, random.Random(self.chance.random()), self.obligations, self.trace,
            service_clock=SimulatedClock(self.scheduler, random.Random(0)),
        )  # fmt: skip
        self.blobs = [random.Random(number).randbytes(40 + 300 * number) for number in range(_BLOBS)]

    def trace(self, line: str) -> None:
        """Note what happened, for people, with the moment."""
        days, seconds = divmod(self.scheduler.now_s, DAY_S)
        self.lines.append(f"day {days:3.0f} {seconds:8.1f} s  {line}")

    def clock(self, host: str) -> SimulatedClock:
        """Return a clock for one process of a host."""
        return SimulatedClock(self.scheduler, random.Random(self.chance.random()), host, self.site.clock_offset_s)

    def config(self, host: str, *replicas: str) -> Config:
        """Return the configuration of a host, of all replicas or of some."""
        own = self.root / host
        reads = host.startswith(ADMIN)
        return Config(
            repository=RepositoryConfig(
                quorum=1 if len(replicas) == 1 else QUORUM,
                fingerprint=self.fingerprint,
                dedupe=self.dedupe,
                identity=self.root / "identity" if reads else None,
                credential=None if reads else own / "credential",
            ),
            replicas={name: ReplicaConfig(name, f"memory://simulated-{name}") for name in replicas or REPLICAS},
            sources={},
            state_dir=own,
        )

    @contextmanager
    def opened(self, host: str, need: Need, *replicas: str, **how: Any) -> Iterator[Repository]:
        """Open the repository as a new process of a host does."""
        with open_repository(self.config(host, *replicas), need=need, clock=self.clock(host), **how) as repository:
            yield repository

    def start(self, actor: Actor, act: Callable[[], str]) -> None:
        """Start a process that does one thing; what it ends with is traced, and judged if it is no error of ours."""

        def work() -> None:
            self.trace(f"{actor.name} begins")
            try:
                done = act()
            except FarshoreError as error:
                self.trace(f"{actor.name} ends: {error.code}: {' '.join(str(error).split())[:300]}")
                if self.site.calm:
                    self.faults.append(f"{actor.name} failed although nothing was wrong: {error.code}: {error}")
                return
            self.trace(f"{actor.name} ends: {done}")

        self.scheduler.spawn(actor, work)

    # --- sources -----------------------------------------------------------------------------------------------------

    def changed_source(self, host: str) -> TreeSource:
        """Change the source of a host a little, and return it as it is now: an earlier content often returns."""
        name = self.writers[host]
        tree = self.trees.get(name)
        if tree is None:
            tree = self.trees[name] = TreeSource(self.clock(host), name=name)
            tree.file(b"e", self.blobs[0])
        path = self.chance.choice(_FILES)
        if path in tree.nodes and self.chance.random() < 0.3:
            tree.remove(path)
        else:
            tree.file(path, self.chance.choice(self.blobs))
        taken = copy.copy(tree)
        taken.nodes = {one: Node(node.entry, list(node.pieces)) for one, node in tree.nodes.items()}
        taken.reads = {}
        return taken


def _setup(world: World) -> None:
    """Make the repository, and enroll the writers."""
    line = generate_identity(world.root / "identity")
    made = initialize(world.config(ADMIN), with_credential=False, recipients=[line], clock=world.clock(ADMIN))
    world.fingerprint = made.fingerprint
    for host in WRITERS:
        enroll_writer(world, host)


def enroll_writer(world: World, host: str) -> None:
    """Give a host a certificate for its source, and the credential that goes with it."""
    with world.opened(ADMIN, Need.OWNER) as repository:
        made = enroll(repository, host, sources=[world.writers[host]], domain="hosts")
        write_credential(world.config(host), made.credential, repository.header)


@contextmanager
def simulated(chance: random.Random) -> Iterator[Scheduler]:
    """Run what follows on virtual threads, time, stores and keys."""
    before = memory.MemoryStore
    with cooperative(chance) as scheduler, repeatable(random.Random(chance.random())):
        memory.MemoryStore = SimulatedStore  # type: ignore[misc] # what opens `memory://` finds it there
        try:
            yield scheduler
        finally:
            memory.MemoryStore = before  # type: ignore[misc]


def make_base(root: Path) -> Base:
    """Make what every history begins with, under a directory."""
    files = root / "base"
    files.mkdir()
    chance = random.Random(0)
    _clear()
    with simulated(chance) as scheduler:
        world = World(files, scheduler, Weather(), chance)
        store.enter(world.site)
        scheduler.spawn(Actor("setup", ADMIN), lambda: _setup(world))
        scheduler.run()
        store.leave()
        for _, error in scheduler.errors:
            raise error
        return Base(_objects(), files, world.fingerprint, scheduler.now_s)


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
    world = World(hosts, scheduler, weather, chance, fingerprint=base.fingerprint)
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
