"""Run one command and write what it cost as JSON: `python -I -S stopwatch.py RESULT PROGRAM ARGUMENT...`.

A process of its own and small on purpose: a child starts its memory record with that of the process that started it, so
a harness with numpy loaded would hide every tool below its own size. Imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import sys
import time

INTERVAL_S = 0.02
SHARE_MAX = 0.05  # of one core that looking may cost, or it would slow down what it looks at
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KCMP = {"x86_64": 312, "aarch64": 272}.get(os.uname().machine)  # its number as a system call
_KCMP_VM = 1
_libc = ctypes.CDLL(None)


def tree_of(pid: int) -> list[int]:
    """Return a process and its living descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children", "rb") as children:
                    found.extend(map(int, children.read().split()))
    return found


def memory_of(pids: list[int]) -> int:
    """Return the bytes that the processes hold in memory, a page that several share counted once."""
    if len(pids) == 1:
        with open(f"/proc/{pids[0]}/statm", "rb") as statm:  # cheaper by far than walking the page tables
            return int(statm.read().split()[1]) * _PAGE_BYTES
    total = 0
    counted: list[int] = []
    for pid in pids:
        if any(_share_memory(pid, other) for other in counted):
            continue
        counted.append(pid)
        with contextlib.suppress(OSError, StopIteration), open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            total += 1024 * int(next(line for line in rollup if line.startswith(b"Pss:")).split()[1])
    return total


def _share_memory(pid: int, other: int) -> bool:
    """Return whether two processes are in one memory, as a child of vfork and its parent until it runs its program.

    The share of a page that PSS gives each of them is the whole of it.
    """
    return _KCMP is not None and _libc.syscall(_KCMP, pid, other, _KCMP_VM, 0, 0) == 0


def bytes_read_by(pid: int) -> int:
    """Return what an ended process and its waited-for descendants have read by system calls, cached or not."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/io", "rb") as counters:
        return int(next(line for line in counters if line.startswith(b"rchar:")).split()[1])
    return 0


def measure(command: list[str]) -> dict[str, object]:
    """Run a command to its end and return its status, times in seconds, and peak memory of its whole tree in bytes."""
    started = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    ended = select.poll()
    ended.register(os.pidfd_open(pid), select.POLLIN)
    peak, samples, wait_s = 0, 0, INTERVAL_S
    while not ended.poll(wait_s * 1000):
        before = time.process_time()
        with contextlib.suppress(OSError, IndexError):  # it ended meanwhile
            peak = max(peak, memory_of(tree_of(pid)))
        samples += 1
        wait_s = max(INTERVAL_S, (time.process_time() - before) / SHARE_MAX)
    bytes_read = bytes_read_by(pid)  # until it is waited for, its counters are there
    _, status, usage = os.wait4(pid, 0)
    return {
        "wall_s": time.monotonic() - started,
        "user_s": usage.ru_utime,  # of the process and of all descendants that were waited for
        "system_s": usage.ru_stime,
        "memory_peak_bytes": max(peak, usage.ru_maxrss * 1024),
        "bytes_read": bytes_read,
        "samples": samples,
        "status": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    result = measure(sys.argv[2:])
    with open(sys.argv[1], "w", encoding="ascii") as file:
        json.dump(result, file)
