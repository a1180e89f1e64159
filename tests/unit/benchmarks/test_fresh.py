from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.dataset import make_data
from tests.benchmarks.fresh import can_mount, fresh_directory, release

ROOT = Path(__file__).resolve().parents[3]


def mounted_or_on_a_loop_device_below(place: Path) -> list[str]:
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    backing = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [path for path in mounts + backing if path.startswith(f"{place}/")]


def fail_in(place: Path, mounts: bool) -> None:
    with fresh_directory(place, content_bytes=0, files=0, mounts=mounts) as directory:
        assert list(directory.iterdir()) == []
        raise ZeroDivisionError


@pytest.mark.parametrize("mounts", [True, False], ids=["fresh", "plain"])
def test_the_directory_is_empty_and_nothing_of_it_stays(tmp_path: Path, mounts: bool) -> None:
    mounts = mounts and can_mount(tmp_path)
    with fresh_directory(tmp_path / "place", content_bytes=10**6, files=3, mounts=mounts) as directory:
        assert list(directory.iterdir()) == []
        assert (directory.stat().st_dev != tmp_path.stat().st_dev) == mounts
        assert bool(mounted_or_on_a_loop_device_below(tmp_path)) == mounts
        (directory / "file").write_bytes(b"x" * 10**6)
    assert list(tmp_path.iterdir()) == []
    assert mounted_or_on_a_loop_device_below(tmp_path) == []


def test_a_failure_leaves_nothing_and_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    place, mounts = tmp_path / "place", can_mount(tmp_path)
    left = fresh_directory(place, content_bytes=0, files=0, mounts=mounts)
    (left.__enter__() / "old").write_text("of a run that was killed")
    with pytest.raises(ZeroDivisionError):
        fail_in(place, mounts)
    assert list(tmp_path.iterdir()) == []
    assert mounted_or_on_a_loop_device_below(tmp_path) == []
    release(place)


def test_there_is_room_for_a_tree_of_small_files(tmp_path: Path) -> None:
    content_bytes, files = 4 * 10**9, 300_000
    with fresh_directory(
        tmp_path / "place", content_bytes=content_bytes, files=files, mounts=can_mount(tmp_path)
    ) as directory:
        room = os.statvfs(directory)
        if directory.stat().st_dev != tmp_path.stat().st_dev:  # a plain directory has what the machine has
            assert room.f_bfree * room.f_bsize > content_bytes + files * room.f_bsize // 2
            assert room.f_ffree > files


def test_an_ended_bench_leaves_no_mount_and_no_loop_device(tmp_path: Path) -> None:
    make_data(tmp_path / "data", scale=0.0005, say=print)
    bench = [sys.executable, "-m", "tests.benchmarks", "--work", str(tmp_path), "--scale", "0.0005", "--tools", "cp"]
    running = subprocess.Popen([*bench, "--datasets", "noise", "--repeat", "100000"], cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not any((tmp_path / "restored").glob("files/*")):  # a restore is under way
        assert running.poll() is None
        assert time.monotonic() < deadline, "it restores nothing"
        time.sleep(0.001)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130, said.decode()
    assert not {"mirror", "restored", "run", "probe"} & {path.stem for path in tmp_path.iterdir()}
    assert mounted_or_on_a_loop_device_below(tmp_path) == []
