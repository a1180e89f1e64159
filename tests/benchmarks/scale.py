"""Measure how cost grows with entries and with chunks: `python -m tests.benchmarks.scale` (`make bench-scale`).

Entries are simulated (see `scale_source`); the repository, the commands that read it and the files restored from it are
real. Each step is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.scale_report import Build, Scale, Step, publish, summary, write_scale
from tests.benchmarks.scale_source import (
    CONTENTS,
    DIRECTORIES_PER_TOP,
    FILES_PER_DIRECTORY,
    content,
    content_number,
    directory_path,
)

CHANGES = 30
_RESTORED = 7  # the directory that is listed and restored alone
_FARSHORE = str(Path(sys.executable).parent / "farshore")
_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = """[repository]
quorum = 1
[replicas.alpha]
url = "file://alpha"
region = "site:alpha"
[state]
dir = "state"
"""


class ScaleFailed(Exception):
    """A step did not do what it was measured for."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A repository for one number of files."""

    files: int
    place: Path
    contents: int

    @property
    def config(self) -> Path:
        return self.place / "farshore.toml"

    @property
    def entries(self) -> int:
        """Files and the directories above them."""
        directories = -(-self.files // FILES_PER_DIRECTORY)
        return 1 + self.files + directories + -(-directories // DIRECTORIES_PER_TOP)

    def farshore(self, *words: str) -> list[str]:
        return [_FARSHORE, *words, "--config", str(self.config)]

    def backup(self, *, changes: int, read: int) -> list[str]:
        words = ["--files", str(self.files), "--changes", str(changes), "--expect-read", str(read)]
        words += ["--contents", str(self.contents)]
        return [sys.executable, "-m", "tests.benchmarks.scale_backup", str(self.config), *words]


def run(trial: Trial, name: str, command: Sequence[str], check: Callable[[Path], bool] | None = None) -> Step:
    """Run one step to its end and return what it took; fails when it did, or when its output is not right."""
    output, errors = trial.place / "output", trial.place / "errors"
    environment = {**os.environ, "FARSHORE_PASSPHRASE": "of no consequence", "HOME": str(trial.place)}
    with output.open("wb") as out, errors.open("wb") as err:
        start_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=_ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or (check is not None and not check(output)):
        raise ScaleFailed(f"{name} of {trial.files:,} files failed: {errors.read_text()[-2000:]}")
    return Step(name, trial.entries, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


def measure_entries(trial: Trial, say: Callable[[Step], None]) -> list[Step]:
    """Back up, again, after changes; list, list one directory, diff, restore one directory."""
    (trial.place / "alpha").mkdir(parents=True)
    trial.config.write_text(_CONFIG)
    steps: list[Step] = []
    one = os.fsdecode(directory_path(_RESTORED))
    target = trial.place / "restored"

    def step(name: str, command: Sequence[str], check: Callable[[Path], bool] | None = None) -> None:
        steps.append(run(trial, name, command, check))
        say(steps[-1])

    run(trial, "init", trial.farshore("init"))
    step("first backup", trial.backup(changes=0, read=trial.entries))
    step("second backup, nothing changed", trial.backup(changes=0, read=0))
    step("backup after 30 changes", trial.backup(changes=CHANGES, read=CHANGES * 2 // 3))
    run(trial, "snapshots", trial.farshore("snapshots", "--json"))
    ids = [json.loads(line)["snapshot_id"] for line in (trial.place / "output").read_text().splitlines()]
    all_of_it = ["ls", ids[0], "--recursive"]
    step("list everything", trial.farshore(*all_of_it), lambda output: _lines(output) == trial.entries)
    step("list one directory", trial.farshore("ls", ids[0], one), lambda output: _lines(output) == FILES_PER_DIRECTORY)
    step("diff of 30 changes", trial.farshore("diff", ids[0], ids[-1]), lambda output: _lines(output) == CHANGES)
    restore = ["restore", ids[0], "--target", str(target), "--include", f"/{one}"]
    step("restore of one directory", trial.farshore(*restore), lambda _: _is_restored(target / one, trial.contents))
    return steps


def _lines(output: Path) -> int:
    with output.open("rb") as file:
        return sum(1 for _ in file)


def _is_restored(directory: Path, contents: int) -> bool:
    """Whether every file of the directory is there, with its content."""
    first = _RESTORED * FILES_PER_DIRECTORY
    numbers = range(first, first + FILES_PER_DIRECTORY)
    expected = {f"file{at:09d}.dat": content(content_number(at, 0, contents)) for at in numbers}
    return {path.name: path.read_bytes() for path in directory.iterdir()} == expected


def measure_index(chunks: int) -> Build:
    """Build an index of so many chunks and look some up."""
    command = [sys.executable, "-m", "tests.benchmarks.scale_index", str(chunks)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScaleFailed(f"the index of {chunks:,} chunks failed: {done.stderr[-2000:]}")
    return Build(**json.loads(done.stdout))


def main() -> int:
    """Measure, tell, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--files", type=_numbers, default=(100_000, 1_000_000, 10_000_000), help="sizes, by commas")
    parser.add_argument("--chunks", type=_numbers, default=(1_000_000, 10_000_000, 50_000_000), help="likewise")
    parser.add_argument("--contents", type=int, default=CONTENTS, help="different contents; 0: each file has its own")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="has 1 GB for a million files")
    parser.add_argument("--results", type=Path, default=Path("build/benchmarks-scale.json"), metavar="FILE")
    parser.add_argument("--publish", action="store_true", help="put tables and picture into docs/")
    options = parser.parse_args()
    steps: list[Step] = []
    builds: list[Build] = []
    machine = describe_machine(options.work)
    try:
        for files in options.files:
            with tempfile.TemporaryDirectory(prefix="farshore-scale-", dir=options.work) as place:
                steps += measure_entries(Trial(files, Path(place) / "trial", options.contents), _say)
                shutil.rmtree(place, ignore_errors=True)
        for chunks in options.chunks:
            builds.append(measure_index(chunks))
            print(f"index of {chunks:,} chunks: {builds[-1].bytes_a_chunk:.1f} bytes a chunk", flush=True)
    except ScaleFailed as error:
        print(error, file=sys.stderr)
        return 1
    results = Scale(machine, tuple(steps), tuple(builds))
    write_scale(results, options.results)
    print(summary(results))
    if options.publish:
        publish(results)
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def _say(step: Step) -> None:
    rate = step.entries / step.wall_s
    print(
        f"{step.entries:>12,}  {step.name:<32} {step.wall_s:8.1f} s  {step.cpu_s:8.1f} s cpu  "
        f"{step.memory_bytes / 1e6:6.0f} MB  {rate:12,.0f} entries/s",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
