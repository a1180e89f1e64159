"""What sources are recognized by. Trial D11."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.mountinfo import parse_mounts
from farshore.sources import marks
from farshore.sources.base import MarkedCapture
from farshore.sources.directory.source import DirectorySource
from farshore.sources.posix_mounts import find_mount
from farshore.sources.sqlite.source import SqliteSource

MOUNTS = parse_mounts([
    b"22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw",
    b"36 22 0:31 /home /home rw shared:2 master:3 - btrfs /dev/mapper/data\\040one rw,subvol=/home",
    b"40 22 0:45 / /nas rw - nfs4 nas:/export rw,vers=4.2",
    b"41 22 0:46 / /tank rw - zfs tank/home@nightly rw",
    b"broken",
])  # fmt: skip


def test_a_mount_is_found_by_its_id() -> None:
    assert find_mount(MOUNTS, 36) == ("btrfs", "/dev/mapper/data one")
    assert find_mount(MOUNTS, 40) == ("nfs4", "nas:/export")
    assert find_mount(MOUNTS, 99) == ("", "")


def test_a_host_is_its_name_and_a_hash_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = tmp_path / "machine-id"
    monkeypatch.setattr(marks, "_MACHINE_ID", reported)
    assert marks.host_marks(in_container=False).keys() == {"host"}
    for text in ("", "uninitialized\n", "x" * 32):
        reported.write_text(text)
        assert marks.host_marks(in_container=False).keys() == {"host"}
    reported.write_text("0123456789abcdef" * 2 + "\n")
    found = marks.host_marks(in_container=False)
    assert found.keys() == {"host", "machine"}
    assert "0123456789abcdef" not in found["machine"]
    assert marks.host_marks(in_container=False) == found


def test_a_container_has_no_name_to_rely_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "_CONTAINER_FILES", (tmp_path / ".dockerenv",))
    assert marks.is_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert marks.is_container({"container": "podman"})
    assert not marks.is_container({"HOME": "/root"})
    (tmp_path / ".dockerenv").touch()
    assert marks.is_container({})
    assert marks.host_marks(in_container=True) == {}


@pytest.mark.parametrize(
    ("mount", "names"),
    [
        (("nfs4", "nas:/export"), set()),
        (("tmpfs", "tmpfs"), set()),
        (("overlay", "overlay"), set()),
        (("fuse.sshfs", "host:/"), set()),
        (("zfs", "tank/home@nightly-7"), {"file_system"}),
        (("ext4", "/dev/sda2"), {"file_system_id"}),
    ],
)
def test_only_file_systems_that_stay_the_same_are_recognized(
    mount: tuple[str, str], names: set[str], tmp_path: Path
) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        found = marks.file_system_marks(folder, *mount)
    finally:
        os.close(folder)
    assert found.keys() - {"file_system"} == names - {"file_system"}
    if mount[0] == "zfs":
        assert found == {"file_system": "tank/home"}
    if not names:
        assert found == {}


def test_a_directory_and_a_name_that_is_no_text(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    root.mkdir()
    with DirectorySource(name="s", path=root, clock=SystemClock()).capture() as capture:
        assert isinstance(capture, MarkedCapture)
        found = capture.marks()
    assert found["path"].endswith("caf\\xe9")
    assert found["inode"] == str(root.stat().st_ino)
    assert str(root.stat().st_dev) not in {found.get("file_system"), found.get("file_system_id")}


def test_a_database_is_the_same_after_vacuum_into_has_replaced_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 77")
        database.execute("CREATE TABLE t (x)")
        database.commit()
        before = read_marks(path)
        database.execute("VACUUM INTO ?", (str(tmp_path / "b.db"),))
    (tmp_path / "b.db").replace(path)
    after = read_marks(path)
    assert before["application_id"] == after["application_id"] == "77"
    assert before["path"] == after["path"]
    assert before["inode"] != after["inode"]


def read_marks(path: Path) -> dict[str, str]:
    with SqliteSource(name="s", path=path, clock=SystemClock()).capture() as capture:
        assert isinstance(capture, MarkedCapture)
        return capture.marks()
