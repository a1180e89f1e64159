"""A breaker over a faulty store in memory, on a clock that only tests move."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Never

import pytest

from farshore.errors import StoreDenied, StorePaused, StoreUnavailable
from farshore.limits import BREAKER_FAILURES_MAX, BREAKER_PAUSE_S, BREAKER_PAUSE_S_MAX
from farshore.stores.base import ANY_OBJECT, ObjectInfo
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import DENY, FAIL, Fault, FaultyStore, Plan, from_call, no_faults, queued


class Shore:
    """A breaker over a store whose plan a test may exchange."""

    def __init__(self, plan: Plan = no_faults) -> None:
        self.clock = FixedClock()
        self.plan = plan
        self.faulty = FaultyStore(MemoryStore(clock=self.clock), clock=self.clock, plan=self._now)
        self.breaker = BreakerStore(self.faulty, clock=self.clock)

    def _now(self, verb: str, name: str, number: int) -> Fault | None:
        return self.plan(verb, name, number)

    def fail(self, times: int = BREAKER_FAILURES_MAX) -> None:
        for _ in range(times):
            with pytest.raises(StoreUnavailable):
                self.breaker.head("name")

    def asked(self) -> int:
        return len(self.faulty.calls)


def always(fault: Fault) -> Plan:
    return from_call(1, fault)


def test_it_opens_after_failures_in_a_row_and_then_asks_nothing() -> None:
    shore = Shore(always(FAIL))
    shore.fail(BREAKER_FAILURES_MAX - 1)
    assert shore.breaker.state == "closed"
    shore.fail(1)
    assert shore.breaker.state == "open"
    for use in (
        lambda: shore.breaker.put("name", b""),
        lambda: shore.breaker.get("name"),
        lambda: shore.breaker.head("name"),
        lambda: list(shore.breaker.list()),
        lambda: shore.breaker.delete("name", ANY_OBJECT),
        shore.breaker.now_utc,
    ):
        with pytest.raises(StorePaused) as caught:
            use()
        assert caught.value.retryable
        assert BREAKER_PAUSE_S / 2 <= caught.value.wait_s <= BREAKER_PAUSE_S
    assert shore.asked() == BREAKER_FAILURES_MAX


def test_an_answer_between_failures_starts_the_count_again() -> None:
    shore = Shore(queued({"head": [*[FAIL] * (BREAKER_FAILURES_MAX - 1), DENY] * 2}))
    for _ in range(2):
        shore.fail(BREAKER_FAILURES_MAX - 1)
        with pytest.raises(StoreDenied):  # a refusal is an answer
            shore.breaker.head("name")
    assert shore.breaker.state == "closed"


def test_a_probe_that_is_answered_closes_it() -> None:
    shore = Shore(always(FAIL))
    shore.fail()
    shore.plan = no_faults
    shore.clock.advance(BREAKER_PAUSE_S)
    assert shore.breaker.state == "half-open"
    shore.breaker.put("name", b"x")
    assert shore.breaker.state == "closed"
    assert shore.breaker.get("name") == b"x"


def test_pauses_grow_with_jitter_to_a_limit() -> None:
    shore = Shore(always(FAIL))
    shore.fail()
    pauses = []
    for _ in range(12):
        with pytest.raises(StorePaused) as caught:
            shore.breaker.head("name")
        pauses.append(caught.value.wait_s)
        shore.clock.advance(caught.value.wait_s + 0.001)  # this clock counts whole microseconds
        asked = shore.asked()
        shore.fail(1)
        assert shore.asked() == asked + 1, "one probe, and no more"
    for number, pause_s in enumerate(pauses):
        longest_s = min(BREAKER_PAUSE_S * 2**number, BREAKER_PAUSE_S_MAX)
        assert longest_s / 2 <= pause_s <= longest_s
    assert len(set(pauses)) == len(pauses)


def test_it_waits_at_least_as_long_as_the_service_asks() -> None:
    class Busy(MemoryStore):
        def head(self, name: str) -> ObjectInfo:
            raise StoreUnavailable("slow down", wait_s=30.0)

    clock = FixedClock()
    breaker = BreakerStore(Busy(clock=clock), clock=clock, failures_max=1)
    with pytest.raises(StoreUnavailable):
        breaker.head("name")
    with pytest.raises(StorePaused) as caught:
        breaker.head("name")
    assert caught.value.wait_s == pytest.approx(30.0)


def test_only_one_probe_is_at_work_at_a_time() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def head(self, name: str) -> ObjectInfo:
            entered.set()
            assert leave.wait(30)
            return super().head(name)

    clock = FixedClock()
    store = Slow(clock=clock)
    store.put("name", b"x")
    plan = queued({"head": [FAIL]})
    breaker = BreakerStore(FaultyStore(store, clock=clock, plan=plan), clock=clock, failures_max=1)
    with pytest.raises(StoreUnavailable):
        breaker.head("name")
    clock.advance(BREAKER_PAUSE_S)
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(breaker.head, "name")
        assert entered.wait(30)
        for _ in range(3):
            with pytest.raises(StorePaused):
                breaker.get("name")
        leave.set()
        assert probe.result().size == 1
    assert breaker.get("name") == b"x"


def test_a_probe_that_is_interrupted_leaves_room_for_the_next() -> None:
    class Interrupted(MemoryStore):
        def now_utc(self) -> Never:
            raise KeyboardInterrupt

    clock = FixedClock()
    plan = queued({"head": [FAIL]})
    breaker = BreakerStore(FaultyStore(Interrupted(clock=clock), clock=clock, plan=plan), clock=clock, failures_max=1)
    with pytest.raises(StoreUnavailable):
        breaker.head("name")
    clock.advance(BREAKER_PAUSE_S)
    with pytest.raises(KeyboardInterrupt):
        breaker.now_utc()
    breaker.put("name", b"x")
    assert breaker.state == "closed"


def test_a_listing_is_one_call_however_slowly_it_is_read() -> None:
    shore = Shore()
    for number in range(3):
        shore.breaker.put(f"name-{number}", b"")
    listed = shore.breaker.list()
    assert next(listed).name == "name-0"
    shore.plan = always(FAIL)
    shore.fail()
    assert shore.breaker.state == "open"
    assert [info.name for info in listed] == ["name-1", "name-2"]
    shore.clock.advance(BREAKER_PAUSE_S)
    shore.plan = no_faults
    listed = shore.breaker.list()
    next(listed)
    del listed  # abandoned, and yet an answer
    assert shore.breaker.state == "closed"


def test_a_listing_that_breaks_off_is_a_failure() -> None:
    class Breaking(MemoryStore):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            yield ObjectInfo("a", 1)
            raise StoreUnavailable("broke off")

    clock = FixedClock()
    breaker = BreakerStore(Breaking(clock=clock), clock=clock, failures_max=1)
    with pytest.raises(StoreUnavailable):
        list(breaker.list())
    assert breaker.state == "open"


@pytest.mark.parametrize(("pause_s", "sat_out"), [(1.0, True), (10.0, False)])
def test_under_retries_a_short_pause_is_sat_out_and_a_long_one_reported_at_once(pause_s: float, sat_out: bool) -> None:
    clock = FixedClock()
    memory = MemoryStore(clock=clock)
    memory.put("name", b"x")
    faulty = FaultyStore(memory, clock=clock, plan=queued({"get": [FAIL]}))
    breaker = BreakerStore(faulty, clock=clock, failures_max=1, pause_s=pause_s)
    with pytest.raises(StoreUnavailable):
        breaker.get("name")
    started_utc = clock.now_utc()
    retrying = RetryingStore(breaker, clock=clock)
    if sat_out:
        assert retrying.get("name") == b"x"
        return
    with pytest.raises(StorePaused):
        retrying.get("name")
    assert clock.now_utc() == started_utc
