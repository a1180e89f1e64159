from __future__ import annotations

import itertools
import random

import pytest

from farshore import limits
from farshore.config import Prefer
from farshore.replicas.reading_order import ReadCandidate, ReadPrice, order_candidates

GB = limits.GIB


def order(prefer: Prefer, **replicas: tuple[float, float]) -> str:
    """Order replicas given as name=(seconds, money)."""
    return "".join(order_candidates([ReadCandidate(name, *costs) for name, costs in replicas.items()], prefer))


def test_what_is_alike_goes_in_the_order_of_the_configuration() -> None:
    for prefer in Prefer:
        assert order(prefer, c=(0.1, 0.0), a=(0.1, 0.0), b=(0.1, 0.0)) == "cab"
        assert order(prefer, c=(0.19, 0.0), a=(0.1, 0.0), b=(0.15, 0.0)) == "cab"  # within a factor of two
        assert order(prefer, c=(0.019, 0.0), a=(0.0, 0.0), b=(0.001, 0.0)) == "cab"  # of no account


def test_the_fastest_is_whoever_takes_half_the_time_or_less() -> None:
    assert order(Prefer.FASTEST, a=(1.0, 0.0), b=(0.3, 9.0), c=(8.0, 0.0)) == "bac"
    assert order(Prefer.FASTEST, a=(0.35, 5.0), b=(0.3, 0.0)) == "ba"  # as fast, and cheaper


def test_the_cheapest_is_by_money_and_time_decides_between_equals() -> None:
    assert order(Prefer.CHEAPEST, a=(0.1, 0.002), b=(90.0, 0.001), c=(10.0, 0.001)) == "cba"


@pytest.mark.parametrize(
    ("seconds_per_gb_at_home", "first"),
    [(5.0, "home"), (25.0, "home"), (50.0, "home"), (80.0, "cloud"), (600.0, "cloud")],
)
def test_balanced_weighs_an_hour_of_waiting_against_egress(seconds_per_gb_at_home: float, first: str) -> None:
    """A cloud that sends a GB in 10 s for 0.09, which is 16.2 s at 20 an hour, beside a slower disk at home."""
    cloud = ReadCandidate("cloud", 10.0, ReadPrice(0.09 / GB).of(GB))
    home = ReadCandidate("home", seconds_per_gb_at_home, 0.0)
    assert order_candidates([cloud, home], Prefer.BALANCED)[0] == first


def test_who_lists_the_snapshot_goes_first_and_who_is_not_well_last() -> None:
    candidates = [
        ReadCandidate("ill", 0.0, 0.0, healthy=False),
        ReadCandidate("without", 0.0, 0.0, listed=False),
        ReadCandidate("slow", 60.0, 1.0),
        ReadCandidate("good", 1.0, 0.0),
        ReadCandidate("ill-without", 0.0, 0.0, listed=False, healthy=False),
    ]
    for prefer in Prefer:
        assert order_candidates(candidates, prefer)[:3] == ["good", "slow", "without"]
        assert set(order_candidates(candidates, prefer)[3:]) == {"ill", "ill-without"}


def test_every_replica_is_named_once_whatever_the_costs() -> None:
    chance = random.Random(5)
    for prefer, _ in itertools.product(Prefer, range(300)):
        candidates = [
            ReadCandidate(str(number), 10 ** chance.uniform(-9, 9), chance.choice([0.0, 10 ** chance.uniform(-12, 3)]),
                     chance.random() < 0.7, chance.random() < 0.7)
            for number in range(chance.randrange(1, 6))
        ]  # fmt: skip
        assert sorted(order_candidates(candidates, prefer)) == sorted(one.name for one in candidates)
        assert order_candidates(candidates, prefer) == order_candidates(candidates, prefer)


def test_a_price_is_dear_where_reading_twice_is_more_than_small_change() -> None:
    assert not ReadPrice().expensive
    assert not ReadPrice(0.01 / GB, 1.0).expensive
    assert ReadPrice(0.087 / GB).expensive
    assert ReadPrice(0.09 / GB, 0.0004 / 1000).of(GB) == pytest.approx(0.0900004)
