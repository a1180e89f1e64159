"""A repository of one tree, restores of it into trees that are there, and how those trees came to differ."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farshore.catalog.snapshots import list_snapshots
from farshore.ops.restore.delta.options import DeltaOptions, Difference
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.restore import restore_snapshot
from farshore.results import RestoreResult
from farshore.run import Run
from farshore.sources.directory.source import DirectorySource
from tests.contract.directory_trees import BLOCK, differences
from tests.property.living_tree import ShiftedClock
from tests.unit.ops.engine import Engine, fresh_memory_urls

PAGE = 4096


@dataclass
class Shelter:
    """A source directory that was backed up once, in one replica in memory."""

    root: Path
    reported: list[Difference] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = self.root / "source"
        self.source.mkdir()
        self.engine = Engine(
            self.root / "engine", clock=ShiftedClock(), urls=fresh_memory_urls("a"), quorum=1
        ).initialize()

    def backup(self) -> None:
        self.engine.clock.advance(10)
        source = DirectorySource(name="tree", path=self.source, clock=self.engine.clock)
        self.snapshot_id = self.engine.backup(source).snapshot_id

    def restore(
        self,
        target: Path,
        *,
        delete: bool = False,
        by_content: bool = False,
        dry_run: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        below: bytes = b"",
        strip: int = 0,
        fresh: bool = False,
        devices: bool = True,
        setuid: bool = True,
    ) -> RestoreResult:
        self.reported = []
        delta = DeltaOptions(by_content=by_content, delete=delete, dry_run=dry_run, report=self.reported.append)
        options = RestoreOptions(
            include=include,
            exclude=exclude,
            below=below,
            strip=strip,
            delta=None if fresh else delta,
            space=False,
            devices=devices,
            setuid=setuid,
        )
        with self.engine.opened() as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == self.snapshot_id]
            return restore_snapshot(repository, snapshot, target, options=options, run=Run.start(self.engine.clock))

    def differences(self, target: Path) -> list[str]:
        return differences(os.fsencode(self.source), os.fsencode(target))

    def actions(self) -> dict[bytes, str]:
        """What the last restore was to do, by path."""
        return {one.path: one.action for one in self.reported}


def mangle(top: Path, chance: random.Random) -> None:
    """Change a restored `build_everything` in every way that a delta has to see."""
    root = os.fsencode(top)
    with open(root + b"/contents/large", "r+b") as file:
        file.seek(5_000_000)
        file.write(chance.randbytes(100))
    os.unlink(root + b"/names/a")
    os.mkdir(root + b"/names/a")  # a directory where a file must be
    (top / "names/a/inside").write_text("in the way")
    shutil.rmtree(root + b"/contents/empty directory")
    os.symlink("../modes", root + b"/contents/empty directory")  # a symlink where a directory must be
    os.chmod(root + b"/contents/one", 0o600)
    os.utime(root + b"/contents/zeros")  # content as it was
    os.unlink(root + b"/links/a/first in order")  # no longer the same file
    (top / "links/a/first in order").write_text("three names")
    os.makedirs(root + b"/extra/deep/er")
    (top / "extra/deep/er/file").write_text("more")
    shutil.rmtree(root + b"/links/z")
    os.symlink("../modes", root + b"/links/z")
    os.setxattr(root + b"/contents/large", b"user.more", b"1")
    os.setxattr(root + b"/attributes/acl", b"user.extra", b"1")
    os.removexattr(root + b"/attributes/acl", b"system.posix_acl_access")
    os.removexattr(root + b"/attributes/default acl", b"system.posix_acl_default")
    os.link(root + b"/contents/large", root + b"/contents/another")
    with open(root + b"/contents/hole between", "r+b") as file:
        file.seek(3 * BLOCK)
        file.write(b"q" * BLOCK)
    os.unlink(root + b"/links/dangling")
    os.symlink(b"elsewhere", root + b"/links/dangling")
    os.unlink(root + b"/special/fifo")
    (top / "special/fifo").write_text("no fifo")
    os.truncate(root + b"/vast", 5)


def scribble(path: Path, pages: Sequence[int], chance: random.Random) -> None:
    """Rewrite pages of a file."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(chance.randbytes(PAGE))
