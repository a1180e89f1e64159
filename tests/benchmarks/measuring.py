"""Run a tool's command under the stopwatch, with its output kept, and fail loudly when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_STOPWATCH = Path(__file__).with_name("stopwatch.py")
_TIMEOUT_S = 3600.0  # nothing here is meant to take that long, so it hangs
_TAIL_BYTES = 4000


class BenchFailed(RuntimeError):
    """The bench cannot go on; the message says why and quotes what a tool said."""


@dataclass(frozen=True, slots=True)
class Job:
    """One command of a tool, as it is timed."""

    command: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one command cost. CPU and memory are those of the whole process tree; memory is its highest moment."""

    wall_s: float
    user_s: float
    system_s: float
    memory_peak_bytes: int
    bytes_read: int  # by system calls, whether they came from a disk or not
    output: str  # standard output

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def job(command: Sequence[str | Path], *, cwd: Path, home: Path, environment: Mapping[str, str] | None = None) -> Job:
    """Return a job whose program is found on the PATH and whose environment holds only what is named.

    Args:
        home: Stands for the user's home directory, so that no cache or setting of the user takes part.
    """
    program = shutil.which(command[0])
    if program is None:
        raise BenchFailed(f"no program {command[0]!r} here; `make bench` installs the peers")
    home.mkdir(parents=True, exist_ok=True)
    basis = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    return Job((str(program), *map(str, command[1:])), cwd, basis | dict(environment or {}))


def perform(work: Job) -> str:
    """Run a job that is not measured and return its standard output.

    Raises:
        BenchFailed: It failed.
    """
    done = subprocess.run(
        work.command,
        cwd=work.cwd,
        env=work.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchFailed(_story(work, done.returncode, done.stdout + done.stderr))
    return done.stdout


def measure(work: Job, *, logs: Path, timeout_s: float = _TIMEOUT_S) -> Measurement:
    """Run a job under the stopwatch. Whatever interrupts this ends the job first.

    Raises:
        BenchFailed: It failed; the message quotes the end of its output.
    """
    logs.mkdir(parents=True, exist_ok=True)
    reported, said, complained = logs / "stopwatch.json", logs / "stdout.txt", logs / "stderr.txt"
    reported.unlink(missing_ok=True)
    with said.open("wb") as stdout, complained.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _STOPWATCH, reported, *work.command],
            cwd=work.cwd,
            env=work.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            process.wait(timeout_s)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):  # it had just ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    result = json.loads(reported.read_text()) if reported.exists() else {"status": process.returncode or 1}
    if result["status"] != 0:
        raise BenchFailed(_story(work, result["status"], _tail(said) + _tail(complained)))
    return Measurement(
        wall_s=result["wall_s"],
        user_s=result["user_s"],
        system_s=result["system_s"],
        memory_peak_bytes=result["memory_peak_bytes"],
        bytes_read=result["bytes_read"],
        output=said.read_text(errors="replace"),
    )


def _tail(path: Path) -> str:
    return path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")


def _story(work: Job, status: int, output: str) -> str:
    return f"{' '.join(work.command)}\nended with status {status} in {work.cwd}\n{output[-2 * _TAIL_BYTES :]}"
