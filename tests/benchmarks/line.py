"""Behind a long line to S3: `python -m tests.benchmarks.line [--trip-ms 80] [--mb-per-s 50] [--files 2000]`.

Each tool has a bucket of the local S3 server behind a proxy of its own, which delays each byte, lets so many pass in a
second and has new connections shake hands as TLS does. Farshore and restic go through the cases in turn, in every round
the other one first; printed are medians of seconds, of ratios within the rounds, and for Farshore the requests that
waited in line (`--trace`), with those that had to open a connection first in brackets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.farshore_tools import PROGRAM, FarshoreS3
from tests.benchmarks.line_proxy import Line, long_line
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.measuring import Job, job, measure
from tests.benchmarks.peer_tools import ResticS3
from tests.benchmarks.s3_server import CountingS3
from tests.benchmarks.tools import FIRST, PASSPHRASE, UNCHANGED, Bucket, Setting
from tests.benchmarks.tree import installed_roots, make_tree

SMALL = "small"  # one file beside the tree, as a source of its own
RESTORE_ONE, RESTORE_ALL = "restore of one file", "restore of all"


@dataclass(frozen=True, slots=True)
class Case:
    """What both tools are asked, in their words; `{out}` is an empty directory. None: the tool has nothing like it."""

    title: str
    farshore: tuple[str, ...]
    restic: tuple[str, ...] | None
    forget_cache: bool = False


CASES = (
    Case("init", ("init",), ("init",)),
    Case("first backup", ("backup", "bench"), ("backup", "{source}")),
    Case("unchanged", ("backup", "bench"), ("backup", "{source}")),
    Case("first backup, one file", ("backup", SMALL), ("backup", "{small}")),
    Case("unchanged, one file", ("backup", SMALL), ("backup", "{small}")),
    Case("snapshots", ("snapshots",), ("snapshots",), forget_cache=True),
    Case("snapshots, cached", ("snapshots",), ("snapshots",)),
    Case("status", ("status",), None),
    Case("ls", ("ls", SMALL), ("ls", "latest", "--path", "{small}")),
    Case(
        RESTORE_ONE,
        ("restore", SMALL, "--target", "{out}"),
        ("restore", "latest", "--path", "{small}", "--target", "{out}"),
    ),
    Case(
        RESTORE_ALL,
        ("restore", "bench", "--target", "{out}"),
        ("restore", "latest", "--path", "{source}", "--target", "{out}"),
    ),
    Case("verify", ("verify",), ("check",)),
    Case("heal, level", ("heal",), None),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """One case of one tool."""

    seconds: float
    waits: int = 0
    wait_connections: int = 0
    requests: int = 0


class Place:
    """One tool behind its line, with a home, a cache and a bucket of its own."""

    def __init__(self, tool: FarshoreS3 | ResticS3, setting: Setting, small: Path) -> None:
        self._tool = tool
        self._setting = setting
        self._small = small
        self._places = {"source": str(setting.source), "small": str(small)}

    def run(self, case: Case) -> Ran | None:
        """Run a case, timed by a stopwatch of its own process."""
        setting = self._setting
        words = case.farshore if isinstance(self._tool, FarshoreS3) else case.restic
        if words is None:
            return None
        out = setting.place / "out"
        shutil.rmtree(out, ignore_errors=True)
        filled = [word.format(**self._places, out=out) for word in words]
        if isinstance(self._tool, ResticS3):
            done = measure(self._restic(filled), logs=setting.place / "logs")
            return Ran(done.wall_s)
        if case.forget_cache:
            shutil.rmtree(setting.place / "state" / "cache", ignore_errors=True)
        done = measure(self._farshore(filled), logs=setting.place / "logs")
        (traced,) = [one for one in map(json.loads, done.output.splitlines()) if one.get("type") == "trace"]
        return Ran(done.wall_s, traced["waits"], traced["wait_connections"], traced["requests"])

    def write_config(self) -> None:
        """Write what Farshore needs before its `init`, which is a case."""
        bucket, setting = self._setting.bucket, self._setting
        assert bucket is not None
        keys = '{ access_key = { env = "BENCH_ACCESS_KEY" }, secret_key = { env = "BENCH_SECRET_KEY" } }'
        (setting.place / "farshore.toml").write_text(
            '[repository]\nquorum = 1\npassphrase = { env = "FARSHORE_PASSPHRASE" }\n'
            f'[state]\ndir = "{setting.place}/state"\n'
            f'[sources.bench]\ntype = "directory"\npath = "{setting.source}"\n'
            f'[sources.{SMALL}]\ntype = "directory"\npath = "{self._small}"\n'
            f'[replicas.s3]\nurl = "s3://{bucket.name}/bench"\nendpoint = "{bucket.endpoint}"\ncredentials = {keys}\n'
        )

    def _farshore(self, words: list[str]) -> Job:
        setting, bucket = self._setting, self._setting.bucket
        assert bucket is not None
        environment = {
            "FARSHORE_PASSPHRASE": PASSPHRASE,
            "FARSHORE_CONFIG": f"{setting.place}/farshore.toml",
            "BENCH_ACCESS_KEY": bucket.access_key,
            "BENCH_SECRET_KEY": bucket.secret_key,
        }
        command: list[str | Path] = [PROGRAM, *words, "--json", "--trace", f"{setting.place}/trace"]
        return job(command, cwd=setting.place, home=setting.home, environment=environment)

    def _restic(self, words: list[str]) -> Job:
        assert isinstance(self._tool, ResticS3)
        made = self._tool.job(UNCHANGED, self._setting, newest=FIRST)
        return Job((made.command[0], *words), made.cwd, made.environment)


def rounds(line: Line, source: Path, small: Path, work: Path, count: int) -> Iterator[Mapping[str, Mapping[str, Ran]]]:
    """Yield of each round what each tool (by name) needed for each case (by title)."""
    tools: list[Callable[[], FarshoreS3 | ResticS3]] = [FarshoreS3, ResticS3]
    for number in range(count):
        found: dict[str, dict[str, Ran]] = defaultdict(dict)
        for make in tools if number % 2 == 0 else reversed(tools):
            tool = make()
            with ExitStack() as stack:
                server = stack.enter_context(CountingS3())
                bucket = server.make_bucket()
                end = stack.enter_context(long_line(bucket.endpoint, line))
                place = work / f"{tool.name}-{number}"
                place.mkdir()
                far = Bucket(bucket.name, end, bucket.access_key, bucket.secret_key)
                here = Place(tool, Setting("line", source, place, bucket=far), small)
                here.write_config()
                for case in CASES:
                    ran = here.run(case)
                    if ran is not None:
                        found[tool.name][case.title] = ran
                        said = f"{tool.name:<12} {case.title:<24}{ran.seconds:8.2f} s"
                        print(f"round {number + 1}/{count}  {said}", flush=True)
            shutil.rmtree(place)
        yield found


def table(found: list[Mapping[str, Mapping[str, Ran]]]) -> str:
    """Return the medians as rows of Markdown, and the geometric mean of the ratios."""
    lines = [
        "| case | Farshore, s | restic, s | ratio | requests | in line |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    ratios: list[float] = []
    for case in CASES:
        ours = [one["farshore-s3"][case.title] for one in found]
        theirs = [one["restic-s3"].get(case.title) for one in found]
        pairs = [mine.seconds / other.seconds for mine, other in zip(ours, theirs, strict=True) if other is not None]
        other_s = statistics.median(one.seconds for one in theirs if one is not None) if pairs else None
        ratio = statistics.median(pairs) if pairs else None
        ratios += [ratio] if ratio is not None else []
        middle = sorted(ours, key=lambda one: one.waits)[len(ours) // 2]
        lines.append(
            f"| {case.title} | {statistics.median(one.seconds for one in ours):.2f} | "
            f"{'' if other_s is None else f'{other_s:.2f}'} | {'' if ratio is None else f'{ratio:.2f}'} | "
            f"{middle.requests} | {middle.waits} ({middle.wait_connections}) |"
        )
    return "\n".join([*lines, "", f"geometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}"])


def main() -> None:
    """Run the bench and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.line", description=__doc__)
    parser.add_argument("--trip-ms", type=float, default=80.0, help="there and back (default 80)")
    parser.add_argument("--mb-per-s", type=float, default=50.0, help="each way, all connections together (default 50)")
    parser.add_argument("--cut", type=float, default=0.0, help="share of new connections that are cut (default 0)")
    parser.add_argument("--files", type=int, default=2000, help="of the tree (default 2000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where all of it happens")
    arguments = parser.parse_args()
    line = Line(arguments.trip_ms / 1000, arguments.mb_per_s * 1e6, cut_share=arguments.cut)
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        work = Path(name)
        counts = make_tree(work / "tree", files_wanted=arguments.files, roots=installed_roots())
        (work / "one").mkdir()
        (work / "one" / "file").write_bytes(os.urandom(5000))
        found = list(rounds(line, work / "tree", work / "one", work, arguments.rounds))
        machine = describe_machine(work)
    print(f"\n{line.title}; {counts.files:,} files, {counts.bytes_total / 1e6:,.0f} MB; {arguments.rounds} rounds; "
          f"{machine.processor}, {machine.cores} cores, {machine.date}\n\n{table(found)}")  # fmt: skip


if __name__ == "__main__":
    main()
