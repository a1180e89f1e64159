"""A small world to hurt: a source that changes by rounds, three directory replicas, and what each round held."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.clock import SystemClock
from farshore.config import Config, load_config
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import generate_identity
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from tests.end_to_end.preloaded import Started, read_at_start

REPLICAS = ("one", "two", "three")
_ROUND_FILE = "round.txt"


@dataclass
class World:
    """Made in a temporary directory. `advance` changes the source; `expected` remembers each round's content."""

    root: Path
    seed: int
    files: int = 300
    large_bytes: int = 6_000_000
    quorum: int = 2
    expected: dict[str, dict[str, str]] = field(default_factory=dict)
    round: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.source = self.root / "source"
        self.source.mkdir()
        replicas = []
        for name in REPLICAS:
            (self.root / name).mkdir()
            replicas.append(f'[replicas.{name}]\nurl = "file://{self.root / name}"\n')
        self.config_path = self.root / "farshore.toml"
        self.config_path.write_text(
            f'[repository]\nquorum = {self.quorum}\nidentity = "{self.root / "identity"}"\n'
            f'[sources.home]\ntype = "directory"\npath = "{self.source}"\n'
            f'[state]\ndir = "{self.root / "state"}"\n' + "".join(replicas)
        )
        self.clock = SystemClock()
        self.config = self.load()

    @property
    def environment(self) -> dict[str, str]:
        return {**read_at_start(os.environ), "HOME": str(self.root), "PATH": "/usr/bin:/bin"}

    def load(self) -> Config:
        return load_config(self.config_path, self.environment)

    def initialize(self) -> None:
        """Make the repository, for an identity: a passphrase would take a third of the time of every run here."""
        initialize(self.config, recipients=[generate_identity(self.root / "identity")], clock=self.clock)

    def advance(self) -> str:
        """Change part of the source and remember all of it under this round's name."""
        self.round += 1
        for _ in range(max(self.files // 10, 1) if self.round > 1 else self.files):
            number = self.random.randrange(self.files)
            path = self.source / f"directory-{number % 7}" / f"file-{number}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.random.randbytes(self.random.randrange(1, 40_000)))
        large = self.source / "large.bin"
        data = bytearray(large.read_bytes()) if large.exists() else bytearray(self.random.randbytes(self.large_bytes))
        at = self.random.randrange(len(data) - 100_000)
        data[at : at + 100_000] = self.random.randbytes(100_000)
        large.write_bytes(data)
        (self.source / _ROUND_FILE).write_text(str(self.round))
        self.expected[str(self.round)] = fingerprint(self.source)
        return str(self.round)

    def start(self, *words: str) -> Started:
        """Start one command in a process of its own."""
        return Started(["--config", str(self.config_path), *words], folder=self.root, environment=self.environment)

    def start_backup(self, *more: str) -> Started:
        """Start a backup."""
        return self.start("--quiet", "backup", "home", *more)

    def backup(self) -> str:
        """Run a backup to its end; return what it printed. It must succeed."""
        return succeed(self.start_backup())

    def snapshots(self) -> list[Snapshot]:
        with open_repository(self.config, need=Need.WRITE, clock=self.clock) as repository:
            return list_snapshots(repository)

    def check_everything(self, *, replicas: tuple[str, ...] = REPLICAS, samples: int | None = None) -> int:
        """Restore every snapshot from every replica that lists it, alone, and compare with what its round held.

        Then verify every replica with all its data. Returns the number of restores.
        """
        restored = 0
        with open_repository(self.config, need=Need.READ, clock=self.clock) as repository:
            snapshots = list_snapshots(repository)
            chosen = snapshots if samples is None else self.random.sample(snapshots, min(samples, len(snapshots)))
            for snapshot in chosen:
                for replica in snapshot.replicas:
                    target = self.root / "restored"
                    restore_snapshot(repository, snapshot, target, replica=replica, run=Run.start(self.clock))
                    name = (target / _ROUND_FILE).read_text()
                    assert fingerprint(target) == self.expected[name], f"{snapshot.snapshot_id} from {replica}"
                    shutil.rmtree(target)
                    restored += 1
            for replica in replicas:
                result = verify_repository(
                    repository, replica=replica, read_data_percent=100.0, run=Run.start(self.clock)
                )
                assert result.clean, [(one.name, one.code, one.detail) for one in result.damaged]
        return restored


def succeed(process: Started) -> str:
    """Wait until a command has ended, which must be well; return what it printed."""
    with process:
        code = process.wait(120)
        printed = "".join(process.printed())
    assert code == 0, printed
    return printed


def fingerprint(root: Path) -> dict[str, str]:
    """Return the hash of every file below a directory."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
