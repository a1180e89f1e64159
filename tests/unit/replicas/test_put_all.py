"""Small objects that go to every replica at once."""

from __future__ import annotations

import threading

import pytest

from farshore.clock import SystemClock
from farshore.errors import StateUnknown, StoreConflict, StoreDenied, StoreUnavailable
from farshore.replicas import ask_all, require_all
from farshore.replicas.put_all import put_all
from farshore.stores.base import Body, PutOutcome, Store
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import WrappingStore
from farshore.stores.wrappers.ahead import AheadStore
from tests.doubles.faulty import CORRUPT, DENY, FAIL, FaultyStore, Plan, queued
from tests.unit.replicas.clocks import StillClock

OBJECTS = [("keys/one", b"1"), ("keys/two", b"2")]


def store_with(plan: Plan) -> Store:
    return FaultyStore(MemoryStore(clock=StillClock()), clock=StillClock(), plan=plan)


def names_at(store: Store) -> list[str]:
    return [info.name for info in store.list()]


def test_a_failure_at_one_replica_keeps_nothing_from_the_others() -> None:
    stores = {"a": store_with(queued({"put": [None, DENY]})), "b": store_with(queued({}))}
    done: list[str] = []
    failed = put_all(stores, OBJECTS, clock=StillClock(), on_put=done.append)
    assert {name: type(error) for name, error in failed.items()} == {"a": StoreDenied}
    assert names_at(stores["a"]) == ["keys/one"]  # the order is kept, and what follows a failure is not put
    assert names_at(stores["b"]) == ["keys/one", "keys/two"]
    assert done == ["b"]


def test_the_first_failure_in_the_order_of_replicas_is_raised_where_all_must_have_them() -> None:
    stores = {
        "a": store_with(queued({})),
        "b": store_with(queued({"put": [FAIL]})),
        "c": store_with(queued({"put": [DENY]})),
    }
    with pytest.raises(StoreUnavailable):
        put_all(stores, OBJECTS, clock=StillClock(), required=True)
    assert names_at(stores["a"]) == ["keys/one", "keys/two"]


def test_what_does_not_read_back_is_a_failure() -> None:
    stores = {"a": store_with(queued({"put": [CORRUPT]}))}
    assert put_all(stores, OBJECTS, clock=StillClock()) == {}
    stores = {"a": store_with(queued({"put": [CORRUPT]}))}
    failed = put_all(stores, OBJECTS, clock=StillClock(), read_back=True)
    assert isinstance(failed["a"], StateUnknown)


def test_answers_of_all_are_answers_or_the_first_error() -> None:
    def ask(name: str) -> str:
        if name != "a":
            raise StoreDenied(name)
        return name

    assert require_all(ask_all(["a"], ask, clock=StillClock(), patient=True)) == {"a": "a"}
    with pytest.raises(StoreDenied, match="c"):
        require_all(ask_all(["c", "a", "b"], ask, clock=StillClock(), patient=True))


def test_a_service_is_given_what_has_no_order_all_at_once() -> None:
    """Each put waits until both have begun, which no order lets them."""
    clock = SystemClock()
    both = threading.Barrier(2)

    class Meets(WrappingStore):
        def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
            both.wait(60)
            return super().put(name, body, retention)

    inside = MemoryStore(clock=clock)
    stores: dict[str, Store] = {"far": AheadStore(Meets(inside))}
    put_all(stores, [("a", b"1"), ("b", b"2")], clock=clock, required=True, read_back=True, in_any_order=True)
    assert [info.name for info in inside.list()] == ["a", "b"]


def test_the_first_failure_among_those_is_raised() -> None:
    clock = SystemClock()
    inside = MemoryStore(clock=clock)
    inside.put("b", b"other")
    with pytest.raises(StoreConflict):
        put_all({"far": AheadStore(inside)}, [("a", b"1"), ("b", b"2")], clock=clock, required=True, in_any_order=True)
