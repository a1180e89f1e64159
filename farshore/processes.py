"""Processes of our own beside this one, for work that Python does on one core only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from farshore.errors import ToolUnavailable

_START = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"
_ENDING_S = 10.0  # a process without orders ends at once; one that hangs in the kernel must not hang us


def processes_that_pay(most: int) -> int:
    """Return how many processes pay on this machine, at most so many: on one core none does."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, most) if cores > 1 and sys.executable else 0


def start_process(
    module: str, arguments: Sequence[str], *, pass_fds: Sequence[int], bufsize: int = -1
) -> subprocess.Popen[bytes]:
    """Start `main` of a module, with pipes to and from it. It sees the code that we see, and no other.

    It is in a process group of its own, so an interrupt at the terminal reaches only this process.

    Raises:
        OSError: It could not be started.
    """
    start = _START.format(path=[str(Path(one).absolute()) for one in sys.path], module=module)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", start, *arguments],
        bufsize=bufsize,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        process_group=0,
    )


def make_shared(name: str, size: int) -> int:
    """Return the descriptor of new memory that processes can share; it shows as `name`, and nothing can open it so.

    Raises:
        OSError: It could not be made.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process whose orders have ended; kill it where it does not end. Safe to repeat."""
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Wait for a process, and say how it ended: `by SIGKILL`, `with status 1`."""
    status = process.wait()
    return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"


def process_gone(process: subprocess.Popen[bytes], task: str) -> ToolUnavailable:
    """Wait for a process of a backup that ended before its work did, and return the error that tells so."""
    return ToolUnavailable(
        f"a process that {task} ended {how_it_ended(process)}",
        "Nothing was committed. Look for a lack of memory, then run again.",
    )
