"""Scratch directories are private, and do not outlive their process for long."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from farshore.host_resources import scratch_directory

_HOLD = """
import sys, time
from pathlib import Path
from farshore.host_resources import scratch_directory
with scratch_directory("run-", Path(sys.argv[1])) as place:
    (place / "content").write_text("of a run")
    print(place, flush=True)
    time.sleep(60)
"""


def test_it_is_private_and_removed_with_all_it_holds(tmp_path: Path) -> None:
    with scratch_directory("run-", tmp_path / "new") as place:
        assert place.stat().st_mode & 0o777 == 0o700
        (place / "deep").mkdir()
        (place / "deep" / "file").write_text("content")
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    holders = [
        subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        dead, living = (Path((holder.stdout or sys.stdin).readline().strip()) for holder in holders)
        holders[0].send_signal(signal.SIGKILL)
        holders[0].wait()
        assert dead.exists()
        with scratch_directory("run-", tmp_path):
            assert not dead.exists()
            assert (living / "content").read_text() == "of a run"
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
