"""How long `farshore --help` and `farshore snapshots` take: `python -m tests.benchmarks.listing [--snapshots 1000]`.

Makes real snapshots of one small directory through the engine, in this process, at one directory replica; the other
replicas are copies of it (all replicas hold the same objects), without audit files, which a listing never looks at.
Times are of whole processes, with byte code in place as an installed wheel has it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.ops.backup.backup import run_backup
from farshore.ops.setup.initialize import initialize
from farshore.run import Run
from farshore.stores import open_store
from infra.local.seaweedfs import SeaweedServer

FARSHORE = str(Path(sys.executable).parent / "farshore")
REPEATS = 7
UPLOADS = 16
PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Timing:
    """One row of the table: medians of whole processes, in seconds."""

    what: str
    wall_s: float
    cpu_s: float
    requests: int = 0


def measure(root: Path, snapshots: int) -> Iterator[Timing]:
    """Yield the timings of help, then of listing at one directory, at three, and at an S3 server."""
    environment = _environment(root)
    for words in (("--help",), ("backup", "--help"), ("version",), ("completion", "bash")):
        yield timed(" ".join(words), [FARSHORE, *words], environment)
    build(root, snapshots)
    for copy in ("two", "three"):
        shutil.copytree(root / "one", root / copy, ignore=shutil.ignore_patterns("audit"))
    urls = {name: (root / name).as_uri() for name in ("one", "two", "three")}
    yield from _listed(root, environment, "one directory", {"one": urls["one"]}, "")
    yield from _listed(root, environment, "three directories", urls, "")
    with _s3_copy(root, environment) as (url, more):
        yield from _listed(root, environment, "one S3 server", {"one": url}, more)


def build(root: Path, snapshots: int) -> None:
    """Make a repository at one directory, with so many snapshots of a directory that changes a little each time."""
    clock, changing = SystemClock(), root / "home" / "changing"
    (root / "home").mkdir()
    (root / "one").mkdir()
    config = load_config(write_config(root, "build", {"one": (root / "one").as_uri()}, ""), _environment(root))
    initialize(config, clock=clock)
    with open_repository(config, need=Need.WRITE, clock=clock) as repository:
        for number in range(snapshots):
            changing.write_text(f"night {number}\n")
            run_backup(repository, open_source(config, "home", clock=clock), run=Run.start(clock))


def write_config(root: Path, name: str, urls: Mapping[str, str], more: str) -> Path:
    """Write a configuration with a state of its own, so with nothing in its cache, and return its path."""
    path = root / f"{name.replace(' ', '-')}.toml"
    replicas = "".join(f'[replicas.{one}]\nurl = "{url}"\nregion = "site:here"\n{more}' for one, url in urls.items())
    path.write_text(
        f'[repository]\nquorum = {len(urls) // 2 + 1}\npassphrase = {{ env = "BENCH_PASSPHRASE" }}\n{replicas}'
        f'[sources.home]\ntype = "directory"\npath = "home"\n[state]\ndir = "state-{path.stem}"\n'
    )
    return path


def timed(what: str, command: list[str], environment: Mapping[str, str], repeats: int = REPEATS) -> Timing:
    """Run a command so many times, after one run that is not counted."""
    run(command, environment)
    runs = [run(command, environment) for _ in range(repeats)]
    return Timing(what, statistics.median(wall for wall, _ in runs), statistics.median(cpu for _, cpu in runs))


def run(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command once and return its wall time and processor time in seconds."""
    before_s = time.monotonic()
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - before_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return wall_s, usage.ru_utime + usage.ru_stime


def _listed(
    root: Path, environment: Mapping[str, str], where: str, urls: Mapping[str, str], more: str
) -> Iterator[Timing]:
    """Yield the first listing of a host, whose cache is empty, and those that follow."""
    path = write_config(root, where, urls, more)
    command = [FARSHORE, "--config", str(path), "snapshots"]
    config, clock = load_config(path, environment), SystemClock()
    what = f"snapshots, {where}"
    cold: list[tuple[float, float]] = []
    for _ in range(3):
        shutil.rmtree(config.cache_dir, ignore_errors=True)
        cold.append(run(command, environment))
    shutil.rmtree(config.cache_dir)
    for state in ("cold cache", "warm cache"):
        with open_repository(config, need=Need.WRITE, clock=clock) as repository:
            list_snapshots(repository)
            meters = [replica.meter.snapshot() for replica in repository.replicas.values()]
        requests = sum(sum(meter.requests.values()) for meter in meters)
        if state == "cold cache":
            walls, cpus = zip(*cold, strict=True)
            yield Timing(f"{what}, {state}", statistics.median(walls), statistics.median(cpus), requests)
        else:
            warm = timed(f"{what}, {state}", command, environment)
            yield Timing(warm.what, warm.wall_s, warm.cpu_s, requests)


@contextmanager
def _s3_copy(root: Path, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Copy the objects of the directory to an S3 server; yield the URL and what else the configuration needs."""
    with SeaweedServer() as server, ThreadPoolExecutor(UPLOADS) as pool:
        server.create_bucket("listing")
        url = server.url("listing", "farshore")
        store = open_store(url, endpoint=server.address, credentials=server.credentials, clock=SystemClock())
        files = [path for path in (root / "two").rglob("*") if path.is_file()]
        list(pool.map(lambda path: store.put(path.relative_to(root / "two").as_posix(), path), files))
        store.close()
        environment["BENCH_ACCESS_KEY"] = server.credentials["access_key"]
        environment["BENCH_SECRET_KEY"] = server.credentials["secret_key"]
        secrets = 'access_key = { env = "BENCH_ACCESS_KEY" }, secret_key = { env = "BENCH_SECRET_KEY" }'
        yield url, f'endpoint = "{server.address}"\ncredentials = {{ {secrets} }}\n'


def _environment(root: Path) -> dict[str, str]:
    """Return an environment in which byte code is kept, in a folder of our own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(root / "byte-code"), "BENCH_PASSPHRASE": PASSPHRASE}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farshore-bench-") as folder:
        print(f"{'':44}  wall s   CPU s  requests")
        for row in measure(Path(folder), arguments.snapshots):
            print(f"{row.what:44}  {row.wall_s:6.3f}  {row.cpu_s:6.3f}  {row.requests or '':>8}", flush=True)


if __name__ == "__main__":
    main()
