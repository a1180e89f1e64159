"""Measure this checkout beside another version of Farshore: `python -m tests.benchmarks.versions --old PROGRAM`.

Both run in turn, every case in every round, so that a machine that drifts hits both alike. What counts is the median of
the ratios within rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from infra.local.node import cache_directory
from tests.benchmarks.dataset import DATASETS, make_data
from tests.benchmarks.farshore_tools import FarshoreOne
from tests.benchmarks.fresh import can_mount
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.measuring import BenchFailed
from tests.benchmarks.orders import COPIES
from tests.benchmarks.results import Run
from tests.benchmarks.runner import Plan, remove_leftovers, run_plan
from tests.benchmarks.tools import STEPS

RATIO_MAX = 1.05  # new to old

_EXAMPLE = """example:
  git worktree add ../old v1 && make -C ../old environment
  python -m tests.benchmarks.versions --old ../old/.venv/bin/farshore
"""


class OldFarshore(FarshoreOne):
    """The other version, at the same settings."""

    name: ClassVar[str] = "farshore-old"
    title: ClassVar[str] = "Farshore, old"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both versions, print the ratios, and return 1 if a case is slower than `RATIO_MAX` allows."""
    options = _parser().parse_args(arguments)
    work: Path = options.work.resolve()
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:6.0f} s] {line}", file=sys.stderr, flush=True)

    data = make_data(work / "data", scale=options.scale, say=say, datasets=options.datasets)
    remove_leftovers(work)
    plan = Plan(
        tools=[FarshoreOne(), OldFarshore(options.old.resolve())],
        datasets=options.datasets,
        steps=frozenset(STEPS),
        rounds=options.repeat,
        mounts=can_mount(work),
    )
    runs: list[Run] = []
    try:
        run_plan(plan, data, work, say=say, keep=runs.append)
    except BenchFailed as error:
        print(f"bench: failed\n{error}", file=sys.stderr)
        return 2
    finally:
        remove_leftovers(work)
    machine = describe_machine(work)
    print(f"{machine.cores} cores, {machine.processor}, {machine.date}, scale {options.scale}")
    return 1 if _print_ratios(runs) else 0


def _print_ratios(runs: Iterable[Run]) -> bool:
    """Print a table of the cases, and return whether one of them is too slow."""
    times: dict[tuple[str, str], dict[str, dict[int, Run]]] = {}
    for run in runs:
        times.setdefault((run.dataset, run.step), {}).setdefault(run.tool, {})[run.round] = run
    too_slow = False
    print(
        "| case | rounds | new, s | old, s | ratio | CPU ratio | MB, new | MB, old |\n|---|---|---|---|---|---|---|---|"
    )
    for (dataset, step), by_tool in times.items():
        new, old = by_tool[FarshoreOne.name], by_tool[OldFarshore.name]
        rounds = sorted(new.keys() & old.keys())
        ratio = statistics.median(new[one].wall_s / old[one].wall_s for one in rounds)
        cpu = statistics.median(new[one].cpu_s / old[one].cpu_s for one in rounds)
        slow = ratio > RATIO_MAX
        too_slow |= slow
        cells = [
            f"{step}, {dataset}",
            str(len(rounds)),
            *(f"{statistics.median(one[number].wall_s for number in rounds):.2f}" for one in (new, old)),
            f"{ratio:.3f}{' (too slow)' if slow else ''}",
            f"{cpu:.3f}",
            *(f"{max(one[number].memory_peak_bytes for number in rounds) / 1e6:.0f}" for one in (new, old)),
        ]
        print(f"| {' | '.join(cells)} |")
    return too_slow


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.versions",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--old", type=Path, required=True, help="the program of the other version")
    parser.add_argument(
        "--work", type=Path, default=cache_directory() / "bench-versions", help="where all of it happens"
    )
    parser.add_argument("--scale", type=float, default=0.1, help="share of the full size of the data (default 0.1)")
    parser.add_argument("--repeat", type=int, default=7, help="rounds (default 7)")
    parser.add_argument(
        "--datasets",
        type=lambda text: text.split(","),
        default=[*DATASETS, COPIES],
        help=f"which data (default {','.join([*DATASETS, COPIES])}; also rewrites, share)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
