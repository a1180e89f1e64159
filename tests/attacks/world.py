"""A victim with two replicas in directories, and attacks as processes of their own that never see its keys.

The victim acts by the command line, `main` called in this process, so that a mutant is a patch of one function.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.cli.main import main
from farshore.clock import Clock, SystemClock
from farshore.config import Config
from farshore.config.settings import ReplicaConfig, RepositoryConfig
from farshore.host import host_name
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
BOTH = ("one", "two")


@dataclass(frozen=True)
class Done:
    """How a command ended, and its records."""

    code: int
    records: list[dict[str, Any]]
    stderr: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.records if one["type"] == kind]

    @property
    def said(self) -> str:
        """All that a person or a program reads."""
        return "\n".join([*map(json.dumps, self.records), self.stderr])


@dataclass
class Victim:
    """A repository over replicas `one` and `two`, whose owner holds an identity."""

    root: Path

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        (self.root / "home").mkdir(parents=True)
        (self.root / "home/letter").write_bytes(CONTENT)
        self.kept: dict[str, bytes] = {}  # of each snapshot, what was in the letter
        for name in BOTH:
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
            replicas={name: ReplicaConfig(name, f"file://{self.root / name}") for name in BOTH},
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
            made = run_backup(repository, source, run=Run.start(self.clock)).snapshot_id
        self.kept[made] = (self.root / "home/letter").read_bytes()
        return made

    def write(self, content: bytes) -> None:
        """Put something new into what is backed up."""
        (self.root / "home/letter").write_bytes(content)

    # --- by the command line ------------------------------------------------------------------------------------------

    def now(self) -> str:
        """Return this moment as the format writes it."""
        return self.clock.now_utc().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @property
    def name(self) -> str:
        """The name by which this host was certified."""
        return host_name()

    def run(self, *words: object, clock: Clock | None = None) -> Done:
        """Run one command to its end, as this host."""
        config = self.root / f"{self.host}.toml"
        replicas = "".join(f'[replicas.{name}]\nurl = "file://{self.root / name}"\n' for name in BOTH)
        config.write_text(
            f'[repository]\nquorum = 1\nidentity = "{self.root / "identity"}"\nfingerprint = "{self.fingerprint}"\n'
            f'{replicas}[sources.home]\ntype = "directory"\npath = "home"\n[state]\ndir = "{self.host}"\n'
        )
        stdout, stderr = io.StringIO(), io.StringIO()
        given = [*map(str, words), "--json", "--config", str(config)]
        code = main(given, {"HOME": str(self.root)}, stdout, stderr, clock or self.clock)
        assert code != 1, stderr.getvalue()
        return Done(code, [json.loads(line) for line in stdout.getvalue().splitlines()], stderr.getvalue())

    def good(self, *words: object) -> Done:
        done = self.run(*words)
        assert done.code == 0, (words, done.said)
        return done

    def enroll(self, host: str, domain: str = "main", *more: str) -> Path:
        """Certify another host; return its credential, which is all that a thief of it has."""
        out = self.root / f"{host}.credential"
        self.good("key", "enroll", host, "--domain", domain, "--out", out, *more)
        return out

    def listed(self, *words: object) -> list[str]:
        """Return the ids of the snapshots that the command line lists."""
        return [one["snapshot_id"] for one in self.run("snapshots", *words).of("snapshot")]

    def restored(self, snapshot: str, *words: object) -> bytes | None:
        """Return the letter of a snapshot as the command line restores it; None where it does not."""
        target = self.root / f"restored-{len(list(self.root.iterdir()))}"
        done = self.run("restore", snapshot, "--target", target, "--no-repair", *words)
        return (target / "letter").read_bytes() if done.code in (0, 3) and (target / "letter").exists() else None

    def stored(self) -> dict[tuple[str, str], str]:
        """Return the hash of each object, by replica and name."""
        found = {}
        for name in BOTH:
            for path in self.replica(name).rglob("*"):
                if path.is_file():
                    found[name, str(path.relative_to(self.replica(name)))] = blake3(path.read_bytes()).hexdigest()
        return found

    def stands(self, before: dict[tuple[str, str], str], *, lost: Collection[str] = ()) -> None:
        """Fail unless all snapshots restore from every replica, and every object is where and what it was."""
        now = self.stored()
        changed = {place for place, value in before.items() if now.get(place) != value}
        assert not {name for _, name in changed} - set(lost)
        assert set(self.kept) <= set(self.listed())
        for snapshot, content in self.kept.items():
            for name in BOTH:
                assert self.restored(snapshot, "--replica", name) == content, (snapshot, name)

    def snapshots(self, *, only: str = "") -> list[Snapshot]:
        with self.opened(only=only) as repository:
            return [one for one in list_snapshots(repository) if one.state is SnapshotState.COMPLETE]

    def restores(self, snapshot_id: str, *, only: str = "") -> bool:
        """Whether a snapshot gives its content back, from all replicas or from one."""
        target = self.root / f"restored-{len(list(self.root.iterdir()))}"
        with self.opened(only=only) as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            restore_snapshot(repository, snapshot, target, run=Run.start(self.clock))
        return (target / "letter").read_bytes() == self.kept[snapshot_id]


def attack(script: str, *words: object) -> str:
    """Run an attack to its end in a process that can import nothing of ours."""
    alone = (
        "import sys, runpy; sys.modules['farshore'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", alone, str(HERE / script), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
