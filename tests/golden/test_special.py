"""The golden repository `v1-special`, read by the second reader: what it holds is written here once more, by hand."""

from __future__ import annotations

import math
import os
import stat
import zlib
from datetime import datetime
from pathlib import Path

import pytest

from tests.golden.second_reader import Json, Reader
from tests.golden.special import OTHER_GID, OTHER_UID, PAGE_BYTES, special_tree
from tests.golden.test_second_reader import HERE, expected_of, objects_of, open_as
from tests.unit.replicas.clocks import StillClock

SPECIAL = HERE / "v1-special"
EXPECTED = expected_of(SPECIAL)
IS_ROOT = os.geteuid() == 0


def lock_end(lock: Json, name: str) -> float:
    """Section 5, *A lock*: when the lock of an object that a snapshot needs ends at the earliest, in s since 1970."""
    stride_s, until_s = lock["stride_s"], datetime.fromisoformat(lock["until_utc"]).timestamp()
    phase_s = zlib.crc32(name.encode()) % stride_s
    return phase_s + math.ceil((until_s - phase_s) / stride_s) * stride_s


@pytest.fixture(scope="module")
def reader() -> Reader:
    return open_as(SPECIAL, "identity")


@pytest.fixture(scope="module")
def commits(reader: Reader) -> list[Json]:
    return reader.commits()


@pytest.fixture(scope="module")
def restored(reader: Reader, commits: list[Json], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first snapshot."""
    target = tmp_path_factory.mktemp("special") / "first"
    reader.restore(commits[0], target)
    return target


def test_one_snapshot_is_incomplete(commits: list[Json]) -> None:
    assert [one["state"] for one in commits] == ["complete", "incomplete", "complete"]
    assert [one["counts"].get("lacking", 0) for one in commits] == [0, 1, 0]


def test_an_incomplete_snapshot_has_the_file_as_it_was_read_last_or_not_at_all(
    reader: Reader, commits: list[Json], tmp_path: Path
) -> None:
    reader.restore(commits[1], tmp_path / "second")
    assert not (tmp_path / "second/unreadable later").exists()
    assert (tmp_path / "second/still").exists()


def test_locks_end_where_the_record_says(reader: Reader, commits: list[Json]) -> None:
    """Each object that a snapshot needs was locked at least until the end that a reader computes."""
    at_store = {name: datetime.fromisoformat(text) for name, text in EXPECTED["locked_until"].items()}
    for commit in commits:
        (lock,) = commit["locks"].values()
        assert (list(commit["locks"]), lock["mode"]) == (["only"], "governance")
        needed = objects_of(reader, commit)
        assert {name.partition("/")[0] for name in needed} == {"snapshots", "runs", "packs", "keys"}
        for name in needed:
            until_s = lock_end(lock, name)
            assert until_s >= datetime.fromisoformat(lock["until_utc"]).timestamp()
            assert at_store[name].timestamp() >= until_s, name
            assert (at_store[name].timestamp() - until_s) % lock["stride_s"] == 0, name


def test_page_maps_are_lists_of_runs(reader: Reader, commits: list[Json]) -> None:
    first, second, third = (one["runs"]["pages"] for one in commits)
    assert (second[:-1], third[:-1], len(third)) == (first, second, 3)
    assert all(one["bytes"] < first[0]["bytes"] / 2 for one in third[1:])
    before, after, last = (reader.pages(one) for one in commits)
    changed = {page for page, value in after[b"db"][1].items() if before[b"db"][1][page] != value}
    assert (before[b"db"][0], len(before[b"db"][1]), changed) == (PAGE_BYTES, 1300, {0, 5, 899})
    assert b"small" in before
    assert b"small" not in after, "the file is gone"
    assert after[b"still"] == before[b"still"] == last[b"still"], "a path without a row is as before"
    assert set(last[b"db"][1]) == {*range(900), *range(1000, 1501)}, "the hole is smaller, and the file longer"


def test_nodes(restored: Path) -> None:
    assert (restored / "dev/fifo").is_fifo()
    assert (restored / "dev/socket").is_socket()
    if not IS_ROOT:  # nobody else makes device nodes
        assert not (restored / "dev/null").exists()
        return
    null, loop = os.lstat(restored / "dev/null"), os.lstat(restored / "dev/loop")
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev) == (True, os.makedev(1, 3))
    assert (stat.S_ISBLK(loop.st_mode), loop.st_rdev) == (True, os.makedev(4095, 1_000_000))
    assert [stat.S_IMODE(one.st_mode) for one in (null, loop)] == [0o666, 0o660]


def test_modes_and_owners(restored: Path) -> None:
    modes = {
        name: stat.S_IMODE(os.lstat(restored / "documents" / name).st_mode) for name in ("setuid", "setgid", "both")
    }
    owners = {(status.st_uid, status.st_gid) for name in modes for status in [os.lstat(restored / "documents" / name)]}
    assert stat.S_IMODE(os.lstat(restored / "documents").st_mode) == 0o3775
    if IS_ROOT:
        assert (modes, owners) == ({"setuid": 0o4755, "setgid": 0o2755, "both": 0o6711}, {(OTHER_UID, OTHER_GID)})
    else:
        assert modes == {"setuid": 0o755, "setgid": 0o755, "both": 0o711}, "no gift of another's rights"


def test_attributes(restored: Path) -> None:
    assert os.getxattr(restored / "dev", "user.of a directory") == b"\x00\xff"
    assert os.getxattr(restored / "third", "user.note") == b"read it"


def test_names_of_one_file(restored: Path) -> None:
    names = ["documents/letter.txt", "names/second", "third", "zz"]
    assert len({os.lstat(restored / name).st_ino for name in names}) == 1
    assert os.lstat(restored / "zz").st_nlink == 4
    assert stat.S_IMODE(os.lstat(restored / "names").st_mode) == 0o555


def test_holes(restored: Path) -> None:
    tree = special_tree(StillClock(), {})
    for name in ("all", "first", "last", "touch"):
        path = restored / "holes" / name
        assert path.read_bytes() == tree.content(b"holes/" + name.encode())
        assert path.stat().st_blocks * 512 < path.stat().st_size / 2
    assert (restored / "db").read_bytes() == tree.content(b"db")
