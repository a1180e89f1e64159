"""Become another program that dies with the process that asked for it, as another user if told.

Run as a script by `process.spawn`: `python -I -S launch.py OWNER_PID UID|- GID|- PROGRAM ARGUMENT...`. It exists
because the two other ways are worse: a `preexec_fn` may deadlock in a process with threads, and a watching process
would need watching itself. The death signal is asked for after the user has changed: changing it clears the request.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def launch(owner_pid: int, user: str, group: str, command: list[str]) -> None:
    """Replace this process by `command`; never returns."""
    if user != "-":
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner_pid:  # the owner died before the request was made
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
