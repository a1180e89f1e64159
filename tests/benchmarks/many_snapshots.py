"""How long it takes to ask for help, and to list a thousand snapshots with nothing cached."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import listing
from tests.benchmarks.measuring import job, measure
from tests.benchmarks.results import Run
from tests.benchmarks.tools import HELP, LIST, SNAPSHOTS, directory_bytes

SNAPSHOTS_MADE = 1000
ROUNDS_MIN = 5  # each takes a fraction of a second


def run_listing(place: Path, *, rounds: int, snapshots: int) -> Iterator[Run]:
    """Make a repository in `place`, which is empty, and yield the runs of both steps."""
    listing.build(place, snapshots)
    config = listing.write_config(place, "bench", {"one": (place / "one").as_uri()}, "")
    commands: dict[str, list[str | Path]] = {
        HELP: [listing.FARSHORE, "--help"],
        LIST: [listing.FARSHORE, "--config", config, "snapshots"],
    }
    environment = {"BENCH_PASSPHRASE": listing.PASSPHRASE}
    for step, command in commands.items():
        work = job(command, cwd=place, home=place / "home-of-user", environment=environment)
        for number in range(max(rounds, ROUNDS_MIN)):
            shutil.rmtree(place / "state-bench" / "cache", ignore_errors=True)
            cost = measure(work, logs=place / "logs")
            yield Run(
                round=number,
                tool="farshore",
                dataset=SNAPSHOTS,
                step=step,
                wall_s=round(cost.wall_s, 4),
                user_s=round(cost.user_s, 4),
                system_s=round(cost.system_s, 4),
                memory_peak_bytes=cost.memory_peak_bytes,
                bytes_stored=directory_bytes(place / "one"),
            )
