"""Small files are placed by processes that are told apart from nothing they write, and end with the restore."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import ObjectCorrupt, TargetFailed
from farshore.targets.base import SmallFile
from farshore.targets.directory.target import DirectoryTarget
from tests.contract.directory_trees import may_mount

UID, GID = os.geteuid(), os.getegid()
MANY = 4 * limits.SLOT_FILES_MAX


def small(path: str, content: bytes = b"", mode: int = 0o644, **facts: object) -> tuple[SmallFile, list[memoryview]]:
    file = SmallFile(path.encode(), mode, UID, GID, 2_000, (), len(content), blake3(content).digest())
    return file._replace(**facts), [memoryview(content)]  # type: ignore[arg-type]


def add_many(target: DirectoryTarget, count: int = MANY) -> dict[str, bytes]:
    """Add more files than are placed without a process; return their contents."""
    contents = {f"d{number % 7}/f{number}": b"%d" % number * (number % 50) for number in range(count)}
    for path, content in sorted(contents.items()):
        target.add(*small(path, content))
    return contents


def add_large(target: DirectoryTarget) -> None:
    for number in range(10):
        target.add(*small(f"d1/large{number}", bytes(1 << 20)))
    target.drain()


def writing_processes(parent: int | str = "self") -> list[int]:
    """Return the processes that write for a process and are not ended."""
    children = [
        pid for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    return [int(pid) for pid in children if alive(int(pid)) and b"writing_process" in commands(pid)]


def commands(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def alive(pid: int) -> bool:
    """Whether a process works still; one that nobody has waited for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "restored"


@pytest.fixture
def target(place: Path) -> Iterator[DirectoryTarget]:
    target = DirectoryTarget(path=place, clock=SystemClock(), processes=2)
    target.begin()
    yield target
    target.close()


def test_a_few_files_start_no_process(target: DirectoryTarget, place: Path) -> None:
    target.add(*small("a/b", b"content"))
    target.drain()
    assert writing_processes() == []
    target.finish()
    assert (place / "a" / "b").read_bytes() == b"content"


def test_many_files_are_placed_whole_by_processes_that_end(target: DirectoryTarget, place: Path) -> None:
    before = os.umask(0o077)
    try:
        contents = add_many(target)
        for mode in (0o666, 0o400, 0o4755, 0o2711, 0o1777, 0):
            target.add(*small(f"d1/mode{mode:o}", b"x", mode))
        target.add(*small("d1/attributes", b"x", xattrs=((b"user.color", b"blue"),)))
        target.add(*small("d1/owned", b"x", uid=UID, gid=GID, mtime_ns=1_234_567_891))
        target.drain()
    finally:
        os.umask(before)
    assert len(writing_processes()) == 2
    placed = target.newly_placed()
    assert (placed.files, placed.bytes_written) == (MANY + 8, sum(map(len, contents.values())) + 8)
    assert placed.lost == []
    assert target.newly_placed().files == 0
    target.finish()
    assert writing_processes() == []
    assert target.problems() == []
    for path, content in contents.items():
        assert (place / path).read_bytes() == content
    status = (place / "d0" / "f0").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o644, 2_000)
    for mode in (0o666, 0o400, 0o4755, 0o2711, 0o1777, 0):
        assert stat.S_IMODE((place / f"d1/mode{mode:o}").stat().st_mode) == mode
    assert os.getxattr(place / "d1/attributes", "user.color") == b"blue"
    assert (place / "d1/owned").stat().st_mtime_ns == 1_234_567_891


def test_files_of_the_size_of_a_slot_and_records_above_it(target: DirectoryTarget, place: Path) -> None:
    add_many(target)
    whole = os.urandom(limits.SLOT_CONTENT_BYTES)
    target.add(*small("whole", whole))
    attributes = tuple((b"user.a%d" % number, b"v" * 60) for number in range(20))
    for number in range(200):
        target.add(*small(f"many/{number}", b"x", xattrs=attributes))
    target.finish()
    assert target.problems() == []
    assert (place / "whole").read_bytes() == whole
    assert os.getxattr(place / "many" / "199", "user.a19") == b"v" * 60


def test_what_does_not_hash_as_it_should_is_left_out(target: DirectoryTarget, place: Path) -> None:
    add_many(target)
    target.add(*small("d1/wrong", b"content", content_hash=bytes(32)))
    target.drain()
    assert [(problem.path, problem.code) for problem in target.newly_placed().lost] == [(b"d1/wrong", "lost")]
    assert not (place / "d1" / "wrong").exists()


def test_what_processes_could_not_put_back_is_reported(target: DirectoryTarget, place: Path) -> None:
    add_many(target)
    target.add(*small("d1/f", b"x", xattrs=((b"nonsense.name", b"1"),)))
    target.add(*small("d1/f", b"y"))
    target.finish()
    assert sorted(problem.code for problem in target.problems()) == ["metadata", "unsupported"]
    assert (place / "d1" / "f").read_bytes() == b"x"


@pytest.mark.parametrize("path", ["d1/../../out", "d1/./f", "d1/\x00", "/f", "d1/"])
def test_a_path_that_no_backup_makes_ends_the_restore(target: DirectoryTarget, path: str) -> None:
    add_many(target)
    target.add(*small(path, b"x"))
    with pytest.raises(ObjectCorrupt, match="no backup makes"):
        target.drain()


def test_a_process_that_dies_is_reported(target: DirectoryTarget) -> None:
    add_many(target)
    target.drain()
    for pid in writing_processes():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(TargetFailed, match=r"ended by SIGKILL, and some of them are missing"):
        add_many(target, 2 * MANY)
    target.close()
    assert writing_processes() == []


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=100k", "none", disk], check=True)
    target = DirectoryTarget(path=disk / "restored", clock=SystemClock(), processes=2)
    try:
        target.begin()
        add_many(target)
        target.drain()  # or a small file may be the first that finds no room
        with pytest.raises(TargetFailed, match=r"cannot restore d1/large\d* to .*: no space left on device"):
            add_large(target)
    finally:
        target.close()
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_processes_end_with_a_restore_that_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    story = f"""
        import sys, time
        sys.path[:] = {[str(one) for one in sys.path]!r}
        from pathlib import Path
        from farshore.clock import SystemClock
        from farshore.targets.directory.target import DirectoryTarget
        from tests.unit.targets.test_writers import add_many, writing_processes
        target = DirectoryTarget(path=Path({str(tmp_path / "place")!r}), clock=SystemClock(), processes=2)
        target.begin()
        add_many(target)
        print(*writing_processes(), flush=True)
        time.sleep(60)
    """
    restore = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(story)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parents[3],
        text=True,
    )
    assert restore.stdout is not None
    with restore, restore.stdout as reported:
        pids = [int(word) for word in reported.readline().split()]
        assert len(pids) == 2
        os.killpg(restore.pid, number)
        restore.wait(30)
    wait_until(lambda: not any(alive(pid) for pid in pids))


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("a writing process outlived its restore")


def test_without_processes_everything_is_placed_here(place: Path) -> None:
    target = DirectoryTarget(path=place, clock=SystemClock(), processes=0)
    target.begin()
    contents = add_many(target)
    assert writing_processes() == []
    target.finish()
    assert all((place / path).read_bytes() == content for path, content in contents.items())
