"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.config import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600), ("1h30m", 5400), (" 1 H ", 3600)],
)
def test_what_is_a_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "24", "h", "1.5h", "-1h", "1 year", "0s", "0h0m", "9999999d", "1h30"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(min_value=1, max_value=10**8))
def test_a_duration_is_shown_by_its_two_largest_units(seconds: int) -> None:
    shown = parse_duration(format_duration(timedelta(seconds=seconds)))

    assert shown <= timedelta(seconds=seconds)
    assert shown >= timedelta(seconds=seconds * 0.95)
