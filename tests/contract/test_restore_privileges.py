"""Devices, setuid, setgid and capabilities are left out on request, and counted; nothing else is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.contract.delta_trees import Shelter
from tests.contract.directory_trees import CAPABILITY, may_mount

pytestmark = pytest.mark.skipif(not may_mount(), reason="devices and capabilities are for root alone")
CAPABLE = "security.capability"


@pytest.fixture
def shelter(tmp_path: Path) -> Shelter:
    shelter = Shelter(tmp_path)
    for name, kind in (("block", stat.S_IFBLK), ("character", stat.S_IFCHR)):
        os.mknod(shelter.source / name, kind | 0o600, os.makedev(1, 3))
    (shelter.source / "one-more").hardlink_to(shelter.source / "block")
    for name, mode in (("capable", 0o755), ("plain", 0o755), ("setgid", 0o2755), ("setuid", 0o4755)):
        (shelter.source / name).write_text(name)
        (shelter.source / name).chmod(mode)
    os.setxattr(shelter.source / "capable", CAPABLE, CAPABILITY)
    (shelter.source / "setuid-too").hardlink_to(shelter.source / "setuid")
    (shelter.source / "shared").mkdir()
    (shelter.source / "shared").chmod(0o3777)
    shelter.backup()
    return shelter


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def names(target: Path) -> list[str]:
    return sorted(one.name for one in target.iterdir())


def modes(target: Path, *of: str) -> list[int]:
    return [stat.S_IMODE((target / name).stat().st_mode) for name in of]


@pytest.mark.parametrize("fresh", [True, False])
def test_devices_are_left_out_with_all_their_names(shelter: Shelter, target: Path, *, fresh: bool) -> None:
    result = shelter.restore(target, fresh=fresh, devices=False)
    assert (result.devices_left_out, result.setuid_left_out) == (3, 0)
    assert not result.problems
    assert names(target) == ["capable", "plain", "setgid", "setuid", "setuid-too", "shared"]
    assert modes(target, "setuid", "setgid", "shared") == [0o4755, 0o2755, 0o3777]


@pytest.mark.parametrize("fresh", [True, False])
def test_powers_of_files_are_left_out_and_directories_stay(shelter: Shelter, target: Path, *, fresh: bool) -> None:
    result = shelter.restore(target, fresh=fresh, setuid=False)
    assert (result.devices_left_out, result.setuid_left_out) == (0, 3)
    assert not result.problems
    assert modes(target, "setuid", "setuid-too", "setgid", "capable", "shared") == [0o755] * 4 + [0o3777]
    assert os.listxattr(target / "capable") == []
    assert (target / "block").is_block_device()


def test_a_tree_that_has_them_loses_powers_and_keeps_its_devices(shelter: Shelter, target: Path) -> None:
    shelter.restore(target, fresh=True)
    assert modes(target, "setuid") == [0o4755]
    result = shelter.restore(target, delete=True, devices=False, setuid=False)
    assert (result.devices_left_out, result.setuid_left_out) == (3, 3)
    assert modes(target, "setuid", "setgid", "capable") == [0o755] * 3
    assert os.listxattr(target / "capable") == []
    assert (target / "block").is_block_device()
    again = shelter.restore(target, delete=True, devices=False, setuid=False)
    assert shelter.reported == []
    assert (again.devices_left_out, again.setuid_left_out) == (3, 3)


def test_without_the_options_everything_is_restored(shelter: Shelter, target: Path) -> None:
    result = shelter.restore(target, fresh=True)
    assert (result.devices_left_out, result.setuid_left_out) == (0, 0)
    assert shelter.differences(target) == []
