"""A victim with two replicas in directories, and attacks as processes of their own that never see its keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from farshore.access.open_repository import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.clock import SystemClock
from farshore.config import Config
from farshore.config.settings import ReplicaConfig, RepositoryConfig
from farshore.model import SnapshotState
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import generate_identity
from farshore.replicas.repository import Repository
from farshore.run import Run
from farshore.sources.directory.source import DirectorySource

HERE = Path(__file__).parent
CONTENT = b"what the victim cannot lose\n" * 1000


@dataclass
class Victim:
    """A repository over replicas `one` and `two`, whose owner holds an identity."""

    root: Path

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        (self.root / "home").mkdir(parents=True)
        (self.root / "home/letter").write_bytes(CONTENT)
        for name in ("one", "two"):
            self.replica(name).mkdir()
        self.line = generate_identity(self.root / "identity")
        self.host = "host"
        self.fingerprint = ""
        made = initialize(self.config, recipients=[self.line], clock=self.clock)
        self.fingerprint = made.fingerprint

    @property
    def config(self) -> Config:
        return Config(
            repository=RepositoryConfig(quorum=1, identity=self.root / "identity", fingerprint=self.fingerprint),
            replicas={name: ReplicaConfig(name, f"file://{self.root / name}") for name in ("one", "two")},
            sources={},
            state_dir=self.root / self.host,
        )

    def replica(self, name: str) -> Path:
        return self.root / name

    @contextmanager
    def opened(self, need: Need = Need.READ, *, only: str = "") -> Iterator[Repository]:
        config = self.config
        if only:
            config = replace(config, replicas={only: config.replicas[only]})
        with open_repository(config, need=need, clock=self.clock) as repository:
            yield repository

    def backup(self, need: Need = Need.WRITE) -> str:
        with self.opened(need) as repository:
            source = DirectorySource(name="home", path=self.root / "home", clock=self.clock)
            return run_backup(repository, source, run=Run.start(self.clock)).snapshot_id

    def snapshots(self, *, only: str = "") -> list[Snapshot]:
        with self.opened(only=only) as repository:
            return [one for one in list_snapshots(repository) if one.state is SnapshotState.COMPLETE]

    def restores(self, snapshot_id: str, *, only: str = "") -> bool:
        """Whether a snapshot gives its content back, from all replicas or from one."""
        target = self.root / f"restored-{len(list(self.root.iterdir()))}"
        with self.opened(only=only) as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            restore_snapshot(repository, snapshot, target, run=Run.start(self.clock))
        return (target / "letter").read_bytes() == CONTENT


def attack(script: str, *words: object) -> str:
    """Run an attack to its end in a process that can import nothing of ours."""
    alone = (
        "import sys, runpy; sys.modules['farshore'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", alone, str(HERE / script), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
