"""Files whose size says nothing of their content, as the kernel makes them up below /proc and /sys (trial F6)."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import SystemClock
from farshore.handles import DirectoryHandles
from farshore.model import Entry
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from farshore.sources.base import Data
from farshore.sources.directory.small_files import SmallFiles
from farshore.sources.directory.source import DirectoryCapture, DirectorySource
from tests.contract.fuse_files import Lie, has_fuse, mounted
from tests.unit.ops.engine import Engine
from tests.unit.replicas.clocks import StillClock

RANDOM = Path("/proc/sys/kernel/random")  # its files claim 0 bytes
BOOT_ID = RANDOM / "boot_id"  # and this one stays the same
KERNEL = Path("/sys/kernel")  # its files claim a page
LARGE = Path("/proc/kallsyms")  # megabytes that claim 0 bytes
pytestmark = pytest.mark.skipif(not BOOT_ID.exists(), reason="needs files that a kernel makes up")


def read(capture: DirectoryCapture, name: bytes) -> tuple[Entry, bytes]:
    """Return a file as it was listed and read."""
    [item] = [item for item in capture.items() if item.stat_entry.path == name]
    with item.open() as content:
        data = b"".join(piece.data for piece in content.pieces() if isinstance(piece, Data))
        return content.settled(), data


def test_what_follows_behind_the_size_is_read() -> None:
    with DirectorySource(name="s", path=RANDOM, clock=SystemClock()).capture() as capture:
        assert isinstance(capture, DirectoryCapture)
        entry, data = read(capture, b"boot_id")
        assert (data, entry.size) == (BOOT_ID.read_bytes(), 37)
        assert capture.problems() == []


def test_into_buffers_too() -> None:
    with DirectorySource(name="s", path=RANDOM, clock=SystemClock()).capture() as capture:
        [item] = [item for item in capture.items() if item.stat_entry.path == b"boot_id"]
        buffer = memoryview(bytearray(16))
        data = b""
        with item.open() as content:
            for count in content.pieces_into(lambda: buffer):  # type: ignore[attr-defined]
                data += buffer[:count]
            assert content.settled().size == 37
        assert data == BOOT_ID.read_bytes()


def test_a_file_that_is_shorter_than_it_claims_is_stored_and_reported() -> None:
    path = KERNEL / "mm/transparent_hugepage/use_zero_page"
    os.listxattr(path)  # sysfs stamps a file anew when its attributes are first listed: as if it changed while read
    with DirectorySource(name="s", path=path.parent, clock=SystemClock()).capture() as capture:
        assert isinstance(capture, DirectoryCapture)
        entry, data = read(capture, b"use_zero_page")
        assert (data, entry.size) == (path.read_bytes(), 2)
        [problem] = capture.problems()
        assert (problem.path, problem.code, problem.matters) == (b"use_zero_page", "unreadable", True)
        assert "2 of the 4096 bytes" in problem.message


def test_a_file_that_never_ends_is_a_problem_of_its_own() -> None:
    with DirectorySource(name="s", path=RANDOM, clock=SystemClock()).capture(unannounced_bytes_max=20) as capture:
        assert isinstance(capture, DirectoryCapture)
        with pytest.raises(OSError, match="more follow"):
            read(capture, b"boot_id")


def test_a_reading_process_leaves_it_to_a_closer_look() -> None:
    with DirectorySource(name="s", path=RANDOM, clock=SystemClock()).capture() as capture:
        assert isinstance(capture, DirectoryCapture)
        [item] = [item for item in capture.items() if item.stat_entry.path == b"boot_id"]
        handles = DirectoryHandles(root=capture.root, open_max=4)
        assert SmallFiles(handles=handles, settled_before_ns=2**62).read(item.stat_entry) is None


def test_it_is_backed_up_and_comes_back(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine", clock=StillClock(datetime.now(UTC) + timedelta(hours=1))).initialize()
    result = engine.backup(DirectorySource(name="s", path=RANDOM, clock=engine.clock))
    assert [problem for problem in result.problems if problem.path == b"boot_id"] == []
    with engine.opened() as repository:
        restore_snapshot(repository, list_snapshots(repository)[-1], tmp_path / "back", run=Run.start(engine.clock))
    assert (tmp_path / "back/boot_id").read_bytes() == BOOT_ID.read_bytes()


@pytest.mark.skipif(not LARGE.exists(), reason="needs a kernel that lists its symbols")
def test_megabytes_behind_a_size_of_nothing_come_back(tmp_path: Path) -> None:
    """Of small files a few are held in memory at once; this one claims to be the smallest of all."""
    engine = Engine(tmp_path / "engine", clock=StillClock(datetime.now(UTC) + timedelta(hours=1))).initialize()
    exclude = ["/*", "!/kallsyms"]
    result = engine.backup(DirectorySource(name="s", path=LARGE.parent, exclude=exclude, clock=engine.clock))
    assert list(result.problems) == []
    with engine.opened() as repository:
        restore_snapshot(repository, list_snapshots(repository)[-1], tmp_path / "back", run=Run.start(engine.clock))
    assert (tmp_path / "back/kallsyms").read_bytes() == LARGE.read_bytes()


LIES = {
    "nothing": Lie(0, b"some content"),
    "less": Lie(3, b"some content"),
    "more": Lie(5_000, b"some content"),
    "large": Lie(0, random.Random(1).randbytes(13 * limits.MIB)),
    "paged.img": Lie(2 * limits.MIB + 5, random.Random(2).randbytes(6 * limits.MIB + 777)),
    "hashed.img": Lie(limits.HASHING_FILE_BYTES_MIN + 99, random.Random(3).randbytes(67 * limits.MIB + 5)),
    "short.img": Lie(3 * limits.MIB, random.Random(4).randbytes(2 * limits.MIB + 9)),
}


@pytest.mark.skipif(not has_fuse(), reason="needs the privilege to mount a file system of a program")
def test_what_programs_make_up_comes_back_whole(tmp_path: Path) -> None:
    """Batches, streams, pages and hashing processes alike; and a second backup reads what it cannot trust again."""
    (tmp_path / "made-up").mkdir()
    engine = Engine(tmp_path / "engine", clock=StillClock(datetime.now(UTC) + timedelta(hours=1))).initialize()
    with mounted(tmp_path / "made-up", LIES):
        for generation in ("first", "second"):
            source = DirectorySource(name="s", path=tmp_path / "made-up", clock=engine.clock)
            result = engine.backup(source)
            assert sorted((one.path, one.code) for one in result.problems) == [
                (b"more", "unreadable"), (b"short.img", "unreadable")
            ]  # fmt: skip
            with engine.opened() as repository:
                snapshot = list_snapshots(repository)[-1]
                restore_snapshot(repository, snapshot, tmp_path / generation, run=Run.start(engine.clock))
            for name, lie in LIES.items():
                assert (tmp_path / generation / name).read_bytes() == lie.content, name
            engine.clock.advance(7200)
