"""Restores with one bad replica of three, hedged and not: `python -m tests.benchmarks.hedging [--mib 256]`.

The replicas are directories of this machine; the one that is configured first is made worse by wrappers: every
twentieth get comes two seconds late, or all of it at 1 MB/s, or it hangs for 20 s from the fifth get of packs on. Runs
come in pairs, hedged and not, in turn first; a table gives medians of wall time, of what was read beside what one
replica alone gives, and of the ratios within the pairs.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.catalog.snapshots import resolve_snapshot
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.format import names
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.initialize import initialize
from farshore.run import Run
from farshore.stores.base import Store
from farshore.stores.wrappers.throttled import ThrottledStore
from tests.benchmarks.image import PAGE_BYTES, image_blocks
from tests.benchmarks.machine import describe_machine
from tests.doubles.faulty import Fault, FaultKind, FaultyStore

MIB = 1024 * 1024
_SEED = 7
_LATE_S, _LATE_EVERY = 2.0, 20
_SLOW_BYTES_PER_S = 10**6
_HANG_S, _HANG_FROM = 20.0, 5
_CLOCK = SystemClock()
Wrap = Callable[[Store], Store]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one restore took."""

    wall_s: float
    bytes_read: int
    hedged: int


def as_it_is(store: Store) -> Store:
    """Leave the replica as good as the others."""
    return store


def often_late(store: Store) -> Store:
    """Delay every twentieth get of packs."""
    numbers = itertools.count(1)

    def plan(verb: str, name: str, _: int) -> Fault | None:
        late = verb == "get" and names.parse_pack(name) and next(numbers) % _LATE_EVERY == 0
        return Fault(FaultKind.DELAY, wait_s=_LATE_S) if late else None

    return FaultyStore(store, clock=_CLOCK, plan=plan)


def slow(store: Store) -> Store:
    """Give everything at 1 MB/s."""
    return ThrottledStore(store, clock=_CLOCK, down_bytes_per_s=_SLOW_BYTES_PER_S)


def hanging(store: Store) -> Store:
    """Hang at the fifth get of packs and at each that follows, for 20 s."""
    numbers = itertools.count(1)

    def plan(verb: str, name: str, _: int) -> Fault | None:
        if verb != "get" or not names.parse_pack(name) or next(numbers) < _HANG_FROM:
            return None
        release = threading.Event()
        threading.Timer(_HANG_S, release.set).start()
        return Fault(FaultKind.HANG, until=release)

    return FaultyStore(store, clock=_CLOCK, plan=plan)


CASES: dict[str, Wrap] = {
    "all alike": as_it_is,
    "1 get in 20 late by 2 s": often_late,
    "1 MB/s": slow,
    "hangs": hanging,
}


def build(root: Path, size_mib: int) -> Path:
    """Make three replicas with one snapshot of an image; return the configuration's path."""
    for name in ("one", "two", "three", "source"):
        (root / name).mkdir()
    with (root / "source/disk.img").open("wb") as file:
        for block in image_blocks(size_mib * MIB // PAGE_BYTES, _SEED):
            file.write(block)
    replicas = "".join(f'[replicas.{name}]\nurl = "file://{root / name}"\n' for name in ("one", "two", "three"))
    path = root / "farshore.toml"
    path.write_text(
        f'[repository]\npassphrase = {{ env = "BENCH_PASSPHRASE" }}\n{replicas}'
        f'[sources.image]\ntype = "directory"\npath = "{root / "source"}"\npaged = ["*.img"]\n'
        f'[state]\ndir = "{root / "state"}"\n'
    )
    config = load_config(path, {"BENCH_PASSPHRASE": "bench", "HOME": str(root)})
    initialize(config, clock=_CLOCK)
    with open_repository(config, need=Need.WRITE, clock=_CLOCK) as repository:
        run_backup(repository, open_source(config, "image", clock=_CLOCK), run=Run.start(_CLOCK))
    return path


def restore(root: Path, config_path: Path, wrap: Wrap, *, hedge: bool) -> Cost:
    """Restore the image as a host that knows nothing yet, with the first replica made worse."""
    shutil.rmtree(root / "target", ignore_errors=True)
    shutil.rmtree(root / "state/cache", ignore_errors=True)
    config = load_config(config_path, {"BENCH_PASSPHRASE": "bench", "HOME": str(root)})
    config = replace(config, reads=replace(config.reads, hedge=hedge))
    with open_repository(config, need=Need.READ, patient=False, clock=_CLOCK) as repository:
        snapshot = resolve_snapshot(repository, "image")
        first = repository.replicas["one"]
        repository.replicas = {**repository.replicas, "one": replace(first, store=wrap(first.store))}
        started_s = time.monotonic()
        result = restore_snapshot(repository, snapshot, root / "target", run=Run.start(_CLOCK))
        wall_s = time.monotonic() - started_s
    return Cost(wall_s, sum(one.bytes_down for one in result.requests), result.hedged)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="size of the image")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each case")
    parser.add_argument("--case", choices=CASES, help="this one alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farshore-hedging-") as folder:
        root = Path(folder)
        config_path = build(root, arguments.mib)
        stored = sum(path.stat().st_size for path in (root / "one/packs").rglob("*") if path.is_file())
        machine = describe_machine(root)
        print(f"{machine.processor}, {machine.cores} cores, {machine.kernel}, {machine.python}, {machine.date}")
        print(f"image of {arguments.mib} MiB, {stored / MIB:.0f} MiB stored, {arguments.rounds} pairs; medians\n")
        print("| first replica | not hedged, s | hedged, s | ratio | second requests | read, of what is stored |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for case, wrap in CASES.items():
            if arguments.case not in (None, case):
                continue
            pairs: list[dict[bool, Cost]] = []
            for number in range(arguments.rounds):
                order = (True, False) if number % 2 else (False, True)
                pairs.append({hedge: restore(root, config_path, wrap, hedge=hedge) for hedge in order})
            wall = {hedge: statistics.median(pair[hedge].wall_s for pair in pairs) for hedge in (False, True)}
            ratio = statistics.median(pair[True].wall_s / pair[False].wall_s for pair in pairs)
            hedged = statistics.median(pair[True].hedged for pair in pairs)
            read = statistics.median(pair[True].bytes_read for pair in pairs) / stored
            print(f"| {case} | {wall[False]:.2f} | {wall[True]:.2f} | {ratio:.2f} | {hedged:.0f} | {read:.2f} |")


if __name__ == "__main__":
    main()
