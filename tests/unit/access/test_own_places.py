"""Trial F17 and N4: nothing of somebody's files is written into a replica, the state directory or the cache."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.access.locations import place_on_mounts
from farshore.access.own_places import check_target, refuse_own_place
from farshore.config import Config, load_config
from farshore.errors import TargetForbidden
from farshore.mountinfo import parse_mounts
from farshore.ops.setup.keys import generate_identity
from tests.contract.directory_trees import may_mount


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("here", "src", "state", "cache"):
        (tmp_path / name).mkdir()
    path = tmp_path / "farshore.toml"
    path.write_text(
        '[repository]\n[replicas.here]\nurl = "file://here"\n[replicas.away]\nurl = "file://missing/disk"\n'
        '[sources.docs]\ntype = "directory"\npath = "src"\n[state]\ndir = "state"\ncache = "cache"\n'
    )
    return load_config(path, {"HOME": str(tmp_path)})


@pytest.fixture
def bound(tmp_path: Path, config: Config) -> Iterator[Path]:
    """A directory inside the replica `here`, mounted at another place."""
    (tmp_path / "here" / "packs").mkdir()
    place = tmp_path / "elsewhere"
    place.mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "here" / "packs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("here", "replica here"),
        ("here/new/dir", "replica here"),
        ("missing/disk/x", "replica away"),
        ("state/x", "the state directory"),
        ("cache/x", "the cache"),
        ("link/x", "replica here"),
        ("src/../here/x", "replica here"),
    ],
)
def test_a_target_in_a_place_of_the_repository_is_refused(
    config: Config, tmp_path: Path, target: str, said: str
) -> None:
    (tmp_path / "link").symlink_to("here")
    with pytest.raises(TargetForbidden, match=f"inside {said}"):
        check_target(config, tmp_path / target)
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_a_bind_mount_of_a_part_of_a_replica_is_refused(config: Config, bound: Path) -> None:
    with pytest.raises(TargetForbidden, match="inside replica here"):
        check_target(config, bound / "new")


def test_beside_is_not_inside(config: Config, tmp_path: Path) -> None:
    for name in ("here2", "restored", "state.old/x", "."):
        assert check_target(config, tmp_path / name) == ()


def test_a_target_inside_a_source_is_reported(config: Config, tmp_path: Path) -> None:
    assert "inside the source docs" in check_target(config, tmp_path / "src" / "restored")[0]
    assert "inside the source docs" in check_target(config, tmp_path / "src", b"letters")[0]
    assert check_target(config, tmp_path / "src") == ()  # where it was
    assert check_target(config, tmp_path / "src" / "letters", b"letters") == ()


def test_a_repository_that_is_not_configured_is_known_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "farshore.json").write_text("{}")
    with pytest.raises(TargetForbidden, match="inside a repository"):
        refuse_own_place(tmp_path / "a" / "b", "it")
    with pytest.raises(TargetForbidden, match="the private identity"):
        generate_identity(tmp_path / "identity")
    assert not (tmp_path / "identity").exists()


def test_a_place_is_found_on_the_innermost_and_last_of_its_mounts() -> None:
    mounts = parse_mounts([
        b"1 0 8:1 / / rw - ext4 /dev/a rw",
        b"2 1 8:2 / /srv rw - ext4 /dev/b rw",
        rb"3 2 8:1 /pool\040a/here /srv/x rw - ext4 /dev/a rw",
        b"4 2 8:3 /deep /srv/x rw - ext4 /dev/c rw",
        b"broken",
    ])  # fmt: skip
    assert place_on_mounts(mounts, b"/srv/x/y").path_there == b"/deep/y"
    assert place_on_mounts(mounts[:3], b"/srv/x/y").path_there == b"/pool a/here/y"
    assert place_on_mounts(mounts[:3], b"/srv/x/y").is_inside(place_on_mounts(mounts[:1], b"/pool a/here"))
    assert place_on_mounts(mounts, b"/srv/x/y").is_inside(place_on_mounts(mounts, b"/srv"))  # another disk inside
    assert not place_on_mounts(mounts, b"/srv/xy").is_inside(place_on_mounts(mounts, b"/srv/x"))
    assert place_on_mounts([], b"/a").path == b"/a"
