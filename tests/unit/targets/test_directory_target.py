"""What a directory target refuses, survives and reports, beyond the round trips of tests/contract."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import Bug, ObjectCorrupt, TargetFailed, TargetNotEmpty
from farshore.model import Entry, EntryKind
from farshore.targets.directory.spool import DirectorySpool
from farshore.targets.directory.target import DirectoryTarget
from tests.contract.directory_trees import DEFAULT_ACL, ROOT, as_nobody, may_mount, tree_removed

UID, GID = os.geteuid(), os.getegid()
SECRET = "not to be touched"


def directory(path: bytes, mode: int = 0o755, **facts: object) -> Entry:
    return Entry(path, EntryKind.DIRECTORY, mode, UID, GID, mtime_ns=1_000)._replace(**facts)  # type: ignore[arg-type]


def file(path: bytes, size: int = 0, mode: int = 0o644, **facts: object) -> Entry:
    entry = Entry(path, EntryKind.FILE, mode, UID, GID, size=size, mtime_ns=2_000)
    return entry._replace(**facts)  # type: ignore[arg-type]


def other(path: bytes, kind: EntryKind, target: bytes = b"", **facts: object) -> Entry:
    entry = Entry(path, kind, 0o600, UID, GID, mtime_ns=3_000, target=target)
    return entry._replace(**facts)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "restored"


@pytest.fixture
def target(place: Path) -> DirectoryTarget:
    target = DirectoryTarget(path=place, clock=SystemClock())
    target.begin()
    return target


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_directory_with_something_in_it_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    mode = tmp_path.stat().st_mode
    with pytest.raises(TargetNotEmpty):
        DirectoryTarget(path=tmp_path, clock=SystemClock()).begin()
    assert tmp_path.stat().st_mode == mode


def test_a_place_that_cannot_be_a_directory_fails_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(TargetFailed, match=str(path)):
            DirectoryTarget(path=path, clock=SystemClock()).begin()


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_place_that_may_not_be_written_fails_before_anything_is_made() -> None:
    with pytest.raises(TargetFailed, match="/usr/farshore-test cannot be prepared: permission denied"):
        as_nobody(lambda: DirectoryTarget(path=Path("/usr/farshore-test"), clock=SystemClock()).begin())


def test_missing_parents_of_the_place_are_made(tmp_path: Path) -> None:
    target = DirectoryTarget(path=tmp_path / "a" / "b" / "c", clock=SystemClock())
    target.begin()
    target.place(file(b"f", 1), b"x")
    target.finish()
    assert (tmp_path / "a" / "b" / "c" / "f").read_text() == "x"


@pytest.mark.parametrize("path", [b"../x", b"a/../../x", b"/x", b"a//x", b"./x", b"a/.", b"x\0y", b"a/", b".."])
def test_paths_that_lead_elsewhere_are_refused(target: DirectoryTarget, place: Path, path: bytes) -> None:
    attempts: list[Callable[[], None]] = [
        lambda: target.make(file(path)),
        lambda: target.make(directory(path)),
        lambda: target.make(other(path, EntryKind.SYMLINK, b"x")),
        lambda: target.place(file(path), b""),
        lambda: target.make(other(b"link", EntryKind.HARDLINK, path)),
        lambda: target.discard(file(path)),
    ]
    for attempt in attempts:
        with pytest.raises(ObjectCorrupt):
            attempt()
    assert [p.name for p in place.parent.iterdir()] == ["restored"]


def test_nothing_is_made_through_a_symlink(target: DirectoryTarget, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    target.make(other(b"way", EntryKind.SYMLINK, os.fsencode(outside)))
    target.make(other(b"secret", EntryKind.SYMLINK, os.fsencode(outside / "secret")))
    target.make(directory(b"d"))
    attempts: list[Callable[[], None]] = [
        lambda: target.make(file(b"way/file")),
        lambda: target.place(file(b"way/file", 1), b"x"),
        lambda: target.make(directory(b"way/d")),
        lambda: target.make(other(b"way/fifo", EntryKind.FIFO)),
        lambda: target.make(other(b"stolen", EntryKind.HARDLINK, b"way/secret")),
        lambda: target.make(directory(b"way")),
    ]
    for attempt in attempts:
        with pytest.raises(ObjectCorrupt):
            attempt()
    target.place(file(b"secret", 1), b"x")  # the name is taken: reported, and not written through
    target.finish()
    assert [problem.path for problem in target.problems()] == [b"secret"]
    assert {p.name: p.read_text() for p in outside.iterdir()} == {"secret": SECRET}


def test_a_symlink_without_a_target_is_refused(target: DirectoryTarget) -> None:
    for wrong in (b"", b"x\0y"):
        with pytest.raises(ObjectCorrupt):
            target.make(other(b"s", EntryKind.SYMLINK, wrong))


def test_while_a_restore_runs_everything_is_closed_to_others(target: DirectoryTarget, place: Path) -> None:
    target.make(directory(b"", 0o777))
    target.make(directory(b"d", 0o777))
    target.make(file(b"d/f", 4, 0o666))
    assert [stat.S_IMODE(p.stat().st_mode) for p in (place, place / "d", place / "d" / "f")] == [0o700, 0o700, 0o600]
    target.settle(file(b"d/f", 4, 0o666))
    target.finish()
    assert [stat.S_IMODE(p.stat().st_mode) for p in (place, place / "d", place / "d" / "f")] == [0o777, 0o777, 0o666]


def test_a_place_that_was_there_keeps_its_mode_when_no_root_is_restored(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir(0o750)
    target = DirectoryTarget(path=place, clock=SystemClock())
    target.begin()
    target.place(file(b"f"), b"")
    target.finish()
    assert stat.S_IMODE(place.stat().st_mode) == 0o750


def test_nothing_is_inherited_from_the_place(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o2777)
    os.setxattr(place, "system.posix_acl_default", DEFAULT_ACL)
    target = DirectoryTarget(path=place, clock=SystemClock())
    target.begin()
    target.make(directory(b"", 0o755))
    target.make(directory(b"d", 0o750))
    target.place(file(b"d/f", mode=0o640), b"")
    target.finish()
    for path, mode in ((place, 0o755), (place / "d", 0o750), (place / "d" / "f", 0o640)):
        assert os.listxattr(path) == []
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_missing_parent_is_made_and_closed(target: DirectoryTarget, place: Path) -> None:
    target.place(file(b"a/b/c", 1), b"x")
    target.make(directory(b"a", 0o711, mtime_ns=77))  # and its entry may still come
    target.finish()
    assert stat.S_IMODE((place / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "a").stat().st_mode) == 0o711
    assert (place / "a").stat().st_mtime_ns == 77


def test_directories_closed_to_their_owner_are_settled_deepest_first(place: Path) -> None:
    def restore() -> None:
        target = DirectoryTarget(path=place, clock=SystemClock())
        target.begin()
        for path in (b"", b"a", b"a/b", b"a/b/c"):
            target.make(directory(path, 0o000, mtime_ns=5)._replace(uid=os.geteuid(), gid=os.getegid()))
        target.finish()
        assert target.problems() == []

    with tree_removed(place):
        if ROOT:
            place.mkdir()
            os.chown(place, 65534, 65534)
            for path in place.parents[: -len(Path(tempfile.gettempdir()).parts)]:
                path.chmod(0o755)
            as_nobody(restore)
        else:
            restore()
        assert stat.S_IMODE(place.stat().st_mode) == 0


def test_more_files_may_wait_for_bytes_than_can_be_open(target: DirectoryTarget, place: Path) -> None:
    entries = [file(b"d%d/f" % number, 8, mode=0o444) for number in range(3 * limits.OPEN_FILES_MAX)]
    before = len(os.listdir("/proc/self/fd"))
    for entry in entries:
        target.make(entry)
    assert len(os.listdir("/proc/self/fd")) <= before + limits.OPEN_FILES_MAX + limits.OPEN_DIRECTORIES_MAX
    with ThreadPoolExecutor(8) as pool:
        for offset in (4, 0):
            list(pool.map(lambda entry, at=offset: target.write(entry, at, b"%04d" % at), entries))
        list(pool.map(target.settle, entries))
    target.finish()
    assert {(place / f"d{number}" / "f").read_text() for number in range(len(entries))} == {"00000004"}
    assert len(os.listdir("/proc/self/fd")) < before


def test_one_file_may_be_written_by_many_threads(target: DirectoryTarget, place: Path) -> None:
    part = 1 << 16
    entry = file(b"f", 64 * part)
    target.make(entry)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: target.write(entry, n * part, memoryview(bytes([n]) * part)), range(64)))
    target.settle(entry)
    target.finish()
    assert (place / "f").read_bytes() == b"".join(bytes([n]) * part for n in range(64))


def test_many_threads_may_place_into_parents_that_are_missing(target: DirectoryTarget, place: Path) -> None:
    barrier = threading.Barrier(8)

    def place_some(thread: int) -> None:
        barrier.wait()
        for number in range(50):
            target.place(file(b"a/%d/c/%d" % (number, thread), 1), b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(place_some, range(8)))
    target.finish()
    assert len(list(place.rglob("*/c/*"))) == 400


def test_a_link_may_come_before_its_file(target: DirectoryTarget, place: Path) -> None:
    target.make(directory(b"d", mtime_ns=5))
    target.make(other(b"d/link", EntryKind.HARDLINK, b"later/file"))
    target.place(file(b"later/file", 1), b"x")
    target.finish()
    assert (place / "d" / "link").stat().st_ino == (place / "later" / "file").stat().st_ino
    assert (place / "d").stat().st_mtime_ns == 5
    assert target.problems() == []


def test_a_link_to_a_file_that_never_came_is_reported(target: DirectoryTarget, place: Path) -> None:
    target.make(other(b"link", EntryKind.HARDLINK, b"nowhere/file"))
    target.finish()
    assert [(problem.path, problem.code) for problem in target.problems()] == [(b"link", "vanished")]
    assert os.listdir(place) == []


def test_where_no_more_links_can_be_made_the_content_is_copied(target: DirectoryTarget, place: Path) -> None:
    entry = file(b"f", 10 * 4096, mode=0o640)
    target.make(entry)
    target.write(entry, 5 * 4096, b"x" * 4096)
    target.settle(entry)
    (place / "more").mkdir()
    made = 1
    try:
        while made < 200_000:
            os.link(place / "f", place / "more" / str(made))
            made += 1
    except OSError:
        pass
    else:
        pytest.skip("this file system knows no limit of links")
    target.make(other(b"copy", EntryKind.HARDLINK, b"f", size=entry.size, mode=0o640, mtime_ns=2_000))
    target.finish()
    copy = (place / "copy").stat()
    assert copy.st_nlink == 1
    assert (place / "copy").read_bytes() == (place / "f").read_bytes()
    assert (copy.st_blocks, copy.st_mtime_ns, stat.S_IMODE(copy.st_mode)) == (8, 2_000, 0o640)
    assert [(problem.path, problem.code) for problem in target.problems()] == [(b"copy", "metadata")]


def test_a_name_that_the_file_system_cannot_hold_is_reported_and_everything_else_restored(
    target: DirectoryTarget, place: Path
) -> None:
    long = b"x" * 300
    entry = file(long, 4)
    target.make(entry)
    target.write(entry, 0, b"data")
    target.settle(entry)
    target.make(directory(b"d" + long))
    target.place(file(b"d" + long + b"/inside", 1), b"x")
    target.place(file(long + b"2", 1), b"x")
    target.make(other(b"s" + long, EntryKind.SYMLINK, b"x"))
    target.make(other(b"link", EntryKind.HARDLINK, long))
    target.place(file(b"good", 1), b"x")
    target.finish()
    reported = {problem.path[:4]: problem.code for problem in target.problems()}
    assert reported == {b"xxxx": "unsupported", b"dxxx": "unsupported", b"sxxx": "unsupported", b"link": "unsupported"}
    assert os.listdir(place) == ["good"]


def test_an_owner_that_cannot_be_set_at_all_is_reported(target: DirectoryTarget, place: Path) -> None:
    """Trial F2: to the system the last id of all means that the owner stays as it is."""
    entry = Entry(b"f", EntryKind.FILE, mode=0o640, uid=2**32 - 1, gid=2**32 - 1, size=1, mtime_ns=5)
    target.place(entry, b"x")
    target.finish()
    assert (place / "f").read_bytes() == b"x"
    assert (place / "f").stat().st_mtime_ns == 5
    assert [(one.path, one.code) for one in target.problems()] == [(b"f", "metadata")]


def test_a_file_larger_than_the_file_system_allows_is_reported_and_not_left_half(
    target: DirectoryTarget, place: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    entry = file(b"large", 1 << 30)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        target.make(entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    target.write(entry, 0, b"x")
    target.settle(entry)
    target.finish()
    assert [(problem.path, problem.code) for problem in target.problems()] == [(b"large", "unsupported")]
    assert os.listdir(place) == []


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_a_full_disk_fails_with_the_name_of_the_file(small_disk: Path) -> None:
    target = DirectoryTarget(path=small_disk / "restored", clock=SystemClock())
    target.begin()
    entry = file(b"d/large", 4 << 20)
    target.make(entry)
    with pytest.raises(TargetFailed, match=r"cannot restore d/large to .*: no space left on device"):
        target.write(entry, 0, bytes(4 << 20))
    target.place(file(b"d/fits"), b"")
    with pytest.raises(TargetFailed, match="d/small"):
        target.place(file(b"d/small", 1 << 18), bytes(1 << 18))


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_a_disk_that_turns_read_only_fails_and_says_so(small_disk: Path) -> None:
    target = DirectoryTarget(path=small_disk / "restored", clock=SystemClock())
    target.begin()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(TargetFailed, match="read-only"):
        target.place(file(b"f"), b"")
    with pytest.raises(TargetFailed, match="read-only"):
        target.make(directory(b"d"))


def test_a_file_whose_content_cannot_be_had_is_removed(target: DirectoryTarget, place: Path) -> None:
    entry = file(b"d/f", 100)
    target.make(entry)
    target.write(entry, 0, b"half")
    target.discard(entry)
    target.discard(entry)
    target.discard(file(b"never/made"))
    target.finish()
    assert [path.name for path in place.rglob("*")] == ["d"]


def test_a_file_of_the_wrong_size_is_a_bug(target: DirectoryTarget) -> None:
    entry = file(b"f", 4)
    target.make(entry)
    target.write(entry, 2, b"data")
    with pytest.raises(Bug):
        target.settle(entry)
    with pytest.raises(Bug):
        target.place(file(b"g", 4), b"five!")
    with pytest.raises(Bug):
        target.place(directory(b"d"), b"")


def test_nothing_is_restored_before_the_beginning_or_after_the_end(tmp_path: Path) -> None:
    target = DirectoryTarget(path=tmp_path / "x", clock=SystemClock())
    attempts: list[Callable[[], None]] = [
        lambda: target.make(directory(b"")),
        lambda: target.make(file(b"f")),
        target.finish,
    ]
    for early in attempts:
        with pytest.raises(Bug):
            early()
    target.begin()
    target.finish()
    with pytest.raises(Bug):
        target.place(file(b"f"), b"")


def test_two_entries_of_one_name_are_reported(target: DirectoryTarget, place: Path) -> None:
    target.place(file(b"same", 1), b"1")
    target.place(file(b"same", 1), b"2")
    target.finish()
    assert (place / "same").read_text() == "1"
    assert [(problem.path, problem.code) for problem in target.problems()] == [(b"same", "unsupported")]


def test_attributes_that_are_refused_are_reported(target: DirectoryTarget) -> None:
    target.place(file(b"f", xattrs=((b"user.good", b"1"), (b"nonsense.name", b"2"))), b"")
    target.finish()
    assert [(problem.path, problem.code) for problem in target.problems()] == [(b"f", "metadata")]
    assert "nonsense.name" in target.problems()[0].message


def test_a_time_that_the_file_system_cannot_hold_is_reported(target: DirectoryTarget) -> None:
    target.place(file(b"f", mtime_ns=-(10**19) // 2), b"")
    target.finish()
    assert [(problem.path, problem.code) for problem in target.problems()] == [(b"f", "metadata")]


def test_problems_have_an_end(tmp_path: Path) -> None:
    target = DirectoryTarget(path=tmp_path / "few", clock=SystemClock(), problems_max=2)
    target.begin()
    with closing(target):
        for number in range(5):
            target.make(other(b"%d" % number, EntryKind.HARDLINK, b"nowhere"))
        target.finish()
        assert [problem.path for problem in target.problems()] == [b"0", b"1", b""]


def test_directories_come_back_from_the_spool_in_reverse_with_all_they_had(tmp_path: Path) -> None:
    entries = [
        directory(b"d\xff/%d" % n, n % 0o7777, mtime_ns=-n, uid=4_000_000_000, gid=n,
                  xattrs=tuple((b"user.%d" % i, bytes(i)) for i in range(n % 5)))
        for n in range(500)
    ]  # fmt: skip
    spool = DirectorySpool(place=tmp_path, memory_bytes=1000)  # most of it is on disk
    for entry in entries:
        spool.append(entry)
    assert len(spool) == len(entries)
    assert list(spool.reverse()) == entries[::-1]
    assert list(tmp_path.iterdir()) == [], "the file on disk has no name"
    spool.close()
    spool.close()
