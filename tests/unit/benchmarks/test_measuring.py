from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.measuring import BenchFailed, Job, job, measure, perform

MIB = 1024 * 1024


def python(code: str, place: Path) -> Job:
    return job([sys.executable, "-S", "-c", code], cwd=place, home=place / "home")


def test_wall_and_processor_time_are_those_of_the_command(tmp_path: Path) -> None:
    slept = measure(python("import time; time.sleep(0.3)", tmp_path), logs=tmp_path / "logs")
    assert 0.3 <= slept.wall_s < 5
    assert slept.cpu_s < 0.25
    busy = "import os\nwhile sum(os.times()[:2]) < 0.3: pass\n"
    assert 0.29 <= measure(python(busy, tmp_path), logs=tmp_path / "logs").cpu_s < 1


def test_the_processor_time_of_children_counts(tmp_path: Path) -> None:
    busy = "import os\nwhile sum(os.times()[:2]) < 0.3: pass\n"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {busy!r}])"
    assert measure(python(parent, tmp_path), logs=tmp_path / "logs").cpu_s >= 0.29


def test_a_small_command_is_seen_small_whatever_the_size_of_the_bench(tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(MIB)) * 100
    assert measure(job(["true"], cwd=tmp_path, home=tmp_path), logs=tmp_path / "logs").memory_peak_bytes < 30 * MIB
    assert len(ballast) == 100 * MIB


def test_the_memory_of_all_processes_of_a_tree_is_added_up(tmp_path: Path) -> None:
    hold = f"import time; kept = bytearray({60 * MIB}); kept[::4096] = b'x' * len(kept[::4096]); time.sleep(0.5)"
    parent = (
        "import subprocess, sys\n"
        f"children = [subprocess.Popen([sys.executable, '-S', '-c', {hold!r}]) for _ in range(2)]\n"
        "[child.wait() for child in children]"
    )
    cost = measure(python(parent, tmp_path), logs=tmp_path / "logs")
    assert 120 * MIB < cost.memory_peak_bytes < 200 * MIB


def test_a_child_that_has_not_run_its_program_is_not_counted_with_the_memory_of_its_parent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    parent = (
        "import os, subprocess, sys\n"
        f"kept = bytearray({100 * MIB}); kept[::4096] = b'x' * len(kept[::4096])\n"
        "opener = subprocess.Popen(['sh', '-c', 'sleep 0.5; : > gate'])\n"
        "opens = [(os.POSIX_SPAWN_OPEN, 0, 'gate', os.O_RDONLY, 0)]\n"
        "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}, file_actions=opens), 0); opener.wait()"
    )
    assert 100 * MIB < measure(python(parent, tmp_path), logs=tmp_path / "logs").memory_peak_bytes < 150 * MIB


def test_a_peak_between_two_looks_is_not_missed(tmp_path: Path) -> None:
    brief = f"kept = bytearray({80 * MIB}); kept[::4096] = b'x' * len(kept[::4096]); del kept"
    assert measure(python(brief, tmp_path), logs=tmp_path / "logs").memory_peak_bytes > 80 * MIB


def test_what_a_tree_of_processes_reads_is_counted_cached_or_not(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 5 * MIB)
    reading = "import subprocess; subprocess.run(['cat', 'data'], stdout=subprocess.DEVNULL); open('data', 'rb').read()"
    assert 10 * MIB <= measure(python(reading, tmp_path), logs=tmp_path / "logs").bytes_read < 13 * MIB


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    failing = python("import sys; print('some words'); sys.exit('a reason')", tmp_path)
    with pytest.raises(BenchFailed, match=r"(?s)status 1.*some words.*a reason"):
        measure(failing, logs=tmp_path / "logs")
    with pytest.raises(BenchFailed, match="a reason"):
        perform(failing)
    with pytest.raises(BenchFailed, match="no program"):
        job(["no-such-program"], cwd=tmp_path, home=tmp_path)


def test_the_environment_of_the_user_takes_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTIC_REPOSITORY", "elsewhere")
    said = perform(python("import os; print(sorted(os.environ))", tmp_path))
    assert "RESTIC_REPOSITORY" not in said
    assert "'HOME', 'LANG', " in said


def test_an_interruption_ends_the_command_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeping = job(["sh", "-c", f"sleep 60 & echo $! >{note}; wait"], cwd=tmp_path, home=tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        measure(sleeping, logs=tmp_path / "logs", timeout_s=0.5)
    state = Path(f"/proc/{note.read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.01)
