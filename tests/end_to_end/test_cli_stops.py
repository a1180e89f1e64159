"""Ctrl-C and its relatives in mid-backup: reported, nothing lost, and the next run works and sends less."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
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
    shore.initialize()
    return shore


def check_reported(stopped: Done, name: str, code: int) -> None:
    assert stopped.code == code
    assert f"interrupted by {name}: nothing is lost" in stopped.stderr
    assert stopped.records[-1]["code"] == "interrupted"
    assert not stopped.of("backup")


def test_ctrl_c_loses_nothing(shore: Shore) -> None:
    stopped = shore.stop_in_mid_backup(signal.SIGINT)

    check_reported(stopped, "Ctrl-C", 130)
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
    check_reported(shore.stop_in_mid_backup(number), name, code)

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
    stopped, walkers = stop_in_mid_walk(shore, number)

    assert stopped.code == code
    assert "Traceback" not in stopped.stderr
    deadline_s = time.monotonic() + 10  # one that had just been started ends when its orders do, with their sender
    while any(Path(f"/proc/{walker}").exists() for walker in walkers):
        assert time.monotonic() < deadline_s, walkers
        time.sleep(0.02)
    assert len(shore.good("snapshots", "--json").records) == 1
    shore.good("backup", "wide")


def stop_in_mid_walk(shore: Shore, number: signal.Signals) -> tuple[Done, list[int]]:
    """Send a signal to a backup of `wide` that walks; return how it ended, and the processes that walked for it."""
    for _ in range(20):
        with shore.started("backup", "wide") as process:
            walkers = frozen_in_mid_walk(process)
            if walkers:
                process.send_signal(number)
                process.send_signal(signal.SIGCONT)
                for walker in walkers:
                    with contextlib.suppress(ProcessLookupError):  # it may be ended already: that is asked for
                        os.kill(walker, signal.SIGCONT)
                stdout, stderr = process.communicate(timeout=60)
                return Done(process.returncode, stdout, stderr), walkers
            process.communicate(timeout=60)
    raise AssertionError("nothing walked, so this shows nothing")


def frozen_in_mid_walk(process: subprocess.Popen[str]) -> list[int]:
    """Stop a backup and the processes that walk for it; return those, or none where it went on too fast."""
    while len(running("walking_process", process.pid)) < 2:
        if process.poll() is not None:
            return []
    process.send_signal(signal.SIGSTOP)  # first, since it ends them as soon as they are of no more use
    walkers = running("walking_process", process.pid)
    for walker in walkers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(walker, signal.SIGSTOP)
    if not walkers:
        process.send_signal(signal.SIGCONT)
    return walkers


def test_a_second_signal_stops_it_at_once(shore: Shore) -> None:
    with shore.started_in_mid_backup() as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        started_s = time.monotonic()
        _, stderr = process.communicate(timeout=60)

    assert time.monotonic() - started_s < 5
    assert process.returncode in (130, 143)
    assert "Traceback" not in stderr
    shore.good("backup", "wide")
    shore.good("verify")


def test_a_query_ends_at_once(tmp_path: Path) -> None:
    """Trial N3: in the middle of what DuckDB computes for hours."""
    shore = Shore(tmp_path)
    shore.initialize()
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"
    with shore.started("sql", endless) as process:
        until_busy(process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted by Ctrl-C: nothing was changed" in stderr
    assert "error[" not in stderr


def until_busy(process: subprocess.Popen[str]) -> None:
    """Wait until a process has computed for longer than it takes to start."""
    ticks = os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks > 4:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate())
