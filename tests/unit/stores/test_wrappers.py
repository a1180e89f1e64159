"""Retrying, metered and faulty stores over memory: what the shared contract does not say of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from farshore.errors import FarshoreError, ObjectNotFound, StoreConflict, StoreDenied, StoreFull, StoreUnavailable
from farshore.limits import RETRY_ATTEMPTS_MAX, RETRY_WAIT_S_MAX
from farshore.stores.base import ANY_OBJECT, PutOutcome
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers.metered import Meter, MeteredStore
from farshore.stores.wrappers.retrying import RetryingStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import (
    CORRUPT,
    DENY,
    FAIL,
    FULL,
    LOSE_REPLY,
    STALE,
    TRUNCATE,
    VANISH,
    Fault,
    FaultKind,
    FaultyStore,
    Plan,
    at_call,
    at_random,
    from_call,
    no_faults,
    queued,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def faulty(plan: Plan, clock: FixedClock | None = None) -> tuple[FaultyStore, MemoryStore]:
    clock = clock or FixedClock()
    memory = MemoryStore(clock=clock)
    return FaultyStore(memory, clock=clock, plan=plan), memory


# --- retrying --------------------------------------------------------------------------------------------------------


def test_retries_end_with_the_last_error_after_growing_waits() -> None:
    clock = FixedClock()
    store, _ = faulty(queued({"get": [FAIL] * 100}))
    retrying = RetryingStore(store, clock=clock, base_s=1.0)
    with pytest.raises(StoreUnavailable, match=f"call {RETRY_ATTEMPTS_MAX}"):
        retrying.get("name")
    assert len(store.calls) == RETRY_ATTEMPTS_MAX
    assert retrying.retries == RETRY_ATTEMPTS_MAX - 1
    waited_s = (clock.moment_utc - START).total_seconds()
    assert 0 < waited_s < 1 + 2 + 4 + 8


def test_waits_have_full_jitter_and_a_ceiling() -> None:
    clock = FixedClock(seed=3)
    waits: list[float] = []

    class Recording(FixedClock):
        def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
            waits.append(seconds)
            return super().wait_s(seconds, until)

    clock = Recording(seed=3)
    store, _ = faulty(queued({"head": [FAIL] * 200}))
    with pytest.raises(StoreUnavailable):
        RetryingStore(store, clock=clock, attempts_max=200).head("name")
    assert max(waits) <= RETRY_WAIT_S_MAX
    assert max(waits) > RETRY_WAIT_S_MAX * 0.9
    assert min(waits[20:]) < RETRY_WAIT_S_MAX * 0.1
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize(
    "fault", [DENY, FULL, Fault(FaultKind.FAIL, StoreConflict)], ids=["denied", "full", "conflict"]
)
def test_what_does_not_pass_is_not_retried(fault: Fault) -> None:
    store, _ = faulty(queued({"put": [fault]}))
    with pytest.raises(fault.error):
        RetryingStore(store, clock=FixedClock()).put("name", b"x")
    assert len(store.calls) == 1


def test_every_verb_is_retried() -> None:
    verbs = ["put", "get", "head", "list", "delete", "now_utc"]
    store, memory = faulty(queued({verb: [FAIL] for verb in verbs}))
    retrying = RetryingStore(store, clock=FixedClock())
    assert retrying.put("a", b"1") is PutOutcome.CREATED
    assert retrying.get("a") == b"1"
    assert retrying.head("a").size == 1
    assert [info.name for info in retrying.list()] == ["a"]
    retrying.now_utc()
    retrying.delete("a", ANY_OBJECT)
    assert retrying.retries == len(verbs)
    assert list(memory.list()) == []


def test_a_lost_reply_to_a_put_ends_as_present() -> None:
    store, memory = faulty(queued({"put": [LOSE_REPLY]}))
    assert RetryingStore(store, clock=FixedClock()).put("a", b"1") is PutOutcome.PRESENT
    assert memory.get("a") == b"1"


def test_a_listing_that_breaks_off_goes_on_without_repeating_or_missing() -> None:
    store, memory = faulty(queued({"list": [LOSE_REPLY, LOSE_REPLY, FAIL, None]}))
    names = [f"n/{number:03}" for number in range(100)]
    for name in names:
        memory.put(name, b"")
    retrying = RetryingStore(store, clock=FixedClock())
    assert [info.name for info in retrying.list("n/")] == names
    assert retrying.retries == 3


def test_a_listing_that_does_not_move_gives_up() -> None:
    store, _ = faulty(queued({"list": [FAIL] * 100}))
    with pytest.raises(StoreUnavailable):
        list(RetryingStore(store, clock=FixedClock()).list())
    assert len(store.calls) == RETRY_ATTEMPTS_MAX


# --- metered ---------------------------------------------------------------------------------------------------------


def test_everything_is_counted() -> None:
    store = MeteredStore(MemoryStore(clock=FixedClock()))
    store.put("a", b"12345")
    store.put("a", b"12345")
    store.put("b", b"")
    assert store.get("a", 1, 2) == b"23"
    with pytest.raises(ObjectNotFound):
        store.get("missing")
    with pytest.raises(StoreConflict):
        store.put("a", b"other")
    store.head("a")
    assert len(list(store.list())) == 2
    store.delete("b", ANY_OBJECT)
    store.now_utc()
    assert store.snapshot() == Meter(
        requests={"put": 4, "get": 2, "head": 2, "list": 1, "delete": 1},
        failures={"put": 1, "get": 1},
        bytes_out=10,
        bytes_in=2,
        objects_listed=2,
    )


def test_counts_are_right_under_threads() -> None:
    store = MeteredStore(MemoryStore(clock=FixedClock()))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: store.put(f"n{number}", b"xyz"), range(400)))
        list(threads.map(lambda number: store.get(f"n{number}"), range(400)))
    meter = store.snapshot()
    assert (meter.requests["put"], meter.requests["get"], meter.bytes_out, meter.bytes_in) == (400, 400, 1200, 1200)
    assert meter.failures == {}


# --- faulty ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"), [(FAIL, StoreUnavailable), (DENY, StoreDenied), (FULL, StoreFull)], ids=["fail", "deny", "full"]
)
def test_a_failing_put_does_nothing(fault: Fault, error: type[FarshoreError]) -> None:
    store, memory = faulty(queued({"put": [fault]}))
    with pytest.raises(error):
        store.put("a", b"1")
    assert list(memory.list()) == []
    assert store.put("a", b"1") is PutOutcome.CREATED


def test_a_lost_reply_comes_after_the_deed() -> None:
    store, memory = faulty(queued({"put": [LOSE_REPLY], "delete": [LOSE_REPLY], "get": [LOSE_REPLY]}))
    with pytest.raises(StoreUnavailable):
        store.put("a", b"1")
    assert memory.get("a") == b"1"
    with pytest.raises(StoreUnavailable):
        store.get("a")
    with pytest.raises(StoreUnavailable):
        store.delete("a", ANY_OBJECT)
    assert list(memory.list()) == []


def test_spoiled_bytes_are_given_without_a_word() -> None:
    store, memory = faulty(queued({"get": [TRUNCATE, CORRUPT, None], "put": [CORRUPT, TRUNCATE]}))
    memory.put("good", bytes(10))
    assert store.get("good") == bytes(5)
    assert store.get("good") == bytes(5) + b"\1" + bytes(4)
    assert store.get("good") == bytes(10)
    assert store.put("flipped", bytes(10)) is PutOutcome.CREATED
    assert memory.get("flipped") == bytes(5) + b"\1" + bytes(4)
    assert store.put("short", memoryview(bytes(10))) is PutOutcome.CREATED
    assert memory.get("short") == bytes(5)


def test_an_object_may_never_appear() -> None:
    store, memory = faulty(queued({"put": [VANISH]}))
    assert store.put("a", b"1") is PutOutcome.CREATED
    assert list(memory.list()) == []


def test_a_stale_view_hides_what_was_put_through_it() -> None:
    store, memory = faulty(queued({"list": [STALE, None], "head": [STALE, None], "get": [STALE, None]}))
    memory.put("old", b"1")
    store.put("new", b"2")
    assert [info.name for info in store.list()] == ["old"]
    assert [info.name for info in store.list()] == ["new", "old"]
    with pytest.raises(ObjectNotFound):
        store.head("new")
    assert store.head("new").size == 1
    with pytest.raises(ObjectNotFound):
        store.get("new")
    assert store.get("new") == b"2"


def test_a_listing_may_be_short_or_break_off() -> None:
    store, memory = faulty(queued({"list": [TRUNCATE, LOSE_REPLY]}))
    for name in "abcd":
        memory.put(name, b"")
    assert [info.name for info in store.list()] == ["a", "b"]
    found = store.list()
    assert [next(found).name, next(found).name] == ["a", "b"]
    with pytest.raises(StoreUnavailable):
        next(found)


def test_delays_pass_on_the_clock_alone() -> None:
    clock = FixedClock()
    store, _ = faulty(queued({"put": [Fault(FaultKind.DELAY, wait_s=90.0)]}), clock)
    assert store.put("a", b"1") is PutOutcome.CREATED
    assert (clock.moment_utc - START).total_seconds() == 90


def work(store: FaultyStore) -> None:
    store.put("a", b"1")
    store.put("b", b"2")
    store.get("a")
    list(store.list())
    store.head("b")


def test_a_sweep_can_fail_every_call_once() -> None:
    store, _ = faulty(no_faults)
    work(store)
    calls = store.calls
    assert [(call.number, call.verb, call.name) for call in calls] == [
        (1, "put", "a"),
        (2, "put", "b"),
        (3, "get", "a"),
        (4, "list", ""),
        (5, "head", "b"),
    ]
    for call in calls:
        store, _ = faulty(at_call(call.number))
        with pytest.raises(StoreUnavailable, match=f"call {call.number}"):
            work(store)
        assert len(store.calls) == call.number


def test_a_store_can_go_away_for_good() -> None:
    store, _ = faulty(from_call(3))
    store.put("a", b"1")
    store.put("b", b"2")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.get("a")


def test_any_function_is_a_plan() -> None:
    store, _ = faulty(lambda verb, name, _number: FULL if verb == "put" and name.startswith("packs/") else None)
    store.put("index/1", b"")
    with pytest.raises(StoreFull):
        store.put("packs/1", b"")


def test_random_plans_repeat_with_their_seed() -> None:
    def failures(seed: int) -> list[int]:
        clock = FixedClock(seed=seed)
        store, _ = faulty(at_random(clock, 0.2, (FAIL,)), clock)
        for number in range(500):
            try:
                store.put(f"n{number}", b"")
            except StoreUnavailable:
                continue
        return [call.number for call in store.calls if call.fault]

    assert failures(1) == failures(1)
    assert failures(1) != failures(2)
    assert 60 < len(failures(1)) < 140
