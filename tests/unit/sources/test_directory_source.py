"""What a directory source leaves out, looks into and refuses."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import Bug, SourceDenied, SourceMissing
from farshore.model import Entry, EntryKind, Problem
from farshore.mountinfo import parse_mounts
from farshore.sources.directory.source import DirectoryCapture, DirectorySource
from farshore.sources.posix_mounts import find_type
from tests.contract.directory_trees import ROOT, as_nobody, may_mount

CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# what follows is a comment\n"


def entries_of(path: Path, **options: Any) -> list[Entry]:
    return scan(path, **options)[0]


def scan(path: Path, **options: Any) -> tuple[list[Entry], list[Problem]]:
    with DirectorySource(name="tree", path=path, clock=SystemClock(), **options).capture() as capture:
        entries = [item.entry for item in capture.items()]
        capture.finish()
        return entries, capture.problems()


def names_of(path: Path, **options: Any) -> list[bytes]:
    return [entry.path for entry in entries_of(path, **options)]


def fill(top: Path, *names: str) -> Path:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name)
    return top


def test_what_is_excluded_is_not_looked_into(tmp_path: Path) -> None:
    fill(tmp_path, "a.tmp", "keep", "home/.cache/big", "home/b.tmp", "build/out", "src/build")
    assert names_of(tmp_path, exclude=["*.tmp", "**/.cache/**", "build/"]) == [
        b"", b"home", b"home/.cache", b"keep", b"src", b"src/build"
    ]  # fmt: skip


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_what_is_excluded_raises_no_problem() -> None:
    with tempfile.TemporaryDirectory() as name:
        top = fill(Path(name), "secret/file", "other")
        top.chmod(0o755)
        (top / "secret").chmod(0o700)
        assert as_nobody(lambda: [p.path for p in scan(top)[1]]) == [b"secret"]
        assert as_nobody(lambda: scan(top, exclude=["secret"])[1]) == []


def test_of_a_tagged_cache_only_the_tag_is_kept(tmp_path: Path) -> None:
    fill(tmp_path, "cache/big", "cache/more/big", "untagged/file", "z")
    (tmp_path / "cache" / "CACHEDIR.TAG").write_text(CACHE_TAG)
    (tmp_path / "untagged" / "CACHEDIR.TAG").write_text("no signature")
    assert len(names_of(tmp_path)) == 10
    assert names_of(tmp_path, exclude_caches=True) == [
        b"", b"cache", b"cache/CACHEDIR.TAG", b"untagged", b"untagged/CACHEDIR.TAG", b"untagged/file", b"z"
    ]  # fmt: skip


def test_of_a_directory_with_a_mark_only_the_mark_is_kept(tmp_path: Path) -> None:
    fill(tmp_path, "a/.nobackup", "a/file", "b/file", ".nobackup")
    assert names_of(tmp_path, exclude_if_present=[".nobackup"]) == [
        b"", b".nobackup", b"a", b"a/.nobackup", b"b", b"b/file"
    ]  # fmt: skip


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a machine with shared memory mounted")
def test_another_file_system_is_an_empty_directory_unless_reported_otherwise() -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="farshore-test-") as file:
        inside = b"shm/" + os.path.basename(file.name).encode()
        found = {entry.path: entry for entry in entries_of(Path("/dev"))}
        assert found[b"shm"].kind is EntryKind.DIRECTORY
        assert inside not in found
        assert found[b"null"].rdev == os.makedev(1, 3)
        assert inside in names_of(Path("/dev"), one_file_system=False, exclude=["pts/", "mqueue/"])


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_what_is_mounted_inside_is_an_empty_directory(tmp_path: Path) -> None:
    fill(tmp_path, "before/file", "mounted/", "z")
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "mounted"], check=True)
    try:
        fill(tmp_path, "mounted/inside")
        assert names_of(tmp_path) == [b"", b"before", b"before/file", b"mounted", b"z"]
        assert b"mounted/inside" in names_of(tmp_path, one_file_system=False)
        with DirectorySource(name="t", path=tmp_path / "mounted", clock=SystemClock()).capture() as capture:
            list(capture.items())
            facts = capture.finish()
        assert (facts["path_kind"], facts["file_system"]) == ("mount-point", "tmpfs")
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True)


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    """A tree with directories and a file of its own file system mounted inside, one under an odd name."""
    top = fill(tmp_path, "top/a/", "top/b c\\/mount/", "top/z/file", "top/single") / "top"
    outside = fill(tmp_path, "outside/inside", "outside/deeper/more", "alone")
    places = (top / "b c\\/mount", top / "a", top / "single")
    for place, what in zip(places, (outside / "outside", top / "z", outside / "alone"), strict=True):
        subprocess.run(["mount", "--bind", what, place], check=True)
    yield top
    for place in places:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_a_bind_mount_of_the_same_file_system_is_an_empty_directory_too(bound: Path) -> None:
    """Trial F15: it was stored a second time."""
    expected = [b"", b"a", b"b c\\", b"b c\\/mount", b"single", b"z", b"z/file"]
    assert names_of(bound) == expected
    assert (bound / "single").read_text() == "alone"
    whole = names_of(bound, one_file_system=False)
    assert {*whole} - {*expected} == {
        b"a/file",
        *(b"b c\\/mount/" + one for one in (b"inside", b"deeper", b"deeper/more")),
    }
    with DirectorySource(name="t", path=bound, clock=SystemClock()).capture() as capture:
        assert isinstance(capture, DirectoryCapture)
        paths = [
            one.item(at).stat_entry.path
            for one in capture.listings([b"b c\\/mount/deeper", b"y"], 2)
            for at in range(one.count)
        ]
    assert paths == expected


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_a_bind_mount_as_root_of_a_source_is_read_and_reported(bound: Path) -> None:
    with DirectorySource(name="t", path=bound / "a", clock=SystemClock()).capture() as capture:
        assert [item.entry.path for item in capture.items()] == [b"", b"file"]
        assert capture.finish()["path_kind"] == "mount-point"


@pytest.mark.skipif(not may_mount(), reason="needs the privilege to mount")
def test_what_a_mount_has_hidden_is_no_mount_inside(tmp_path: Path) -> None:
    """The list of mounts has those, too, over which another lies: a directory of the same name is none."""
    fill(tmp_path, "top/x/", "other/x/file", "lower/")
    subprocess.run(["mount", "--bind", tmp_path / "lower", tmp_path / "top/x"], check=True)
    subprocess.run(["mount", "--bind", tmp_path / "other", tmp_path / "top"], check=True)
    try:
        assert names_of(tmp_path / "top") == [b"", b"x", b"x/file"]
    finally:
        subprocess.run(["umount", tmp_path / "top"], check=True)
        subprocess.run(["umount", tmp_path / "top/x"], check=True)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    for name in ("disk.img", "table.ibd", "plain", "not-a-database.db", "mine.dat"):
        (tmp_path / name).write_bytes(bytes(limits.PAGED_FILE_BYTES_MIN))
    (tmp_path / "small.img").write_bytes(bytes(limits.PAGED_FILE_BYTES_MIN - 1))
    for page_bytes in (512, 65536):
        with sqlite3.connect(tmp_path / f"{page_bytes}.sqlite") as database:
            database.execute(f"PRAGMA page_size = {page_bytes}")
            database.execute("CREATE TABLE t (b BLOB)")
            database.execute("INSERT INTO t VALUES (randomblob(1200000))")
        database.close()
    return tmp_path


def page_sizes(path: Path, **options: Any) -> dict[bytes, int]:
    return {entry.path: entry.page_bytes for entry in entries_of(path, **options) if entry.page_bytes}


def test_files_that_are_written_by_pages_are_known_by_name_and_databases_by_their_header(large: Path) -> None:
    expected = {b"disk.img": 4096, b"table.ibd": 4096, b"512.sqlite": 512, b"65536.sqlite": 65536}
    assert page_sizes(large) == expected
    assert page_sizes(large, paged=["*.dat"]) == {**expected, b"mine.dat": 4096}
    del expected[b"disk.img"]
    assert page_sizes(large, paged=["!*.img"]) == expected


def test_the_page_size_stays_with_the_entry_that_was_read(large: Path) -> None:
    with DirectorySource(name="t", path=large, clock=SystemClock()).capture() as capture:
        item = next(item for item in capture.items() if item.stat_entry.path == b"512.sqlite")
        assert item.stat_entry.page_bytes == 0
        with item.open() as content:
            for _ in content.pieces():
                pass
            assert content.settled() == item.entry
            assert item.entry.page_bytes == 512


def test_a_source_that_is_not_there_or_no_directory_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    for name, words in (("nothing", "does not exist"), ("file", "is not a directory")):
        source = DirectorySource(name="home", path=tmp_path / name, clock=SystemClock())
        with pytest.raises(SourceMissing, match=f"source home: .*{name} {words}"):
            source.check()
        with pytest.raises(SourceMissing), source.capture():
            pass


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_source_that_may_not_be_read_is_denied() -> None:
    with tempfile.TemporaryDirectory() as name, pytest.raises(SourceDenied, match="permission denied"):
        as_nobody(lambda: DirectorySource(name="home", path=Path(name), clock=SystemClock()).check())


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_source_that_may_be_listed_and_not_passed_tells_of_every_name() -> None:
    with tempfile.TemporaryDirectory() as name:
        top = fill(Path(name), "a", "b/c")
        top.chmod(0o744)
        entries, problems = as_nobody(lambda: scan(top))
    assert [entry.path for entry in entries] == [b""]
    assert [(problem.path, problem.code) for problem in problems] == [(b"a", "unreadable"), (b"b", "unreadable")]


def test_a_good_source_passes_its_check_and_says_what_it_is(tmp_path: Path) -> None:
    source = DirectorySource(name="home", path=tmp_path, clock=SystemClock())
    source.check()
    assert (source.name, source.kind) == ("home", "directory")


def test_a_root_that_is_a_symlink_is_followed(tmp_path: Path) -> None:
    fill(tmp_path, "real/file")
    (tmp_path / "link").symlink_to("real")
    assert names_of(tmp_path / "link") == [b"", b"file"]


def test_a_capture_cannot_be_finished_before_its_last_item(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    with DirectorySource(name="t", path=tmp_path, clock=SystemClock()).capture() as capture:
        next(capture.items())
        with pytest.raises(Bug):
            capture.finish()


def test_only_files_have_content(tmp_path: Path) -> None:
    with DirectorySource(name="t", path=tmp_path, clock=SystemClock()).capture() as capture, pytest.raises(Bug):
        next(capture.items()).open()


def test_owners_have_names(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    if ROOT:
        os.chown(tmp_path / "file", 0, 3_999_999_999)
    (entry,) = (entry for entry in entries_of(tmp_path) if entry.path)
    assert entry.uid == os.geteuid()
    if ROOT:
        assert (entry.user, entry.group) == ("root", "")


def test_directories_show_neither_size_nor_links(tmp_path: Path) -> None:
    fill(tmp_path, "a/b/", "a/c/")
    assert {(entry.size, entry.links) for entry in entries_of(tmp_path)} == {(0, 1)}


def test_reading_leaves_the_time_of_access_alone(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    os.utime(tmp_path / "file", ns=(1, 2))
    with DirectorySource(name="t", path=tmp_path, clock=SystemClock()).capture() as capture:
        item = list(capture.items())[1]
        with item.open() as content:
            list(content.pieces())
            content.settled()
    assert (tmp_path / "file").stat().st_atime_ns == 1


def test_problems_have_an_end(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}" for number in range(9)))
    with DirectorySource(name="t", path=tmp_path, clock=SystemClock()).capture(problems_max=2) as capture:
        items = capture.items()
        next(items)
        next(items)
        for file in tmp_path.iterdir():
            file.unlink()
        assert list(items) == []
        assert [problem.path for problem in capture.problems()] == [b"1", b"2", b""]


def test_the_type_of_a_file_system_is_that_of_its_innermost_mount() -> None:
    lines = [
        b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
        b"23 22 0:20 / /srv/data\\040here rw - btrfs /dev/vdb rw",
        b"24 22 0:21 / /srv/data\\040here rw master:2 shared:3 - xfs /dev/vdc rw",
        b"cut off",
    ]
    assert find_type(parse_mounts(lines), b"/home") == "ext4"
    assert find_type(parse_mounts(lines), b"/srv/data here/below") == "xfs"
    assert find_type(parse_mounts(lines), b"/srv/data hereafter") == "ext4"
    assert find_type([], b"/home") == ""


def test_modes_are_without_the_type_of_file(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    (tmp_path / "file").chmod(0o4751)
    entry = entries_of(tmp_path)[1]
    assert entry.mode == 0o4751
    assert not stat.S_IFMT(entry.mode)
