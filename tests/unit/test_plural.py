"""Trial N16: counts as a person says them."""

from __future__ import annotations

from farshore.plural import count_of, first_of, last_of


def test_one_is_no_plural() -> None:
    assert [count_of(count, "day") for count in (0, 1, 2, 2000)] == ["0 days", "1 day", "2 days", "2,000 days"]
    assert [count_of(count, "entry", "entries") for count in (1, 3)] == ["1 entry", "3 entries"]
    assert [last_of(count, "day") for count in (1, 12)] == ["the last day", "the last 12 days"]
    assert [first_of(count, "name") for count in (1, 2)] == ["the first name", "the first 2 names"]
