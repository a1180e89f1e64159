"""Trial F9: a fresh ext file system has a `lost+found`, and is empty all the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import TargetNotEmpty
from farshore.model import Entry, EntryKind
from farshore.targets.directory.occupants import find_occupant
from farshore.targets.directory.target import DirectoryTarget
from tests.contract.directory_trees import may_mount

pytestmark = pytest.mark.skipif(not may_mount(), reason="needs the right to mount")


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """The top of a file system of its own, as mkfs leaves it."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], check=True)
    (place / "lost+found").mkdir(mode=0o700)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def occupant(place: Path) -> bytes | None:
    fd = os.open(place, os.O_RDONLY)
    try:
        return find_occupant(fd)
    finally:
        os.close(fd)


def test_a_fresh_file_system_is_empty_and_takes_a_restore(top: Path) -> None:
    assert occupant(top) is None
    target = DirectoryTarget(path=top, clock=SystemClock(), processes=0)
    target.begin()
    target.make(Entry(b"", EntryKind.DIRECTORY, mode=0o755))
    target.make(Entry(b"lost+found", EntryKind.DIRECTORY, mode=0o711, mtime_ns=1_000_000_000))
    target.place(Entry(b"lost+found/#12", EntryKind.FILE, mode=0o600, size=4), b"data")
    target.finish()
    assert target.problems() == []
    assert (top / "lost+found" / "#12").read_bytes() == b"data"
    assert (top / "lost+found").stat().st_mode & 0o777 == 0o711


def test_anything_else_is_an_occupant(top: Path, tmp_path: Path) -> None:
    (top / "lost+found" / "#7").write_text("found by fsck")
    assert occupant(top) == b"lost+found"
    (top / "lost+found" / "#7").unlink()
    os.chown(top / "lost+found", 1000, -1)
    assert occupant(top) == b"lost+found"
    os.chown(top / "lost+found", 0, -1)
    (top / "mine").write_text("precious")
    assert occupant(top) == b"mine"
    with pytest.raises(TargetNotEmpty, match="it holds mine"):
        DirectoryTarget(path=top, clock=SystemClock()).begin()
    (tmp_path / "below" / "lost+found").mkdir(parents=True)
    assert occupant(tmp_path / "below") == b"lost+found"  # not the top of a file system


def test_a_file_or_a_symlink_of_that_name_is_an_occupant(top: Path) -> None:
    (top / "lost+found").rmdir()
    (top / "lost+found").write_text("x")
    assert occupant(top) == b"lost+found"
    (top / "lost+found").unlink()
    (top / "lost+found").symlink_to("/")
    assert occupant(top) == b"lost+found"
