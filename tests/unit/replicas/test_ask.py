from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from farshore import limits
from farshore.errors import FarshoreError, StoreDenied, StoreUnavailable
from farshore.replicas import ask_all, ask_first
from tests.unit.replicas.clocks import StillClock

Asking = Future[tuple[dict[str, str], dict[str, FarshoreError]]]


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends the silence of every replica."""
    event = threading.Event()
    yield event
    event.set()


def pass_time(clock: StillClock, asking: Asking, seconds: float) -> None:
    """Move the clock once the asking thread waits, and let it notice."""
    while not clock.waiting and not asking.done():
        time.sleep(0.002)
    clock.advance(seconds)
    clock.ring()


def test_answers_and_failures_come_by_name_in_the_order_asked() -> None:
    def ask(name: str) -> str:
        if name == "b":
            raise StoreDenied("no")
        return name.upper()

    for patient in (True, False):
        given, failed = ask_all(["c", "b", "a"], ask, clock=StillClock(), patient=patient)
        assert list(given.items()) == [("c", "C"), ("a", "A")]
        assert list(failed) == ["b"]
    assert ask_all([], ask, clock=StillClock(), patient=False) == ({}, {})


@pytest.mark.parametrize(
    ("patient", "bound_s"), [(False, limits.LISTING_PATIENCE_S), (True, limits.SILENCE_S_MAX)], ids=["reader", "check"]
)
def test_a_silent_replica_is_named_soon_and_dropped_at_the_bound(
    patient: bool, bound_s: float, release: threading.Event
) -> None:
    """Trial N6: neither a minute without a word, nor a wait longer than the bound."""
    clock, shown = StillClock(), list[tuple[str, ...]]()

    def ask(name: str) -> str:
        if name.startswith("hangs"):
            release.wait()
        return name

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(
            ask_all, ["hangs", "answers", "hangs too"], ask, clock=clock, patient=patient, on_wait=shown.append
        )
        pass_time(clock, asking, 0.0)
        assert shown == []
        pass_time(clock, asking, limits.WAIT_SHOWN_S)
        pass_time(clock, asking, bound_s - limits.WAIT_SHOWN_S - 0.1)
        assert shown == [("hangs", "hangs too")]
        assert not asking.done()
        pass_time(clock, asking, limits.WAIT_SHOWN_S + 0.2)  # the answer may have been noticed only then
        given, failed = asking.result(30)
    assert given == {"answers": "answers"}
    assert list(failed) == ["hangs", "hangs too"]
    assert all(isinstance(error, StoreUnavailable) for error in failed.values())


def test_all_silent_ends_at_the_bound_too(release: threading.Event) -> None:
    clock = StillClock()

    def ask(_: str) -> str:
        release.wait()
        return ""

    for patient in (True, False):
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask_all, ["a", "b"], ask, clock=clock, patient=patient)
            pass_time(clock, asking, limits.SILENCE_S_MAX - 0.1)
            assert not asking.done()
            pass_time(clock, asking, 0.2)
            given, failed = asking.result(30)
        assert given == {}
        assert list(failed) == ["a", "b"]


def test_a_listing_that_comes_in_is_not_silent(release: threading.Event) -> None:
    clock, pages = StillClock(), [0]

    def ask(_: str) -> str:
        release.wait()
        return "listed"

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_all, ["slow"], ask, clock=clock, patient=False, alive=lambda _: pages[0])
        for _ in range(4):
            pages[0] += 1
            pass_time(clock, asking, limits.SILENCE_S_MAX - 1.0)
            assert not asking.done()
        release.set()
        assert asking.result(30) == ({"slow": "listed"}, {})


def test_what_is_no_error_of_ours_is_raised() -> None:
    def ask(_: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_all(["a"], ask, clock=StillClock(), patient=True)


class Ended(BaseException):
    """What ends a thread, as SystemExit does."""


@pytest.mark.parametrize("way", [ask_all, ask_first])
@pytest.mark.parametrize("ends_with", [SystemExit, Ended])
def test_what_ends_a_thread_ends_the_wait(way: Callable[..., object], ends_with: type[BaseException]) -> None:
    def ask(_: str) -> str:
        raise ends_with

    options = {"patient": True} if way is ask_all else {}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(way, ["a"], ask, clock=StillClock(), **options)
        assert type(asking.exception(30)) is ends_with


def test_the_next_replica_is_not_asked_while_the_first_one_sends(release: threading.Event) -> None:
    clock, pages, asked = StillClock(), [0], list[str]()

    def ask(name: str) -> str:
        asked.append(name)
        if name == "slow":
            release.wait()
        return name

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_first, ["slow", "next"], ask, clock=clock, alive=lambda _: pages[0])
        for _ in range(12):
            pages[0] += 1
            pass_time(clock, asking, limits.SILENT_S_MIN - 0.1)  # type: ignore[arg-type]
        assert asked == ["slow"]
        pass_time(clock, asking, limits.SILENT_S_MIN + 0.1)  # type: ignore[arg-type]
        name, answers, failed = asking.result(30)
    assert (name, list(answers), list(failed)) == ("next", ["next"], ["slow"])
