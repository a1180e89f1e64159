"""Trial N10: whether a restore fits is asked first, by what it will allocate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import TargetTooSmall
from farshore.format.extents import encode_extents
from farshore.format.manifest import ManifestRow
from farshore.model import HOLE, Entry, EntryKind, Extent, SnapshotCounts
from farshore.ops.restore.space import Demand, demand_of, find_room, require_space
from tests.contract.directory_trees import may_mount

MIB = 1024 * 1024
DATA = b"d" * 32


def file(name: bytes, *pieces: int) -> ManifestRow:
    """A file of data and, for figures below zero, holes."""
    extents = [Extent(DATA if one > 0 else HOLE, 0, abs(one)) for one in pieces]
    return ManifestRow(Entry(name, EntryKind.FILE, size=sum(map(abs, pieces))), extents=encode_extents(extents))


def counts(rows: list[ManifestRow]) -> SnapshotCounts:
    return SnapshotCounts(entries=len(rows), bytes_total=sum(row.entry.size for row in rows))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes and a hundred inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=100", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_holes_need_no_room_and_links_none_of_their_own() -> None:
    rows = [
        ManifestRow(Entry(b"", EntryKind.DIRECTORY)),
        file(b"sparse", 10, -(1 << 50), 10),
        file(b"small", 1),
        file(b"empty"),
        ManifestRow(Entry(b"link", EntryKind.HARDLINK, target=b"small", size=1)),
        ManifestRow(Entry(b"short", EntryKind.SYMLINK, target=b"x")),
        ManifestRow(Entry(b"long", EntryKind.SYMLINK, target=b"x" * 200)),
    ]
    assert demand_of(rows, 4096) == Demand(bytes=4 * 4096, inodes=6)


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_what_does_not_fit_is_refused_with_what_is_missing(disk: Path) -> None:
    rows = [file(b"large", 6 * MIB)]
    with pytest.raises(
        TargetTooSmall, match=r"6\.0 MiB will be written and 4\.0 MiB are free, so 2\.0 MiB are missing"
    ):
        require_space(disk / "not" / "there" / "yet", counts(rows), lambda: rows)
    many = [file(str(number).encode()) for number in range(150)]
    with pytest.raises(TargetTooSmall, match=r"150 entries will be made and 9[0-9] inodes are free"):
        require_space(disk, counts(many), lambda: many)
    holes = [file(b"sparse", MIB, -(1 << 40), MIB)]
    require_space(disk, counts(holes), lambda: holes)


def test_where_everything_fits_the_manifest_is_not_read(tmp_path: Path) -> None:
    def never() -> list[ManifestRow]:
        raise AssertionError

    require_space(tmp_path / "new", SnapshotCounts(entries=10, bytes_total=1000), never)


def test_room_is_that_of_the_file_system(tmp_path: Path) -> None:
    room = find_room(tmp_path / "a" / "b")
    assert room.bytes_free is not None
    assert room.bytes_free <= os.statvfs(tmp_path).f_blocks * room.block_bytes
