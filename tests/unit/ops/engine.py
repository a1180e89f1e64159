"""A whole engine for tests: replicas in memory, keys by an identity so that nothing is slow, and ways to hurt it."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.check_results import VerifyResult
from farshore.clock import Clock
from farshore.config import Config
from farshore.config.settings import ReplicaConfig, RepositoryConfig
from farshore.format import names
from farshore.format.commit import Commit
from farshore.format.needs import Needs
from farshore.host import host_name
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.initialize import initialize, write_credential
from farshore.ops.setup.keys import generate_identity
from farshore.ops.verify.verify import verify_repository
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import BackupSizes, Repository
from farshore.results import BackupResult, RestoreResult
from farshore.run import Run
from farshore.sources.base import Source
from farshore.stores.base import Store
from farshore.stores.memory import Shelf, shared_shelf
from farshore.trust.actions import Right
from tests.doubles.clock import FixedClock
from tests.unit.ops.templates import Template
from tests.unit.replicas.clocks import StillClock

_numbers = itertools.count()
_made: dict[tuple[object, ...], Template] = {}


def fresh_memory_urls(*names_of: str) -> dict[str, str]:
    """Return for each name the URL of a new, empty replica in this process's memory."""
    number = next(_numbers)
    return {name: f"memory://{os.getpid()}-{number}-{name}" for name in names_of}


class MovedClock(Clock, Protocol):
    """A clock that tests move on."""

    def advance(self, seconds: float) -> None: ...


@dataclass
class Engine:
    """A repository with its replicas, seen from one host."""

    root: Path
    clock: MovedClock = field(default_factory=StillClock)
    urls: dict[str, str] = field(default_factory=lambda: fresh_memory_urls("a", "b", "c"))
    quorum: int = 2
    host: str = "host"
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # more keys of a replica's section, by its name
    sizes: BackupSizes = field(default_factory=BackupSizes)
    restored: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.identity = self.root / "identity"
        self.repository_config = RepositoryConfig(quorum=self.quorum, identity=self.identity)
        self.places = dict(self.urls)  # where replicas are also while they are away
        self.wrap: Callable[[str, Store], Store] = lambda _, store: store

    @property
    def state_dir(self) -> Path:
        return self.root / self.host

    @property
    def config(self) -> Config:
        return Config(
            repository=self.repository_config,
            replicas={name: ReplicaConfig(name, url, **self.settings.get(name, {})) for name, url in self.urls.items()},
            sources={},
            state_dir=self.state_dir,
        )

    def initialize(self, *, write_only: bool = False) -> Engine:
        """Make the repository: a copy of one that was made before by a clock in the same state, where there is one.

        Two repositories that a test needs to be different have clocks with different seeds.
        """
        if not isinstance(self.clock, FixedClock) or any(self.root.iterdir()) or not self._in_memory():
            return self._make(write_only)
        config = replace(self.repository_config, identity=None)
        settings = repr((list(self.urls), self.host, self.settings))
        made_by = (type(self), type(self.clock), self.clock.state, config, settings, write_only)
        if made_by in _made:
            return self.begin_with(_made[made_by])
        self._make(write_only)
        _made[made_by] = self.template()
        return self

    def template(self) -> Template:
        """Keep everything as it is now, for engines that begin with it."""
        assert isinstance(self.clock, FixedClock)
        fingerprint = self.repository_config.fingerprint
        return Template.of(self.root, {name: self.shelf(name) for name in self.urls}, self.clock, fingerprint)

    def begin_with(self, template: Template) -> Engine:
        """Be what another engine was, with objects, files and a clock of its own; instead of `initialize`."""
        assert isinstance(self.clock, FixedClock)
        template.fill(self.root, {name: self.shelf(name) for name in self.urls}, self.urls, self.clock)
        self.repository_config = replace(self.repository_config, fingerprint=template.fingerprint)
        return self

    def _in_memory(self) -> bool:
        return all(url.startswith("memory://") and not self.shelf(name).objects for name, url in self.urls.items())

    def _make(self, write_only: bool) -> Engine:
        recipient = generate_identity(self.identity)
        made = initialize(
            self.config, write_only=write_only, with_credential=write_only, recipients=[recipient], clock=self.clock
        )
        self.repository_config = replace(self.repository_config, fingerprint=made.fingerprint)
        return self

    def enroll(self, **how: Any) -> str:
        """Leave this host's credential, for its own name unless another is given; return where it is."""
        with self.opened(Need.OWNER) as repository:
            made = enroll(repository, how.pop("name", host_name()), **how)
            return write_credential(self.config, made.credential, repository.header)

    def at(self, host: str, *, reads: bool = True) -> Engine:
        """Return the same repository as another host sees it: its own state, and perhaps no key to read with."""
        other = replace(self, host=host)
        fingerprint = self.repository_config.fingerprint
        other.repository_config = replace(other.repository_config, fingerprint=fingerprint)
        if not reads:
            credential = other.state_dir / "credential"
            other.repository_config = replace(self.repository_config, identity=None, credential=credential)
        return other

    @contextmanager
    def opened(
        self, need: Need = Need.READ, *, right: Right | None = None, replica: str | None = None
    ) -> Iterator[Repository]:
        with open_repository(self.config, need=need, right=right, replica=replica, clock=self.clock) as repository:
            repository.backup_sizes = self.sizes
            repository.replicas = {
                name: replace(one, store=self.wrap(name, one.store)) for name, one in repository.replicas.items()
            }
            yield repository

    def backup(
        self,
        source: Source,
        *,
        need: Need = Need.WRITE,
        identity: str = "",
        tags: Sequence[str] = (),
        allow_empty: bool = False,
        accept_new: bool = False,
    ) -> BackupResult:
        self.clock.advance(0.001)  # no two commits of a source are of one moment
        with self.opened(need) as repository:
            return run_backup(
                repository,
                source,
                identity=identity,
                tags=tags,
                allow_empty=allow_empty,
                accept_new=accept_new,
                run=Run.start(self.clock),
            )

    def snapshots(self, source: str | None = None) -> list[Snapshot]:
        with self.opened() as repository:
            return list_snapshots(repository, source)

    def restore(
        self, snapshot_id: str, *, replica: str | None = None, **options: Any
    ) -> tuple[RestoreResult, dict[bytes, bytes | None]]:
        """Restore into a new directory; return the result and what is there."""
        target = self.root / f"restored-{next(self.restored)}"
        with self.opened() as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            result = restore_snapshot(
                repository,
                snapshot,
                target,
                options=RestoreOptions(**options),
                replica=replica,
                run=Run.start(self.clock),
            )
        shown = tree(target)
        shutil.rmtree(target)
        return result, shown

    def verify(self, *, replica: str | None = None, percent: float = 100.0, need: Need = Need.READ) -> VerifyResult:
        with self.opened(need) as repository:
            return verify_repository(repository, replica=replica, read_data_percent=percent, run=Run.start(self.clock))

    @contextmanager
    def away(self, *replicas: str) -> Iterator[None]:
        """Have some replicas out of reach for a while."""
        for name in replicas:
            self.take_away(name)
        yield
        for name in replicas:
            self.bring_back(name)

    def take_away(self, replica: str) -> None:
        self.urls[replica] = (self.root / "out-of-reach" / replica).as_uri()

    def bring_back(self, replica: str) -> None:
        self.urls[replica] = self.places[replica]

    def commit_of(self, snapshot_id: str) -> Commit:
        with self.opened(Need.WRITE) as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
        return snapshot.commit

    def needs_of(self, snapshot_id: str) -> Needs:
        with self.opened(Need.WRITE) as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            return read_needs(repository, open_reader(repository), snapshot.commit)

    def object_of(self, snapshot_id: str, role: str) -> str:
        """Return the name of a snapshot's commit, first run of a role, newest or oldest pages, or own data-key."""
        commit = self.commit_of(snapshot_id)
        if role == "commit":
            return commit.name
        if role == "data-key":
            own = [key for key in self.needs_of(snapshot_id).data_keys if key.key_id == commit.data_key]
            return own[0].name
        return commit.pages[-1].name if role == names.PAGES else commit.runs[role.removeprefix("oldest-")][0].name

    # --- looking and hurting, at replicas in memory ------------------------------------------------------------------

    def shelf(self, replica: str) -> Shelf:
        return shared_shelf(self.places.get(replica, self.urls.get(replica, "")).removeprefix("memory://"))

    def objects(self, replica: str, prefix: str = "") -> dict[str, bytes]:
        return {
            name: data for name, (data, _) in sorted(self.shelf(replica).objects.items()) if name.startswith(prefix)
        }

    def data_objects(self, replica: str) -> dict[str, bytes]:
        """Everything that a verify leaves as it is and that must be alike at all replicas."""
        found, others = self.objects(replica), (names.LEASES, names.AUDIT, names.VERDICTS)
        return {name: data for name, data in found.items() if not name.startswith(others)}

    def alter(self, replica: str, name: str, change: Callable[[bytes], bytes]) -> None:
        data, moment = self.shelf(replica).objects[name]
        self.shelf(replica).objects[name] = (change(data), moment)

    def lose(self, replica: str, name: str) -> None:
        del self.shelf(replica).objects[name]

    def flip(self, replica: str, name: str, at: int = -1) -> None:
        """Flip one bit; by default in the middle."""
        self.alter(replica, name, lambda data: flipped(data, at if at >= 0 else len(data) // 2))

    def forget_cache(self) -> None:
        """Lose everything this host keeps besides its credential."""
        shutil.rmtree(self.config.cache_dir, ignore_errors=True)

    def cached_files(self) -> list[Path]:
        return sorted(path for path in (self.config.cache_dir / "objects").rglob("*") if path.is_file())


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def tree(root: Path) -> dict[bytes, bytes | None]:
    """Return the content of every file below a directory, by path; None for anything else."""
    top = os.fsencode(root)
    shown: dict[bytes, bytes | None] = {b"": None}
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(folder, name)
            is_file = os.path.isfile(path) and not os.path.islink(path)
            with open(path, "rb") if is_file else open(os.devnull, "rb") as file:
                shown[os.path.relpath(path, top)] = file.read() if is_file else None
    return shown
