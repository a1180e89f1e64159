"""Samples of content: whatever comes and goes, each pack that stays is read within the runs that were promised."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from farshore.ops.verify.rotation import History, plan_partition, plan_sample, runs_for

START = datetime(2026, 3, 1, tzinfo=UTC)
PERCENTS = (3.0, 5.0, 7.5, 10.0, 33.0, 50.0, 99.0, 100.0)


@dataclass
class Replica:
    """Packs that come and go, and what runs read of them."""

    percent: float
    random: random.Random
    now: datetime = START
    packs: dict[str, datetime | None] = field(default_factory=dict)
    last_read: dict[str, datetime] = field(default_factory=dict)
    runs: list[tuple[datetime, datetime]] = field(default_factory=list)
    waited: dict[str, int] = field(default_factory=dict)  # runs that saw the pack and did not read it
    bad: set[str] = field(default_factory=set)

    def advance(self) -> datetime:
        self.now += timedelta(seconds=self.random.uniform(1, 100_000))
        return self.now

    def put(self, count: int) -> None:
        for _ in range(count):
            skew = timedelta(seconds=self.random.uniform(-3600, 3600))  # the service's clock is not ours
            self.packs[self.random.randbytes(8).hex()] = self.advance() + skew

    def lose(self, names: list[str]) -> None:
        for name in names:
            for known in (self.packs, self.last_read, self.waited):
                known.pop(name, None)

    def run(self) -> list[str]:
        started = self.advance()
        chosen = plan_sample(self.packs, History(self.last_read, self.runs, frozenset(self.bad)), self.percent)
        assert len(set(chosen)) == len(chosen)
        for name in self.packs:
            self.waited[name] = 0 if name in chosen else self.waited.get(name, 0) + 1
            assert self.waited[name] < runs_for(self.percent), "seen by as many runs as all takes, and never read"
        for name in chosen:
            self.last_read[name] = self.advance()
        self.runs.append((started, self.advance()))
        return chosen


@pytest.mark.parametrize("percent", PERCENTS)
def test_each_pack_that_stays_is_read_within_the_runs_that_all_takes(percent: float) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        print(f"percent {percent}, seed {seed}")
        replica = Replica(percent, chance)
        replica.put(chance.randrange(120))
        for _ in range(3 * runs_for(percent)):
            before = list(replica.packs)
            chosen = replica.run()
            match chance.randrange(6):
                case 0:
                    replica.put(chance.randrange(60))
                case 1:
                    replica.lose(chance.sample(before, len(before) // 3))
                case 2:
                    replica.lose(chosen)  # so that the share shrinks and what is due does not
                case 3:
                    replica.lose([name for name in before if name not in chosen][: chance.randrange(40)])


@pytest.mark.parametrize("percent", PERCENTS)
def test_the_adversary_who_loses_what_was_read_delays_nothing(percent: float) -> None:
    replica = Replica(percent, random.Random(1))
    replica.put(200)
    for _ in range(runs_for(percent)):
        replica.lose(replica.run())
    assert replica.packs == {}


@pytest.mark.parametrize("percent", PERCENTS)
def test_of_packs_that_neither_come_nor_go_each_run_reads_the_share(percent: float) -> None:
    replica = Replica(percent, random.Random(2))
    replica.put(240)
    share = math.ceil(240 * percent / 100)
    for _ in range(4 * runs_for(percent)):
        assert share <= len(replica.run()) <= share + 1


def test_a_smaller_share_than_before_reads_no_more_than_it_must() -> None:
    replica = Replica(50.0, random.Random(3))
    replica.put(100)
    for _ in range(4):
        replica.run()
    replica.percent = 10.0
    assert [len(replica.run()) for _ in range(10)] == [10] * 10


def test_what_was_not_sound_is_read_again_first() -> None:
    replica = Replica(5.0, random.Random(4))
    replica.put(40)
    bad = replica.run()
    replica.bad = {bad[0]}
    assert replica.run()[0] == bad[0]


def test_a_replica_that_tells_no_times_is_read_in_turn_all_the_same() -> None:
    replica = Replica(10.0, random.Random(5))
    replica.packs = dict.fromkeys((f"{number:04}" for number in range(50)), None)
    read = [name for _ in range(10) for name in replica.run()]
    assert sorted(read) == sorted(replica.packs)


@pytest.mark.parametrize("percent", PERCENTS)
def test_without_any_record_each_day_has_its_part_and_all_days_have_all(percent: float) -> None:
    packs: dict[str, datetime | None] = dict.fromkeys((f"packs/{number:04}" for number in range(300)), None)
    days = [plan_partition(packs, percent, day) for day in range(20_000, 20_000 + runs_for(percent))]
    assert sorted(name for day in days for name in day) == sorted(packs)
    grown = packs | dict.fromkeys((f"packs/{number:04}" for number in range(300, 400)), None)
    assert set(days[0]) <= set(plan_partition(grown, percent, 20_000)), "what is there keeps its day"


@pytest.mark.parametrize(("percent", "runs"), [(100, 1), (99.9, 2), (50, 2), (34, 3), (33, 4), (5, 20), (0.1, 1000)])
def test_how_many_runs_all_takes(percent: float, runs: int) -> None:
    assert runs_for(percent) == runs
