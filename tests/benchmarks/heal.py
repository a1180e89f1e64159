"""How fast heal fills a replica, beside plain copying between the same servers: `python -m tests.benchmarks.heal`.

Both copy the same packs between two S3 servers of this machine with as many threads: the heal of an empty replica as
`farshore replica add` makes it without a key (listings, proof of every byte, snapshots, read back), and nothing but get
and put through the bare store. They are run in turns, in pairs, and the ratio of the medians is what the bar is for;
below it the exit code is 1. The service copies nothing by itself here, because the servers are two.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from farshore import limits
from farshore.access import open_repository
from farshore.access.open_replica import open_bare_store
from farshore.access.unlock import Need
from farshore.clock import SystemClock
from farshore.config import Config
from farshore.config.secret import Secret
from farshore.config.settings import ReplicaConfig, RepositoryConfig
from farshore.ops.backup.backup import run_backup
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.setup.initialize import initialize
from farshore.run import Run
from farshore.sources.directory.source import DirectorySource
from farshore.stores.base import Store
from infra.local.seaweedfs import SeaweedServer
from tests.benchmarks.machine import describe_machine

BAR = 0.80  # of the throughput of plain copying
CLOCK = SystemClock()
FILE_BYTES = 64 * limits.MIB


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.heal", description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="bytes of content that cannot be compressed")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farshore-heal-bench-") as folder:
        return _measure(Path(folder), options.mib * limits.MIB, options.pairs)


def _measure(place: Path, content_bytes: int, pairs: int) -> int:
    with SeaweedServer() as near, SeaweedServer() as far:
        near.create_bucket("near")
        config = _config(place, near, far)
        _fill(place, config, content_bytes)
        rates: dict[str, list[float]] = {"heal": [], "copy": []}
        for number in range(pairs + 1):  # the first pair warms the page cache and the servers, and is not counted
            for side in ("heal", "copy") if number % 2 else ("copy", "heal"):
                bucket = f"{side}-{number}"
                far.create_bucket(bucket)
                wanted = replace(config.replicas["far"], url=far.url(bucket, "farshore"))
                filled = replace(config, replicas={**config.replicas, "far": wanted})
                rate = _heal(filled) if side == "heal" else _copy(filled)
                if number:
                    rates[side].append(rate)
                    print(f"pair {number}: {side} {rate / limits.MIB:7.1f} MiB/s")
                far.delete_bucket(bucket)
    heal, copy = (statistics.median(rates[side]) for side in ("heal", "copy"))
    machine = describe_machine(place)
    print(f"{machine.processor}, {machine.cores} cores, {machine.file_system}, {machine.kernel}, {machine.date}")
    print(f"{content_bytes // limits.MIB} MiB, {limits.HEAL_THREADS} threads, median of {pairs} pairs:")
    print(f"heal {heal / limits.MIB:.1f} MiB/s, plain copy {copy / limits.MIB:.1f} MiB/s, ratio {heal / copy:.2f}")
    return 0 if heal >= BAR * copy else 1


def _heal(config: Config) -> float:
    with open_context(config, keyless=True, clock=CLOCK) as context:
        started_s = time.perf_counter()
        result = heal_repository(context, HealOptions(replica="far", new=("far",)), run=Run.start(CLOCK))
        took_s = time.perf_counter() - started_s
    if not result.in_sync:
        raise SystemExit(f"not level: {result}")
    return result.replicas[0].bytes_copied / took_s


def _copy(config: Config) -> float:
    with _bare(config, "near") as source, _bare(config, "far") as target:
        listed = list(source.list("packs/"))
        started_s = time.perf_counter()
        with ThreadPoolExecutor(limits.HEAL_THREADS) as pool:
            list(pool.map(lambda info: target.put(info.name, source.get(info.name)), listed))
        took_s = time.perf_counter() - started_s
    return sum(info.size for info in listed) / took_s


@contextmanager
def _bare(config: Config, replica: str) -> Iterator[Store]:
    with closing(open_bare_store(config, config.replicas[replica], CLOCK)) as store:
        yield store


def _fill(place: Path, config: Config, content_bytes: int) -> None:
    """Back up random files to the near server alone."""
    source = place / "source"
    source.mkdir()
    for number in range(max(content_bytes // FILE_BYTES, 1)):
        (source / str(number)).write_bytes(CLOCK.random_bytes(min(FILE_BYTES, content_bytes)))
    alone = replace(config, replicas={"near": config.replicas["near"]})
    initialize(alone, clock=CLOCK)
    with open_repository(alone, need=Need.WRITE, clock=CLOCK) as repository:
        run_backup(repository, DirectorySource(name="bench", path=source, clock=CLOCK), run=Run.start(CLOCK))


def _config(place: Path, near: SeaweedServer, far: SeaweedServer) -> Config:
    servers = {"near": near, "far": far}
    return Config(
        repository=RepositoryConfig(quorum=1, passphrase=Secret("env", "BENCH_PASSPHRASE")),
        replicas={
            name: ReplicaConfig(
                name,
                server.url(name, "farshore"),
                endpoint=server.address,
                credentials={key: Secret("env", f"{name}_{key}") for key in server.credentials},
            )
            for name, server in servers.items()
        },
        sources={},
        state_dir=place / "state",
        environment={
            "BENCH_PASSPHRASE": "only for the bench",
            **{f"{name}_{key}": value for name, server in servers.items() for key, value in server.credentials.items()},
        },
    )


if __name__ == "__main__":
    sys.exit(main())
