"""What machine this is, for a report that is read elsewhere."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from pathlib import Path

from tests.benchmarks.results import Machine


def describe_machine(work: Path) -> Machine:
    """Return what the bench runs on; `work` names the file system."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return Machine(
        processor=model.group(1) if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        file_system=_file_system(work),
        kernel=f"Linux {re.split('[-+]', platform.release())[0]}",
        python=platform.python_version(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def _file_system(path: Path) -> str:
    """Return the type of the file system with the longest mount point above a path."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, type_ = line.split()[:3]
        if path.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, type_
    return kind
