"""A repository on real servers, for tests from end to end: its configuration, and the steps on it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots, resolve_snapshot
from farshore.clock import SystemClock
from farshore.config import Config, load_config
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import generate_identity
from farshore.results import BackupResult, RestoreResult
from farshore.run import Run

Place = Mapping[str, object]


@dataclass
class Setting:
    """Made in a temporary directory from places (url, endpoint, credentials) and sources (TOML lines)."""

    root: Path
    places: Mapping[str, Place]
    sources: Mapping[str, str]
    quorum: int = 2
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.environment |= {"HOME": str(self.root)}
        identity = f'identity = "{self.root / "identity"}"'  # a passphrase takes longer than most of what is tested
        lines = [f"[repository]\nquorum = {self.quorum}\n{identity}", f'[state]\ndir = "{self.root / "state"}"']
        for name, place in self.places.items():
            lines.append(f'[replicas.{name}]\nurl = "{place["url"]}"')
            if place["endpoint"]:
                lines.append(f'endpoint = "{place["endpoint"]}"')
            credentials = place["credentials"]
            if isinstance(credentials, dict) and credentials:
                for key, value in credentials.items():
                    self.environment[f"{name}_{key}".upper()] = value
                references = ", ".join(f'{key} = {{ env = "{name.upper()}_{key.upper()}" }}' for key in credentials)
                lines.append(f"credentials = {{ {references} }}")
        lines += [f"[sources.{name}]\n{text}" for name, text in self.sources.items()]
        self.path = self.root / "farshore.toml"
        self.path.write_text("\n".join(lines) + "\n")
        self.config: Config = load_config(self.path, self.environment)

    def initialize(self, *, write_only: bool = False) -> None:
        recipient = generate_identity(self.root / "identity")
        initialize(self.config, write_only=write_only, recipients=[recipient], clock=self.clock)

    def backup(self, source: str) -> BackupResult:
        with open_repository(self.config, need=Need.WRITE, clock=self.clock) as repository:
            return run_backup(repository, open_source(self.config, source, clock=self.clock), run=Run.start(self.clock))

    def snapshots(self) -> list[Snapshot]:
        with open_repository(self.config, need=Need.WRITE, clock=self.clock) as repository:
            return list_snapshots(repository)

    def restore(self, selector: str, target: Path, *, replica: str | None = None) -> RestoreResult:
        with open_repository(self.config, need=Need.READ, clock=self.clock) as repository:
            snapshot = resolve_snapshot(repository, selector)
            return restore_snapshot(repository, snapshot, target, replica=replica, run=Run.start(self.clock))


def rsync_differences(before: Path, after: Path) -> str:
    """Return what rsync would have to do to make two trees alike in content and all metadata; empty when nothing."""
    done = subprocess.run(
        ["rsync", "-aHAXSn", "--checksum", "--delete", "--itemize-changes", f"{before}/", f"{after}/"],
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )
    return done.stdout
