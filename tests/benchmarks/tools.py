"""What every tool of the bench is: an untimed preparation, and one command for each step it can do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tests.benchmarks.measuring import Job

FIRST, UNCHANGED, CHANGED, VERIFY, RESTORE = "first", "unchanged", "changed", "verify", "restore"
READ, READ_DISK = "read", "read-disk"  # floors: the source read and thrown away, from the cache and from the disk
STEPS = (READ, READ_DISK, FIRST, UNCHANGED, CHANGED, VERIFY, RESTORE)
BACKUPS = (FIRST, UNCHANGED, CHANGED)
SNAPSHOTS = "snapshots"  # a dataset of its own: a repository with many of them
HELP, LIST = "help", "list"  # steps there
VERBS = ("put", "get", "head", "list", "delete")
PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of the local S3 server."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where one tool works on one dataset: `place` is empty at first and all its own, and so is a mirror's `mirror`."""

    dataset: str
    source: Path  # the directory to back up
    place: Path
    restored: Path = Path()  # empty before the restore, which alone knows it
    mirror: Path | None = None
    bucket: Bucket | None = None

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def repository(self) -> Path:
        return self.mirror or self.place / "repository"


@dataclass(frozen=True, slots=True)
class Said:
    """What a tool says of one step by itself."""

    requests: Mapping[str, int] = field(default_factory=dict)
    bytes_down: int = 0


class Tool(ABC):
    """One program at its defaults, with one kind of repository. Holds no state between steps."""

    name: ClassVar[str]
    title: ClassVar[str]
    steps: ClassVar[frozenset[str]] = frozenset((FIRST, UNCHANGED, CHANGED, VERIFY, RESTORE))
    datasets: ClassVar[frozenset[str]] = frozenset(("tree", "image", "noise"))
    on_s3: ClassVar[bool] = False
    metadata: ClassVar[bool] = True  # a restore brings back permissions and times
    time_step_ns: ClassVar[int] = 1  # as exact as it keeps them
    copies: ClassVar[int] = 1  # of what it stores
    mirrors: ClassVar[bool] = False  # its repository in a directory holds every file as a file

    @abstractmethod
    def version(self) -> str:
        """Return the version of the program that would run."""

    @abstractmethod
    def prepare(self, setting: Setting) -> None:
        """Make the repository; not timed."""

    @abstractmethod
    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        """Return the command of a step; `newest` is the last backup that was made, which restores bring back."""

    def said(self, output: str) -> Said:
        """Return what the standard output of a step reports."""
        return Said()

    def stored_bytes(self, setting: Setting) -> int:
        """Return the size of the repository in a directory."""
        return directory_bytes(setting.repository)


def directory_bytes(root: Path) -> int:
    """Return the sum of the sizes of all files below a directory."""
    total = 0
    for directory, _, files in os.walk(root):
        total += sum(os.lstat(os.path.join(directory, name)).st_size for name in files)
    return total
