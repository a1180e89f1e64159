from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from farshore.clock import Clock, SystemClock
from tests.doubles.clock import FixedClock


def both(clock: Clock) -> Clock:
    """Hold both to the protocol, for the type checker's eyes."""
    return clock


def test_the_system_clock_tells_aware_time_in_utc() -> None:
    now = both(SystemClock()).now_utc()
    assert now.utcoffset() == timedelta(0)
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_system_clock_never_runs_backwards() -> None:
    clock = SystemClock()
    readings = [clock.monotonic_s() for _ in range(1000)]
    assert readings == sorted(readings)


def test_the_system_clock_gives_random_bytes_of_the_length_asked_for() -> None:
    clock = SystemClock()
    assert [len(clock.random_bytes(count)) for count in (0, 1, 32)] == [0, 1, 32]
    assert len({clock.random_bytes(16) for _ in range(1000)}) == 1000
    assert all(0 <= clock.jitter() < 1 for _ in range(1000))


def test_a_wait_takes_its_time_unless_something_ends_it() -> None:
    clock = SystemClock()
    start = clock.monotonic_s()
    assert clock.wait_s(0.05) is False
    assert clock.monotonic_s() - start >= 0.05
    ended = threading.Event()
    threading.Timer(0.05, ended.set).start()
    start = clock.monotonic_s()
    assert clock.wait_s(30, ended) is True
    assert clock.monotonic_s() - start < 10


def test_a_fixed_clock_stands_still_until_it_is_moved() -> None:
    clock = FixedClock()
    before = clock.now_utc()
    assert both(clock).now_utc() == before
    clock.advance(90.5)
    assert clock.now_utc() - before == timedelta(seconds=90.5)


def test_waiting_on_a_fixed_clock_moves_it_and_takes_no_time() -> None:
    clock = FixedClock()
    wall, start = SystemClock(), clock.monotonic_s()
    began = wall.monotonic_s()
    assert clock.wait_s(3600) is False
    assert clock.monotonic_s() - start == 3600
    assert wall.monotonic_s() - began < 10
    ended = threading.Event()
    ended.set()
    assert clock.wait_s(1, ended) is True


def test_fixed_clocks_of_one_seed_agree_and_of_two_differ() -> None:
    def draw(seed: int) -> tuple[bytes, float]:
        clock = FixedClock(seed=seed)
        return clock.random_bytes(32), clock.jitter()

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_a_fixed_clock_gives_no_bytes_twice_to_many_threads() -> None:
    clock = FixedClock()
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: clock.random_bytes(16), range(2000)))
        list(pool.map(lambda _: clock.advance(1), range(2000)))
    assert len(set(drawn)) == len(drawn)
    assert clock.now_utc() - FixedClock().now_utc() == timedelta(seconds=2000)
