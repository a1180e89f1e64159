"""One backup of the simulated source, in a process of its own: `python -m tests.benchmarks.scale_backup CONFIG ...`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.ops.backup.backup import run_backup
from farshore.run import Run
from tests.benchmarks.scale_source import ScaleSource


def main() -> None:
    """Back up, and fail when the counts are not those of the source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--files", type=int, required=True)
    parser.add_argument("--changes", type=int, default=0)
    parser.add_argument("--contents", type=int, required=True)
    parser.add_argument("--expect-read", type=int, required=True, help="entries that are read and not taken over")
    arguments = parser.parse_args()
    clock = SystemClock()
    config = load_config(arguments.config, os.environ)
    source = ScaleSource(arguments.files, arguments.changes, arguments.contents)
    with open_repository(config, need=Need.WRITE, clock=clock) as repository:
        counts = run_backup(repository, source, run=Run.start(clock)).counts
    if counts.problems or counts.entries - counts.entries_unchanged != arguments.expect_read:
        raise SystemExit(f"not what was expected: {counts}")


if __name__ == "__main__":
    main()
