"""Answers that are asked ahead: begun at once, given once, as of a moment after they were asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from farshore.errors import FarshoreError, ObjectNotFound, StoreDenied, StoreUnavailable
from farshore.stores.base import AsksAhead, ObjectInfo, Store
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers import WrappingStore
from farshore.stores.wrappers.ahead import AheadStore
from tests.doubles.clock import FixedClock

PATIENCE_S = 60.0


class Counting(WrappingStore):
    """Remembers what was asked; `gate` holds every answer back, `fails` is the error of every question."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.asked: list[str] = []
        self.given = 0
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.fails: FarshoreError | None = None

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        if self.fails is not None:
            raise self.fails

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._ask(f"list {prefix}")
        for info in super().list(prefix):
            self.given += 1
            yield info

    def head(self, name: str) -> ObjectInfo:
        self._ask(f"head {name}")
        return super().head(name)


@pytest.fixture
def inside() -> Counting:
    store = Counting(MemoryStore(clock=FixedClock()))
    for name in ("a/1", "a/2", "b/1"):
        store.put(name, b"body")
    return store


@pytest.fixture
def ahead(inside: Counting) -> Iterator[AheadStore]:
    with closing(AheadStore(inside)) as store:
        yield store
        inside.gate.set()


def listed(store: Store, prefix: str) -> list[str]:
    return [info.name for info in store.list(prefix)]


def test_a_wrapper_asks_ahead(ahead: AheadStore) -> None:
    assert isinstance(ahead, AsksAhead)


def test_all_are_asked_before_the_first_is_answered(ahead: AheadStore, inside: Counting) -> None:
    inside.gate.clear()
    ahead.ask_ahead(["a/", "b/"], ["a/1", "b/1"])
    for _ in range(4):
        assert inside.begun.acquire(timeout=PATIENCE_S)
    inside.gate.set()
    assert listed(ahead, "a/") == ["a/1", "a/2"]
    assert listed(ahead, "b/") == ["b/1"]
    assert ahead.head("a/1").size == 4
    assert ahead.head("b/1").size == 4
    assert len(inside.asked) == 4


def test_an_answer_is_given_once(ahead: AheadStore, inside: Counting) -> None:
    ahead.ask_ahead(["a/"], ["a/1"])
    for _ in range(2):
        assert listed(ahead, "a/") == ["a/1", "a/2"]
        assert ahead.head("a/1").size == 4
    assert sorted(inside.asked) == ["head a/1", "head a/1", "list a/", "list a/"]


def test_what_is_put_after_the_question_may_be_missed_and_is_not_once_it_is_asked_again(
    ahead: AheadStore, inside: Counting
) -> None:
    ahead.ask_ahead(["a/"], ["a/3"])
    for _ in range(2):
        assert inside.begun.acquire(timeout=PATIENCE_S)
    while inside.given < 2:
        pass
    ahead.put("a/3", b"")
    ahead.ask_ahead(["a/"], ["a/3"], again=True)
    assert listed(ahead, "a/") == ["a/1", "a/2", "a/3"]
    assert ahead.head("a/3").size == 0


def test_what_is_under_way_is_not_asked_twice(ahead: AheadStore, inside: Counting) -> None:
    ahead.ask_ahead(["a/"], ["a/1"])
    ahead.ask_ahead(["a/"], ["a/1"])
    assert listed(ahead, "a/") == ["a/1", "a/2"]
    assert ahead.head("a/1").size == 4
    assert sorted(inside.asked) == ["head a/1", "list a/"]


def test_errors_are_raised_to_whoever_uses_the_answer(ahead: AheadStore, inside: Counting) -> None:
    ahead.ask_ahead(heads=["none"])
    with pytest.raises(ObjectNotFound):
        ahead.head("none")
    inside.fails = StoreDenied("not for you")
    ahead.ask_ahead(["a/"], ["a/1"])
    with pytest.raises(StoreDenied):
        listed(ahead, "a/")
    with pytest.raises(StoreDenied):
        ahead.head("a/1")
    assert len(inside.asked) == 3


def test_a_question_that_fails_for_now_is_asked_again_when_its_answer_is_wanted(inside: Counting) -> None:
    once = Counting(inside)
    once.fails = StoreUnavailable("away")
    with closing(AheadStore(inside, once=once)) as ahead:
        ahead.ask_ahead(["a/"], ["a/1"])
        assert listed(ahead, "a/") == ["a/1", "a/2"]
        assert ahead.head("a/1").size == 4
    assert sorted(once.asked) == sorted(inside.asked) == ["head a/1", "list a/"]


def test_a_listing_that_fails_half_way_goes_on_behind_the_last_name(inside: Counting) -> None:
    for number in range(2500):
        inside.put(f"many/{number:06}", b"")

    class Breaks(WrappingStore):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            for number, info in enumerate(super().list(prefix)):
                if number == 1500:
                    raise StoreUnavailable("away")
                yield info

    with closing(AheadStore(inside, once=Breaks(inside))) as ahead:
        ahead.ask_ahead(["many/"])
        assert listed(ahead, "many/") == [f"many/{number:06}" for number in range(2500)]


def test_a_long_listing_waits_for_its_reader(ahead: AheadStore, inside: Counting) -> None:
    many = 20_000
    for number in range(many):
        inside.put(f"many/{number:06}", b"")
    ahead.ask_ahead(["many/"])
    entries = ahead.list("many/")
    assert next(iter(entries)).name == "many/000000"
    assert inside.given < many
    assert len(list(entries)) == many - 1
    assert inside.given == many


def test_a_listing_that_nobody_reads_ends_with_the_store(inside: Counting) -> None:
    for number in range(20_000):
        inside.put(f"many/{number:06}", b"")
    ahead = AheadStore(inside)
    before = {thread.ident for thread in threading.enumerate()}
    ahead.ask_ahead(["many/"])
    begun = [thread for thread in threading.enumerate() if thread.ident not in before]
    ahead.close()
    for thread in begun:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    ahead.ask_ahead(["many/"], ["many/000000"])
    assert inside.asked == ["list many/"]


def test_many_heads_share_few_threads(ahead: AheadStore, inside: Counting) -> None:
    inside.gate.clear()
    names = [f"none/{number}" for number in range(100)]
    ahead.ask_ahead(heads=names)
    assert inside.begun.acquire(timeout=PATIENCE_S)
    assert sum(thread.name == "ahead" for thread in threading.enumerate()) <= 8
    inside.gate.set()
    for name in names:
        with pytest.raises(ObjectNotFound):
            ahead.head(name)
    assert len(inside.asked) == len(names)
