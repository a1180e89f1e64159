"""Who this process is, so that a later attempt knows whether a lease's holder still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from farshore.errors import ObjectCorrupt
from farshore.format import decode_object, encode_canonical


def host_name() -> str:
    """Return this machine's name."""
    return socket.gethostname()


def describe_process() -> str:
    """Return text that names this process among all of this machine's boots."""
    return encode_canonical({
        "host": host_name(), "boot": _boot_id(), "pid": os.getpid(), "started": _started(os.getpid()),
    }).decode().strip()  # fmt: skip


def is_known_dead(described: str) -> bool:
    """Whether the process was one of this machine and is gone. False when that cannot be known from here."""
    try:
        value = decode_object(described.encode(), "a lease's holder")
        host, boot, pid, started = value["host"], value["boot"], int(value["pid"]), value["started"]
    except (ObjectCorrupt, KeyError, TypeError, ValueError):
        return False
    if host != host_name():
        return False
    if boot and boot != _boot_id():
        return True
    return bool(_started(pid) != started)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start time of a process in clock ticks, as text; empty when there is none: pids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return stat.rpartition(b")")[2].split()[19].decode("ascii")
