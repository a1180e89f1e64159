"""Live a year in an afternoon: `python -m tests.benchmarks.years` (`make bench-years`; `--weeks 3` is a short form).

Three sources of real files, backed up each hour, night and week into three replicas in directories; retention and prune
each day; one day in twenty a replica is out of reach. One clock, set forward, is that of the host and of what the
stores report. Each day what there is at the first replica is counted, and commands are timed; they run in this process.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import Clock
from farshore.config import Config, RetentionConfig
from farshore.errors import FarshoreError
from farshore.ops.ask.status import repository_status
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.prune.outcome import PruneOptions
from farshore.ops.prune.prune import prune_repository
from farshore.ops.retain.forget import forget_snapshots
from farshore.ops.retain.judging import judge_repository
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from farshore.sources.directory.source import DirectorySource
from farshore.stores import directory
from farshore.stores.base import Body, PutOutcome
from farshore.stores.directory import DirectoryStore
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.traffic import ServiceClock
from tests.benchmarks.years_report import Day, publish
from tests.property.living_tree import ShiftedClock
from tests.unit.ops.engine import Engine

HOUR_S = 3600.0
RETENTION = RetentionConfig(keep_hourly=24, keep_daily=7, keep_weekly=4, keep_monthly=3)
AWAY_SHARE = 0.05
_SQL = "SELECT source, count(*), sum(bytes_stored) FROM snapshots GROUP BY source"


@dataclass(frozen=True)
class Plan:
    """One source: how often it is backed up, and how many of its files change in between."""

    name: str
    every_h: int
    files: int
    bytes: int
    changes: int


PLANS = (Plan("hourly", 1, 60, 2_000, 2), Plan("nightly", 24, 300, 4_000, 10), Plan("weekly", 168, 30, 200_000, 5))


class DatedStore(DirectoryStore):
    """A directory whose files are as old as the set clock says."""

    def __init__(self, *, path: Path, clock: Clock) -> None:
        super().__init__(path=path, clock=clock)
        self.service_clock = ServiceClock()
        self._set_clock = clock

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        outcome = super().put(name, body, retention)
        if outcome is PutOutcome.CREATED:
            now_ns = int(self._set_clock.now_utc().timestamp() * 1e9)
            os.utime(self._path / name, ns=(now_ns, now_ns))
        return outcome

    def now_utc(self):  # type: ignore[no-untyped-def] # noqa: ANN201 - as the base
        return self._set_clock.now_utc()


@dataclass
class Year:
    """The repository, its sources, and what was measured."""

    root: Path
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    days: list[Day] = field(default_factory=list)

    def __post_init__(self) -> None:
        urls = {name: (self.root / name).as_uri() for name in ("a", "b", "c")}
        for name in urls:
            (self.root / name).mkdir()
        self.engine = Engine(self.root / "host", clock=self.clock, urls=urls).initialize()
        for plan in PLANS:
            (self.root / plan.name).mkdir()
            for number in range(plan.files):
                self._write(plan, number)

    @property
    def config(self) -> Config:
        return replace(self.engine.config, retention=RETENTION)

    def live(self, days: int) -> Iterator[Day]:
        """Live some days; yield what each was like."""
        for number in range(days):
            away = self.chance.choice(("a", "b", "c")) if self.chance.random() < AWAY_SHARE else None
            if away:
                self.engine.take_away(away)
            seconds: dict[str, list[float]] = {plan.name: [] for plan in PLANS}
            requests: list[int] = []
            for hour in range(24):
                for plan in PLANS:
                    if (24 * number + hour) % plan.every_h == 0:
                        self._back_up(plan, seconds[plan.name], requests)
                self.clock.advance(HOUR_S)
            commands = {
                "retain": self._timed(self._retain), "prune": self._timed(self._prune),
                "snapshots": self._timed(self._snapshots), "status": self._timed(self._status),
                "sql": self._timed(self._ask), "verify": self._timed(self._verify),
            }  # fmt: skip
            if away:
                self.engine.bring_back(away)
                commands["heal"] = self._timed(self._heal)
            yield self._measured(number, away, seconds, requests, commands)

    def restore_all(self) -> int:
        """Restore every snapshot that is kept; return how many."""
        with self.engine.opened() as repository:
            kept = list_snapshots(repository)
        for one in kept:
            result, _ = self.engine.restore(one.snapshot_id)
            assert not result.problems, one.snapshot_id
        return len(kept)

    def _write(self, plan: Plan, number: int) -> None:
        path = self.root / plan.name / f"{number:04}"
        path.write_bytes(self.chance.randbytes(plan.bytes))
        moment_s = self.clock.now_utc().timestamp()
        os.utime(path, (moment_s, moment_s))

    def _back_up(self, plan: Plan, seconds: list[float], requests: list[int]) -> None:
        for _ in range(plan.changes):
            self._write(plan, self.chance.randrange(plan.files))
        source = DirectorySource(name=plan.name, path=self.root / plan.name, clock=self.clock)
        started_s = time.perf_counter()
        result = self.engine.backup(source)
        seconds.append(time.perf_counter() - started_s)
        requests.append(max(one.puts + one.gets + one.heads + one.lists for one in result.requests))

    def _measured(
        self, number: int, away: str | None, seconds: dict[str, list[float]], requests: list[int],
        commands: dict[str, float],
    ) -> Day:  # fmt: skip
        objects: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for folder, _, files in os.walk(self.root / "a"):
            top = os.path.relpath(folder, self.root / "a").split(os.sep)[0]
            for name in files:
                objects[top] += 1
                sizes[top] += os.lstat(os.path.join(folder, name)).st_size
        day = Day(
            number=number,
            away=away or "",
            snapshots=objects["snapshots"],
            objects=dict(sorted(objects.items())),
            bytes=dict(sorted(sizes.items())),
            requests=statistics.median(requests),
            backup_s=statistics.median(seconds["hourly"]),
            commands_s={name: round(value, 3) for name, value in commands.items()},
        )
        self.days.append(day)
        return day

    @staticmethod
    def _timed(act: Callable[[], object]) -> float:
        started_s = time.perf_counter()
        act()
        return time.perf_counter() - started_s

    def _retain(self) -> None:
        with self.engine.opened(Need.READ) as repository:
            for judged in judge_repository(repository, self.config):
                forget_snapshots(repository, judged.going, reason="", rule="year", run=Run.start(self.clock))

    def _prune(self) -> None:
        with self.engine.opened(Need.READ) as repository:
            prune_repository(repository, PruneOptions(), Run.start(self.clock))

    def _snapshots(self) -> None:
        with self.engine.opened(Need.READ) as repository:
            list_snapshots(repository)

    def _status(self) -> None:
        repository_status(self.config, clock=self.clock)

    def _ask(self) -> None:
        run_query(self.config, _SQL, clock=self.clock)

    def _verify(self) -> None:
        with self.engine.opened(Need.READ) as repository:
            result = verify_repository(repository, run=Run.start(self.clock))
        assert not result.damaged, result.damaged[:3]

    def _heal(self) -> None:
        with open_context(self.config, clock=self.clock) as context:
            heal_repository(context, HealOptions(), run=Run.start(self.clock))


@contextmanager
def set_clock_stores() -> Iterator[None]:
    """Have replicas in directories report times of the set clock."""
    directory.DirectoryStore = DatedStore  # type: ignore[misc] # what opens `file://` finds it there
    try:
        yield
    finally:
        directory.DirectoryStore = DirectoryStore  # type: ignore[misc]


def main(arguments: Sequence[str]) -> int:
    """Live, print, and write the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.years", description=__doc__)
    parser.add_argument("--weeks", type=int, default=52, help="how long to live; the default is a year")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop at the end of the day after so long")
    parser.add_argument("--into", type=Path, default=Path("build/years"), help="where the table and the picture go")
    options = parser.parse_args(arguments)
    place = Path(tempfile.mkdtemp(prefix="farshore-years-"))
    started_s = time.monotonic()
    try:
        with set_clock_stores():
            year = Year(place)
            for day in year.live(7 * options.weeks):
                print(day, flush=True)
                if options.minutes and time.monotonic() - started_s > 60 * options.minutes:
                    break
            restored = year.restore_all()
    except FarshoreError as error:
        print(f"stopped: {error.code}: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(publish(year.days, restored, options.into))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
