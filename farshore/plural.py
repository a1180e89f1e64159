"""Counts as a person says them: `1 day`, `2 days`. The one place where a noun gets its plural. Pure."""

from __future__ import annotations


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Return `1 entry`, `2,000 entries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {plural or noun + 's'}"


def last_of(count: int, noun: str) -> str:
    """Return `the last day`, `the last 12 days`."""
    return f"the last {noun}" if count == 1 else f"the last {count_of(count, noun)}"


def first_of(count: int, noun: str) -> str:
    """Return `the first name`, `the first 2 names`."""
    return f"the first {noun}" if count == 1 else f"the first {count_of(count, noun)}"
