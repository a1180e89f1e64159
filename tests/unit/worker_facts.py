"""A worker that reports what it sees of itself: its environment, and whether it may leave a core dump."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys

from farshore.frames import read_frame, write_frame

_GET_DUMPABLE = 3  # PR_GET_DUMPABLE


def facts() -> dict[str, object]:
    """Return them."""
    return {
        "environment": dict(os.environ),
        "core_bytes_max": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "dumpable": ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0),
    }


def main() -> None:
    """Send them, and wait for the end."""
    write_frame(sys.stdout.buffer, b"F", json.dumps(facts()).encode())
    while read_frame(sys.stdin.buffer) is not None:
        pass
