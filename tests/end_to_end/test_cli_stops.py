"""Ctrl-C and its relatives in mid-backup: told, nothing lost, and the next run works and sends less."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from farshore import limits
from tests.contract.child_processes import running
from tests.end_to_end.shore import Done, Shore, tree

FILES = 12
FILE_BYTES = 24 * 1024 * 1024  # together some seconds of work: a signal lands in the middle


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    shore = Shore(tmp_path, more='[sources.wide]\ntype = "directory"\npath = "wide"\n')
    (tmp_path / "wide").mkdir()
    for number in range(FILES):
        (tmp_path / f"wide/{number}").write_bytes(os.urandom(FILE_BYTES))
    shore.good("init")
    return shore


def check_told(stopped: Done, name: str, code: int) -> None:
    assert stopped.code == code
    assert f"interrupted by {name}: nothing is lost" in stopped.stderr
    assert stopped.records[-1]["code"] == "interrupted"
    assert not stopped.of("backup")


def test_ctrl_c_loses_nothing(shore: Shore) -> None:
    stopped = shore.stop_in_mid_backup(signal.SIGINT)

    check_told(stopped, "Ctrl-C", 130)
    assert not shore.good("snapshots", "--json").records
    (done,) = shore.good("backup", "wide", "--json").of("backup")
    assert done["counts"]["bytes_read"] == FILES * FILE_BYTES
    shore.good("verify", "--read-data")
    shore.good("restore", "wide", "--target", "out")
    assert tree(shore.root / "out") == tree(shore.root / "wide")


@pytest.mark.parametrize(("number", "name", "code"), [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGHUP, "SIGHUP", 129)])
def test_the_signals_of_service_managers_stop_it_alike(
    shore: Shore, number: signal.Signals, name: str, code: int
) -> None:
    check_told(shore.stop_in_mid_backup(number), name, code)

    shore.good("backup", "wide")


def test_the_same_identity_can_be_tried_again_at_once(shore: Shore) -> None:
    shore.stop_in_mid_backup(signal.SIGINT, "--identity", "tonight")

    shore.good("backup", "wide", "--identity", "tonight")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_processes_that_walk_end_with_it(shore: Shore, number: signal.Signals, code: int) -> None:
    for large in range(FILES):
        (shore.root / f"wide/{large}").unlink()
    for file in range(limits.WALKING_PROCESSES_ENTRIES_MIN):
        if file % 1000 == 0:
            (shore.root / f"wide/d{file}").mkdir()
        (shore.root / f"wide/d{file - file % 1000}/{file}").touch()
    shore.good("backup", "wide")
    process = shore.start("backup", "wide")
    while len(walkers := running("posix_walking_process", process.pid)) < 2:
        assert process.poll() is None, "nothing walked, so this shows nothing"
    for walker in walkers:
        os.kill(walker, signal.SIGSTOP)  # so that it is in mid-walk when the signal comes
    process.send_signal(number)
    for walker in walkers:
        os.kill(walker, signal.SIGCONT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == code
    assert "Traceback" not in stderr
    deadline_s = time.monotonic() + 10  # one that had just been started ends when its orders do, with their sender
    while any(Path(f"/proc/{walker}").exists() for walker in walkers):
        assert time.monotonic() < deadline_s, walkers
        time.sleep(0.02)
    assert len(shore.good("snapshots", "--json").records) == 1
    shore.good("backup", "wide")


def test_a_second_signal_stops_it_at_once(shore: Shore) -> None:
    process = shore.start_in_mid_backup()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    started_s = time.monotonic()
    _, stderr = process.communicate(timeout=60)

    assert time.monotonic() - started_s < 5
    assert process.returncode in (130, 143)
    assert "Traceback" not in stderr
    shore.good("backup", "wide")
    shore.good("verify")
