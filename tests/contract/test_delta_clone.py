"""`restore --delta` where files can share blocks (XFS): a patched image is a clone that replaces the old one."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.delta_trees import PAGE, Shelter, scribble
from tests.contract.directory_trees import may_mount

CHANCE = random.Random(12)
PAGES = 2000
DISK_BYTES = 320 << 20  # XFS is not made smaller

pytestmark = pytest.mark.skipif(not may_mount(), reason="needs the right to mount")


@pytest.fixture
def cloning(tmp_path: Path) -> Iterator[Path]:
    """A directory on a fresh XFS."""
    image, place = tmp_path / "disk", tmp_path / "xfs"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_whoever_has_the_old_image_open_keeps_it_whole(tmp_path: Path, cloning: Path) -> None:
    shelter, target = Shelter(tmp_path), cloning / "target"
    (shelter.source / "disk.img").write_bytes(CHANCE.randbytes(PAGES * PAGE))
    shelter.backup()
    shelter.restore(target, fresh=True)
    scribble(target / "disk.img", [5, 6, 1500], CHANCE)
    old = (target / "disk.img").read_bytes()
    with (target / "disk.img").open("rb") as opened:
        shelter.restore(target)
        assert shelter.actions()[b"disk.img"] == "patch"
        assert os.fstat(opened.fileno()).st_ino != (target / "disk.img").stat().st_ino
        assert opened.read() == old
    assert shelter.differences(target) == []
    assert sorted(os.listdir(target)) == ["disk.img"]
