from __future__ import annotations

import os
from pathlib import Path

import pytest

from farshore import limits
from farshore.errors import TargetFailed
from farshore.ops.spill import SpilledSegment, SpillFile
from farshore.scratch import free_bytes

MIB = limits.MIB


@pytest.fixture
def spill(tmp_path: Path) -> SpillFile:
    return SpillFile(place=tmp_path)


def test_ranges_come_back_and_the_file_has_no_name(spill: SpillFile, tmp_path: Path) -> None:
    data = memoryview(os.urandom(MIB))
    assert spill.write(10 * MIB, [(0, 1000), (5000, 6000)], data)
    segment = SpilledSegment(spill, 10 * MIB)
    assert segment.read(0, 1000) == data[:1000]
    assert segment.read(5500, 500) == data[5500:6000]
    assert spill.written_bytes == 2000
    assert list(tmp_path.iterdir()) == []
    spill.close()


def test_what_is_forgotten_takes_no_disk(spill: SpillFile, tmp_path: Path) -> None:
    data = memoryview(os.urandom(8 * MIB))
    for number in range(4):
        assert spill.write(number * 8 * MIB, [(0, len(data))], data)
        spill.forget(number * 8 * MIB, len(data))
    (fd,) = [fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_below(fd, tmp_path)]
    assert os.fstat(fd).st_blocks * 512 < 8 * MIB
    spill.close()


def _is_below(fd: int, place: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(place))
    except OSError:
        return False


def test_what_others_need_is_left_free(tmp_path: Path) -> None:
    reserved = free_bytes(tmp_path)
    spill = SpillFile(place=tmp_path, reserved_bytes=lambda: reserved)
    assert not spill.write(0, [(0, MIB)], memoryview(bytes(MIB)))
    assert spill.full
    reserved = -(1 << 40)
    spill.forget(0, MIB)
    spill.full = False
    assert spill.write(0, [(0, MIB)], memoryview(bytes(MIB)))
    spill.close()


def test_a_place_that_cannot_be_written_is_a_full_one(tmp_path: Path) -> None:
    spill = SpillFile(place=tmp_path / "missing")
    assert not spill.write(0, [(0, 4)], memoryview(b"data"))
    assert spill.full


def test_what_was_not_kept_cannot_be_read(spill: SpillFile) -> None:
    with pytest.raises(TargetFailed, match="cut short"):
        spill.read(0, 4)
