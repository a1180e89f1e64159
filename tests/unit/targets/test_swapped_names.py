"""Names that another user put something else under, between two system calls of a restore."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import TargetFailed
from farshore.handles import DIRECTORY_FLAGS, Handle
from farshore.model import Entry, EntryKind
from farshore.targets.directory.posix_metadata import MetadataWriter, open_itself, place_of
from farshore.targets.directory.target import DirectoryTarget

FIFO = Entry(b"fifo", EntryKind.FIFO, 0o666, os.geteuid(), os.getegid(), mtime_ns=1_000)


def into_symlink(path: Path, elsewhere: Path) -> None:
    path.unlink()
    path.symlink_to(elsewhere)


def into_one_more_name(path: Path, elsewhere: Path) -> None:
    path.unlink()
    elsewhere.unlink()
    os.mkfifo(elsewhere, 0o600)
    os.link(elsewhere, path)


def into_file(path: Path, _elsewhere: Path) -> None:
    path.unlink()
    path.touch()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    path.touch(mode=0o600)
    return path


@pytest.mark.parametrize("swap", [into_symlink, into_one_more_name, into_file])
@pytest.mark.parametrize("existing", [False, True])
def test_metadata_is_for_what_was_made(
    tmp_path: Path, elsewhere: Path, swap: Callable[[Path, Path], None], *, existing: bool
) -> None:
    above = Handle(os.open(tmp_path, DIRECTORY_FLAGS))
    os.mkfifo(tmp_path / "fifo", 0o600)
    swap(tmp_path / "fifo", elsewhere)
    problems: list[str] = []
    writer = MetadataWriter(report=lambda _path, _code, message: problems.append(message))
    if existing:
        with pytest.raises(OSError, match="something else has its name by now"):
            writer.apply_existing(FIFO, above, b"fifo")
    else:
        writer.apply_named(FIFO, above, b"fifo")
        assert problems == ["owner, mode and time could not be set: something else has its name by now"]
    assert elsewhere.stat().st_mode & 0o777 == 0o600


def test_what_is_held_is_not_what_takes_its_name(tmp_path: Path, elsewhere: Path) -> None:
    above = Handle(os.open(tmp_path, DIRECTORY_FLAGS))
    os.mkfifo(tmp_path / "fifo", 0o600)
    handle = open_itself(above, b"fifo", EntryKind.FIFO)
    (tmp_path / "fifo").rename(tmp_path / "moved")
    (tmp_path / "fifo").symlink_to(elsewhere)
    os.chmod(place_of(handle), 0o666)
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "moved").stat().st_mode & 0o777 == 0o666


def test_a_symlink_itself_has_its_metadata_put_back(tmp_path: Path, elsewhere: Path) -> None:
    above = Handle(os.open(tmp_path, DIRECTORY_FLAGS))
    (tmp_path / "link").symlink_to("elsewhere")
    before = elsewhere.stat()
    entry = Entry(b"link", EntryKind.SYMLINK, uid=os.geteuid(), gid=os.getegid(), mtime_ns=5_000, target=b"elsewhere")
    problems: list[str] = []
    MetadataWriter(report=lambda _p, _c, message: problems.append(message)).apply_named(entry, above, b"link")
    assert (tmp_path / "link").lstat().st_mtime_ns == 5_000
    assert elsewhere.stat() == before
    assert not problems


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("swap", ["file", "fifo", "symlink"])
def test_content_is_written_to_the_file_that_was_made(
    tmp_path: Path, elsewhere: Path, swap: str, *, direct: bool
) -> None:
    place = tmp_path / "place"
    target = DirectoryTarget(
        path=place, clock=SystemClock(), open_files_max=1, direct_bytes_min=1 if direct else 1 << 40
    )
    target.begin()
    entries = [Entry(name, EntryKind.FILE, 0o600, size=4096) for name in (b"a", *(b"%d" % one for one in range(64)))]
    for entry in entries:
        target.make(entry)  # so that the first one is not open any more
    path = place / "a"
    path.unlink()
    if swap == "file":
        os.link(elsewhere, path)
    elif swap == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(elsewhere)
    with pytest.raises(TargetFailed, match="cannot restore a to"):
        target.write(entries[0], 0, bytes(4096))
    assert elsewhere.read_bytes() == b""
    target.close()
