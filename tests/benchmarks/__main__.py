"""Measure Farshore beside other tools: `python -m tests.benchmarks` (`make bench`); docs/reference/benchmarks.md."""

from __future__ import annotations

import argparse
import compileall
import dataclasses
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import farshore
from infra.local.node import cache_directory
from tests.benchmarks.dataset import DATASETS, make_data, require_space
from tests.benchmarks.farshore_tools import FarshoreOne, FarshoreS3, FarshoreThree
from tests.benchmarks.floor_tools import Copy, Read, TarZstd
from tests.benchmarks.fresh import FRESH, PLAIN, can_mount
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.many_snapshots import SNAPSHOTS_MADE, run_listing
from tests.benchmarks.measuring import BenchFailed
from tests.benchmarks.orders import ORDERS
from tests.benchmarks.peer_tools import Borg, Rclone, RcloneS3, Restic, ResticS3
from tests.benchmarks.report import bar_table, short_tables, summary_line, write_report
from tests.benchmarks.results import Results, Run, read_results, write_results
from tests.benchmarks.runner import Plan, empty_directory, remove_leftovers, run_plan
from tests.benchmarks.tools import SNAPSHOTS, STEPS, Tool

TOOLS: tuple[type[Tool], ...] = (
    Read, Copy, TarZstd, Rclone, FarshoreOne, Restic, Borg, FarshoreThree, FarshoreS3, ResticS3, RcloneS3,
)  # fmt: skip
_DATA_BYTES = 9.5e9  # of all data, at full size
_RUN_BYTES = 11.5e9  # while it runs: three replicas of the image, compressed by half, and one restore of it
_SOCKET_PLACE_CHARACTERS_MAX = 60  # the path of a socket below it has at most 107

_EXAMPLE = """examples:
  python -m tests.benchmarks --scale 0.02 --repeat 1                      a trial of a minute
  python -m tests.benchmarks --tools farshore,restic --datasets tree      one question
  python -m tests.benchmarks --datasets copies,rewrites,share --tools farshore,restic --cases restore
  python -m tests.benchmarks                                              all of it, about an hour and a half
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench and return its exit code."""
    options = _parser().parse_args(arguments)
    for ending in (signal.SIGINT, signal.SIGTERM):  # both end like Ctrl-C: tools first, then what they left
        signal.signal(ending, signal.default_int_handler)
    work: Path = options.work.resolve()
    try:
        run_bench(options, work)
    except BenchFailed as error:
        print(f"bench: failed\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        for ending in (signal.SIGINT, signal.SIGTERM):  # removing takes a while, and would be cut short again
            signal.signal(ending, signal.SIG_IGN)
        remove_leftovers(work)  # it may have been a removal that was interrupted
        print("bench: interrupted; what the tools left was removed", file=sys.stderr)
        return 130
    return 0


def run_bench(options: argparse.Namespace, work: Path) -> None:
    """Make the data, run the tools, and write results after each run, so that an interruption loses none."""
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:6.0f} s] {line}", file=sys.stderr, flush=True)

    tools = [kind() for kind in TOOLS if kind.name in options.tools]
    versions = {tool.name: tool.version() for tool in tools}
    for tool in tools:
        say(f"{tool.title}: {versions[tool.name]}")
    there = (work / "data").exists()
    if len(str(work)) < _SOCKET_PLACE_CHARACTERS_MAX:
        tempfile.tempdir = str(work)  # the S3 server keeps its objects on the disk that the other tools use
    require_space(work, int(options.scale * (_RUN_BYTES + (0 if there else _DATA_BYTES))))
    for package in farshore.__path__:  # as an installation has it
        compileall.compile_dir(package, quiet=2)
    data = make_data(work / "data", scale=options.scale, say=say, datasets=options.datasets)
    remove_leftovers(work)  # a run that was killed could not
    mounts = can_mount(work)
    machine = dataclasses.replace(describe_machine(work), restores=FRESH if mounts else PLAIN)
    say(machine.restores)
    results = Results(machine=machine, facts=data.facts, versions=versions, runs=())
    path: Path = options.output or work / "results.json"
    kept: list[Run] = []

    def keep(run: Run) -> None:
        kept.append(run)
        write_results(Results(results.machine, results.facts, versions, tuple(kept)), path)

    plan = Plan(
        tools=tools,
        datasets=[name for name in options.datasets if name != SNAPSHOTS],
        steps=frozenset(options.cases),
        rounds=options.repeat,
        mounts=mounts,
    )
    if SNAPSHOTS in options.datasets:
        count = max(20, int(SNAPSHOTS_MADE * options.scale))
        say(f"listing: making {count:,} snapshots (minutes)")
        with empty_directory(work / "run"):
            for run in run_listing(work / "run", rounds=options.repeat, snapshots=count):
                keep(run)
    run_plan(plan, data, work, say=say, keep=keep)
    final = read_results(path)
    write_report(final, path)
    print(f"{short_tables(final)}\n{bar_table(final)}\n{summary_line(final)}")
    say(f"results: {path}, and .md and .png beside it")
    if options.discard:
        shutil.rmtree(work / "data")
    else:
        say(f"data: kept in {work / 'data'} for the next time; --discard or `make distclean` removes it")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [kind.name for kind in TOOLS]
    every = [*DATASETS, *ORDERS, SNAPSHOTS]
    parser.add_argument("--work", type=Path, default=cache_directory() / "bench", help="where all of it happens")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size of the data (default 1)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are taken over them (default 3)")
    parser.add_argument("--tools", type=_some_of(names), default=names, help=f"some of {','.join(names)}")
    parser.add_argument("--cases", type=_some_of(STEPS), default=list(STEPS), help=f"some of {','.join(STEPS)}")
    parser.add_argument("--datasets", type=_some_of(every), default=every, help=f"some of {','.join(every)}")
    parser.add_argument("--output", type=Path, help="the file for raw results (default results.json in --work)")
    parser.add_argument("--discard", action="store_true", help="remove the data at the end")
    return parser


class _some_of:  # noqa: N801 - reads as the type of an option
    """Takes words between commas, each one of a known few, and keeps the known order."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        words = text.split(",")
        for word in words:
            if word not in self._known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(self._known)}")
        return [name for name in self._known if name in words]


if __name__ == "__main__":
    sys.exit(main())
