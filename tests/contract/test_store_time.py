"""How far a service's clock is off this host's, as every answer reports. Trial F1. No request is made for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.stores import open_store
from farshore.stores.traffic import ServiceClock
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.clock import FixedClock

MINUTE_S = 60.0


def skew(store: MeteredStore) -> float | None:
    return store.service_clock.skew_s


@pytest.mark.parametrize("kind", ["file", "s3", "gs", "az"])
@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=30), timedelta(days=-20000)])
def test_a_put_tells_how_far_the_clocks_are_apart(
    kind: str, ahead: timedelta, fresh_place: Callable[[str], dict[str, Any]]
) -> None:
    clock = FixedClock(datetime.now(UTC) + ahead)
    with closing(open_store(**fresh_place(kind), clock=clock)) as opened:
        store = MeteredStore(opened)
        assert skew(store) is None
        store.put("a", b"12345")
        assert abs((skew(store) or 0.0) + ahead.total_seconds()) < MINUTE_S
        assert store.snapshot().requests == {"put": 1}


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
def test_so_does_every_other_answer(kind: str, fresh_place: Callable[[str], dict[str, Any]]) -> None:
    clock = FixedClock(datetime.now(UTC))
    with closing(open_store(**fresh_place(kind), clock=clock)) as opened:
        store = MeteredStore(opened)
        store.put("a", b"12345")
        asked: list[Callable[[], object]] = [
            lambda: store.get("a"),
            lambda: store.head("a"),
            lambda: list(store.list()),
        ]
        for number, ask in enumerate(asked, start=1):
            clock.advance(3600)
            ask()
            assert abs((skew(store) or 0.0) + number * 3600) < MINUTE_S


def test_a_file_system_without_times_and_a_date_that_is_none_tell_nothing(tmp_path: Path) -> None:
    reported = ServiceClock(FixedClock())
    reported.note(datetime.fromtimestamp(0, UTC))
    for date in (None, "", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 99999999 00:00:00 GMT"):
        reported.note_header(date)
    assert reported.skew_s is None
    reported.note_header("Thu, 01 Jan 2026 00:00:07 GMT")
    assert reported.skew_s == 7
