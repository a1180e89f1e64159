from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from farshore.errors import StoreDenied, StoreUnavailable
from farshore.repository.asking_all import ask_all
from tests.unit.repository.clocks import StillClock


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


def test_whoever_is_silent_after_another_answered_is_not_waited_for() -> None:
    clock, release = StillClock(), threading.Event()

    def ask(name: str) -> str:
        if name == "hangs":
            release.wait()
        return name

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_all, ["hangs", "answers"], ask, clock=clock, patient=False)
        while not asking.done():
            if clock.waiting:
                clock.ring()
            time.sleep(0.005)
        given, failed = asking.result()
    assert given == {"answers": "answers"}
    assert isinstance(failed["hangs"], StoreUnavailable)
    release.set()


def test_the_patient_wait_for_all_and_the_impatient_for_the_first() -> None:
    clock, release = StillClock(), threading.Event()

    def ask(name: str) -> str:
        release.wait()
        return name

    for patient in (True, False):
        release.clear()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask_all, ["a", "b"], ask, clock=clock, patient=patient)
            clock.ring()
            assert not asking.done()
            release.set()
            assert asking.result(30) == ({"a": "a", "b": "b"}, {})


def test_what_is_no_error_of_ours_is_raised() -> None:
    def ask(_: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_all(["a"], ask, clock=StillClock(), patient=True)
