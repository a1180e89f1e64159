"""A repository of three replicas with its hosts, made once for a process and copied for each history."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.config import Config
from farshore.config.settings import Dedupe, ReplicaConfig, RepositoryConfig
from farshore.errors import FarshoreError
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.initialize import write_credential
from farshore.replicas.repository import Repository
from farshore.stores.memory import shared_shelf
from tests.simulation.clock import SimulatedClock
from tests.simulation.obligations import Obligations
from tests.simulation.store import Site
from tests.simulation.threads import Actor, Scheduler
from tests.simulation.weather import DAY_S, Weather
from tests.unit.ops.tree_source import Node, TreeSource

REPLICAS = ("a", "b", "c")
QUORUM = 2
ADMIN = "admin"  # has the identity that reads, heals and maintains
WRITERS = {"one": "home", "two": "work"}  # write-only hosts of one domain, and the source of each
_FILES = (b"f", b"g", b"h")
_BLOBS = 16

Contents = dict[bytes, bytes | None]


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
    snapshots: dict[str, Contents] = field(default_factory=dict)  # of those that were there at the beginning
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
        self.blobs = [random.Random(number).randbytes(40 + 100 * number) for number in range(_BLOBS)]

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

    def _earlier_contents(self) -> list[bytes]:
        """Return the contents of files that snapshots of the beginning had and no source has now: mostly garbage."""
        now = {tree.content(path) for tree in self.trees.values() for path in tree.nodes}
        had = {content for shown in self.snapshots.values() for content in shown.values() if content}
        return sorted(had - now)

    def content_of(self, snapshot: str) -> Contents:
        """Return what was backed up as a snapshot, also by a process that died before it said so."""
        makers = [by for by, made in self.obligations.snapshot_of.items() if made == snapshot and by in self.contents]
        return self.contents[makers[0]] if makers else self.snapshots[snapshot]

    # --- sources -----------------------------------------------------------------------------------------------------

    def changed_source(self, host: str, *, returns: bool = False) -> TreeSource:
        """Change the source of a host a little, and return it as it is now: an earlier content often returns.

        Args:
            returns: It does.
        """
        name = self.writers[host]
        tree = self.trees.get(name)
        if tree is None:
            tree = self.trees[name] = TreeSource(self.clock(host), name=name)
            tree.file(b"e", self.blobs[0])
        path = self.chance.choice(_FILES)
        if not self.snapshots:  # at the beginning: each snapshot leaves a pack that only it needs
            tree.file(_FILES[0], self.blobs.pop())
        elif not returns and path in tree.nodes and self.chance.random() < 0.3:
            tree.remove(path)
        else:
            tree.file(path, self.chance.choice(self._earlier_contents() or self.blobs))
        return copied(tree)


def enroll_writer(world: World, host: str) -> None:
    """Give a host a certificate for its source, and the credential that goes with it."""
    with world.opened(ADMIN, Need.OWNER) as repository:
        made = enroll(repository, host, sources=[world.writers[host]], domain="hosts")
        write_credential(world.config(host), made.credential, repository.header)


def copied(tree: TreeSource) -> TreeSource:
    """Return a source as it is now."""
    taken = copy.copy(tree)
    taken.nodes = {one: Node(node.entry, list(node.pieces)) for one, node in tree.nodes.items()}
    taken.reads = {}
    return taken
