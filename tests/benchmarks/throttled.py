"""A backup with one of three replicas slow: `python -m tests.benchmarks.throttled [--image-gib 1] [--pairs 3]`.

Backs up a database-like image to three buckets of the local S3 server with a quorum of two, by the real command line,
each time to a new repository. In each pair one run is free and in the other one replica may take a tenth of the bytes
per second that it took in a free run. Prints a table of all runs and the ratio of the medians, and fails above the bar.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.local.seaweedfs import SeaweedServer
from tests.benchmarks.image import PAGE_BYTES, image_blocks
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.measuring import job, measure

RATIO_MAX = 1.1
REPLICAS = ("near", "far", "slow")
_SEED = 11
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Run:
    """One backup: how long, what was stored at each replica that holds it, and what became of the slow one."""

    bandwidth_up: int  # bytes per second of the slow one; 0 where it is free
    wall_s: float
    memory_peak_bytes: int
    bytes_stored: int
    bytes_slow: int  # that the slow one took
    outcome: str


class Bench:
    """Repositories on one server, made below `root` one after the other."""

    def __init__(self, root: Path, server: SeaweedServer) -> None:
        self._root = root
        self._server = server
        self._count = 0

    def back_up(self, bandwidth_up: int) -> Run:
        """Make a repository, back the image up to it, and take it away again."""
        self._count += 1
        name = f"run-{self._count}"
        home = self._root / name
        home.mkdir()
        for replica in REPLICAS:
            self._server.create_bucket(f"{name}-{replica}")
        (home / "farshore.toml").write_text(self._configuration(name, bandwidth_up))
        environment = {
            "FARSHORE_PASSPHRASE": "correct horse battery staple",
            "BENCH_ACCESS_KEY": self._server.credentials["access_key"],
            "BENCH_SECRET_KEY": self._server.credentials["secret_key"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        farshore = [sys.executable, "-m", "farshore", "--config", str(home / "farshore.toml")]
        measure(job([*farshore, "init"], cwd=home, home=home, environment=environment), logs=home)
        backup = [*farshore, "--json", "backup", "image"]
        done = measure(job(backup, cwd=home, home=home, environment=environment), logs=home)
        (reported,) = (one for one in map(json.loads, done.output.splitlines()) if one["type"] == "backup")
        (slow,) = (one for one in reported["replicas"] if one["replica"] == "slow")
        (asked,) = (one for one in reported["requests"] if one["replica"] == "slow")
        shutil.rmtree(home)
        return Run(
            bandwidth_up=bandwidth_up,
            wall_s=done.wall_s,
            memory_peak_bytes=done.memory_peak_bytes,
            bytes_stored=reported["counts"]["bytes_stored"],
            bytes_slow=asked["bytes_up"],
            outcome="level" if slow["committed"] else slow["error_code"],
        )

    def _configuration(self, name: str, bandwidth_up: int) -> str:
        keys = '{ access_key = { env = "BENCH_ACCESS_KEY" }, secret_key = { env = "BENCH_SECRET_KEY" } }'
        sections = [
            f'[replicas.{replica}]\nurl = "s3://{name}-{replica}"\nendpoint = "{self._server.address}"\n'
            f"credentials = {keys}\n"
            for replica in REPLICAS
        ]
        if bandwidth_up:
            sections[-1] += f'bandwidth_up = "{bandwidth_up} B/s"\n'
        return (
            f'[repository]\nquorum = 2\n{"".join(sections)}[state]\ndir = "state"\n'
            f'[sources.image]\ntype = "directory"\npath = "{self._root / "image"}"\n'
        )


def table(runs: list[Run]) -> str:
    """Return the runs as rows of Markdown."""
    lines = [
        "| slow replica may take | seconds | peak memory | stored at each | taken by it | it is |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for run in runs:
        may = f"{run.bandwidth_up / 1e6:.1f} MB/s" if run.bandwidth_up else "all it can"
        lines.append(
            f"| {may} | {run.wall_s:.1f} | {run.memory_peak_bytes / 1e6:.0f} MB | {run.bytes_stored / 1e6:.0f} MB | "
            f"{run.bytes_slow / 1e6:.0f} MB | {run.outcome} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throttled", description=__doc__)
    parser.add_argument("--image-gib", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--work", type=Path, help="where to make repositories; the system's temporary directory if none"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as place, SeaweedServer() as server:
        root = Path(place)
        (root / "image").mkdir()
        with (root / "image" / "disk.img").open("wb") as file:
            for block in image_blocks(int(arguments.image_gib * _GIB) // PAGE_BYTES, _SEED):
                file.write(block)
        bench = Bench(root, server)
        free = [bench.back_up(0)]  # also warms the page cache; it sets the pace and is not counted
        tenth = max(int(free[0].bytes_stored / free[0].wall_s / 10), 1)
        pairs: list[tuple[Run, Run]] = []
        for number in range(arguments.pairs):
            order = (0, tenth) if number % 2 == 0 else (tenth, 0)
            made = {one: bench.back_up(one) for one in order}
            pairs.append((made[0], made[tenth]))
        machine = describe_machine(root)
    print(f"{machine.processor}, {machine.cores} cores, {machine.kernel}, Python {machine.python}, {machine.date}\n")
    print(table([run for pair in pairs for run in pair]))
    ratio = statistics.median(one.wall_s for _, one in pairs) / statistics.median(one.wall_s for one, _ in pairs)
    print(f"\nratio of the medians: {ratio:.2f}; the bar is {RATIO_MAX}")
    return 0 if ratio <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
