"""Lifecycle rules of a bucket, as far as they concern a prefix: what a provider does to objects by itself. Values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a rule does to objects."""

    DELETES = "deletes"  # or hides, where the bucket keeps versions
    DELETES_HIDDEN = "deletes-hidden"  # versions that were deleted or overwritten before
    ARCHIVES = "archives"  # to a class that must be warmed before it is read
    MOVES = "moves"  # to another class that is read at once


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One effect of one rule. `when` in words; `rule` is its name, or its place in the list where it has none."""

    rule: str
    effect: Effect
    when: str
    storage_class: str = ""


def overlaps(rule_prefix: str, prefix: str) -> bool:
    """Return whether a rule for one prefix concerns objects below another."""
    return rule_prefix.startswith(prefix) or prefix.startswith(rule_prefix)
