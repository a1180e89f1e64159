"""Waits that services tell, and how retries obey them."""

from __future__ import annotations

import threading

import pytest

from farshore.errors import StoreUnavailable
from farshore.limits import RETRY_AFTER_S_MAX, RETRY_BASE_S
from farshore.stores.base import ObjectInfo
from farshore.stores.memory import MemoryStore
from farshore.stores.retry_after import requested_wait_s
from farshore.stores.wrappers.retrying import RetryingStore
from tests.doubles.clock import FixedClock

DATE = "Sat, 21 Nov 2026 05:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"Retry-After": "Sat, 21 Nov 2026 05:01:30 GMT", "Date": DATE}, 90.0),
        ({"Retry-After": "Sat, 21 Nov 2026 04:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 05:01:30 GMT"}, 0.0),
        ({"x-ms-retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon", "Date": DATE}, 0.0),
        ({"Retry-After": "1e9"}, 0.0),
        ({}, 0.0),
        (None, 0.0),
    ],
)
def test_what_headers_tell(headers: dict[str, str] | None, wait_s: float) -> None:
    assert requested_wait_s(headers) == wait_s


class Busy(MemoryStore):
    """Answers once that it is too busy, and reports for how long."""

    def __init__(self, *, clock: FixedClock, asked_s: float) -> None:
        super().__init__(clock=clock)
        self.asked_s = asked_s
        self.asked = 0

    def head(self, name: str) -> ObjectInfo:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("slow down", wait_s=self.asked_s)
        return super().head(name)


@pytest.mark.parametrize("asked_s", [0.0, 5.0, RETRY_AFTER_S_MAX])
def test_nothing_is_asked_before_the_time_that_was_reported(asked_s: float) -> None:
    waits: list[float] = []

    class Recording(FixedClock):
        def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
            waits.append(seconds)
            return super().wait_s(seconds, until)

    clock = Recording()
    store = Busy(clock=clock, asked_s=asked_s)
    store.put("name", b"x")
    assert RetryingStore(store, clock=clock).head("name").size == 1
    (waited_s,) = waits
    assert asked_s <= waited_s <= asked_s + RETRY_BASE_S


def test_a_wait_that_is_too_long_is_reported_at_once() -> None:
    clock = FixedClock()
    store = Busy(clock=clock, asked_s=RETRY_AFTER_S_MAX + 1)
    started_utc = clock.now_utc()
    with pytest.raises(StoreUnavailable):
        RetryingStore(store, clock=clock).head("name")
    assert store.asked == 1
    assert clock.now_utc() == started_utc
