from __future__ import annotations

import pytest

from farshore import limits
from farshore.replicas.reading_order import Pace

MIB = limits.MIB


def test_latency_is_of_small_requests_and_the_rate_of_large_ones() -> None:
    pace = Pace()
    for _ in range(50):
        pace.record(1000, 0.08)
        pace.record(8 * MIB, 0.08 + 0.4)
    assert pace.latency_s == pytest.approx(0.08)
    assert pace.bytes_per_s == pytest.approx(20 * MIB, rel=0.01)
    assert pace.expected_s(4 * MIB) == pytest.approx(0.08 + 0.2, rel=0.01)


def test_a_change_shows_after_a_few_requests() -> None:
    pace = Pace()
    for _ in range(100):
        pace.record(8 * MIB, 0.1)
    for _ in range(8):
        pace.record(8 * MIB, 4.0)
    assert pace.expected_s(8 * MIB) > 3.0


def test_a_replica_not_measured_yet_is_taken_for_a_good_one() -> None:
    pace = Pace()
    assert pace.bytes_per_s is None
    assert pace.latency_s == 0
    assert pace.expected_s(limits.READ_RATE_ASSUMED) == pytest.approx(1.0)


def test_a_request_is_late_when_nearly_all_before_it_had_been_answered() -> None:
    pace = Pace()
    assert pace.late_s(1000) == limits.HEDGE_UNSURE_S_MIN  # nothing is known
    pace.record(1000, 0.1)
    for number in range(64):
        pace.record(8 * MIB, 1.1 if number % 4 else 2.1)
    assert 1.5 < pace.late_s(8 * MIB) < 3.0  # the slow quarter is its usual way
    assert pace.late_s(1000) == limits.HEDGE_S_MIN
    assert pace.silent_s(8 * MIB) >= 4 * pace.late_s(8 * MIB)
    assert pace.silent_s(1000) == limits.SILENT_S_MIN


def test_one_slow_request_in_a_hundred_moves_no_bound() -> None:
    pace = Pace()
    pace.record(1000, 0.01)
    for number in range(200):
        pace.record(8 * MIB, 30.0 if number == 150 else 1.0)
    assert pace.late_s(8 * MIB) < 2.0


def test_who_fails_or_is_late_is_not_well_and_then_is_again() -> None:
    pace = Pace()
    assert pace.healthy(0.0)
    pace.failed(100.0)
    assert not pace.healthy(129.0)
    assert pace.healthy(130.0)
    pace.failed(130.0)
    assert not pace.healthy(189.0)  # twice in a row: twice as long
    pace.record(10, 0.1)
    assert pace.healthy(131.0)
    pace.late(8 * MIB, 3.0)
    assert not pace.healthy(1e9)
    pace.ended()
    assert pace.healthy(1e9)


def test_a_request_that_is_late_tells_already_what_it_takes_at_least() -> None:
    pace = Pace()
    pace.late(8 * MIB, 2.0)
    assert pace.expected_s(8 * MIB) == pytest.approx(2.0)
    pace.late(8 * MIB, 0.001)  # sooner than expected: that says nothing
    assert pace.expected_s(8 * MIB) == pytest.approx(2.0)


def test_no_time_at_all_is_a_measurement_like_any_other() -> None:
    pace = Pace()
    for _ in range(100):
        pace.record(0, 0.0)
        pace.record(8 * MIB, 0.0)
    assert pace.expected_s(8 * MIB) < 1e-4
    assert pace.late_s(8 * MIB) == limits.HEDGE_S_MIN
    assert pace.bytes_per_s is not None
