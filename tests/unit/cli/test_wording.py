"""Figures, times and names as people see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.cli.wording import (
    compact_bytes,
    elapsed,
    format_requests,
    human_bytes,
    shown_path,
    utc_time,
    utc_time_exact,
)
from farshore.model import ReplicaRequests
from farshore.plural import count_of


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (150 * 1024, "150 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**3, "1.0 GiB"),
        (10 * 1024**4, "10.0 TiB"),
        (2000 * 1024**6, "2000 EiB"),
    ],
)
def test_sizes_are_in_binary_units(count: int, shown: str) -> None:
    assert human_bytes(count) == shown
    assert compact_bytes(count) == shown.replace(" ", "")


def test_counts_agree_with_their_noun() -> None:
    assert count_of(1, "entry", "entries") == "1 entry"
    assert count_of(0, "entry", "entries") == "0 entries"
    assert count_of(1200, "object") == "1,200 objects"


def test_times_are_in_utc() -> None:
    noon_in_tokyo = datetime(2026, 11, 21, 12, 0, 0, 250, tzinfo=timezone(timedelta(hours=9)))

    assert utc_time(noon_in_tokyo) == "2026-11-21T03:00:00Z"
    assert utc_time_exact(noon_in_tokyo) == "2026-11-21T03:00:00.000250Z"
    assert utc_time_exact(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
    assert utc_time(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (245, "4 min 5 s"), (7800, "2 h 10 min")],
)
def test_elapsed(seconds: float, shown: str) -> None:
    assert elapsed(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"etc/passwd", "etc/passwd"),
        ("Grüße/日本".encode(), "Grüße/日本"),
        (b"caf\xe9", r"caf\xe9"),
        (b"two\nlines", r"two\nlines"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        ("tr\u202eick".encode(), r"tr\u202eick"),
        (b"with space", "with space"),
    ],
)
def test_a_path_is_shown_on_one_line_without_control_characters(path: bytes, shown: str) -> None:
    assert shown_path(path) == shown


@given(st.binary(max_size=60))
def test_any_path_is_shown_printably(path: bytes) -> None:
    assert shown_path(path).isprintable()


def test_requests_are_reported_by_kind_without_those_that_were_not_made() -> None:
    assert format_requests([
        ReplicaRequests("alpha", puts=1200, lists=3, bytes_up=2048, bytes_down=1),
        ReplicaRequests("beta"),
    ]) == [
        "  requests to alpha: 1,200 put, 3 list; 2.0 KiB up, 1 B down",
        "  requests to beta: none; 0 B up, 0 B down",
    ]  # fmt: skip
