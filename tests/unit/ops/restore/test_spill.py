from __future__ import annotations

import os
from pathlib import Path

import pytest

from farshore import limits
from farshore.errors import TargetFailed
from farshore.host_resources import free_bytes
from farshore.ops.restore.spill import SpillFile

MIB = limits.MIB


@pytest.fixture
def spill(tmp_path: Path) -> SpillFile:
    return SpillFile(place=tmp_path)


def test_ranges_come_back_and_the_file_has_no_name(spill: SpillFile, tmp_path: Path) -> None:
    data = memoryview(os.urandom(MIB))
    first = spill.write([(0, 1000), (5000, 6000)], data)
    other = spill.write([(0, 1000)], data[1000:])
    assert first
    assert other
    assert first.read(0, 1000) == data[:1000]
    assert first.read(5500, 500) == data[5500:6000]
    assert other.read(10, 50) == data[1010:1060]
    assert spill.written_bytes == 3000
    assert list(tmp_path.iterdir()) == []
    spill.close()


def test_what_is_forgotten_takes_no_disk_and_its_place_is_used_again(spill: SpillFile, tmp_path: Path) -> None:
    data = memoryview(os.urandom(limits.SEGMENT_BYTES))
    kept = [spill.write([(0, len(data))], data) for _ in range(3)]
    (fd,) = [fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_below(fd, tmp_path)]
    for one in kept:
        assert one
        one.forget()
    assert os.fstat(fd).st_blocks * 512 < len(data)
    assert spill.write([(0, len(data))], data)
    assert os.fstat(fd).st_size == 3 * len(data)
    spill.close()


def _is_below(fd: int, place: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(place))
    except OSError:
        return False


def test_what_others_need_is_left_free(tmp_path: Path) -> None:
    reserved = free_bytes(tmp_path)
    spill = SpillFile(place=tmp_path, reserved_bytes=lambda: reserved)
    assert not spill.write([(0, MIB)], memoryview(bytes(MIB)))
    assert spill.full
    reserved = -(1 << 40)
    spill.forget(0, MIB)
    spill.full = False
    assert spill.write([(0, MIB)], memoryview(bytes(MIB)))
    spill.close()


def test_a_place_that_cannot_be_written_is_a_full_one(tmp_path: Path) -> None:
    spill = SpillFile(place=tmp_path / "missing")
    assert not spill.write([(0, 4)], memoryview(b"data"))
    assert spill.full


def test_what_was_not_kept_cannot_be_read(spill: SpillFile) -> None:
    with pytest.raises(TargetFailed, match="cut short"):
        spill.read(0, 4)
