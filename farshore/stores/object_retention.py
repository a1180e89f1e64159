"""How a store keeps an object: its lock, its legal hold, its storage class, and whether it can be read now.

Values only. Their meaning at each provider is in docs/stores/immutability.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from farshore.errors import LockDenied


class LockMode(StrEnum):
    """Who can lift a lock before its time."""

    GOVERNANCE = "governance"  # a login with a right of its own for that may
    COMPLIANCE = "compliance"  # nobody

    @property
    def strictness(self) -> int:
        """For comparing: the stricter mode has the larger number."""
        return int(self is LockMode.COMPLIANCE)


@dataclass(frozen=True, slots=True)
class Lock:
    """An object can be neither deleted nor overwritten before `until_utc`."""

    mode: LockMode
    until_utc: datetime


@dataclass(frozen=True, slots=True)
class LockState:
    """Lock and hold of one object. `held`: by a legal hold, which has no end of its own."""

    lock: Lock | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class ObjectRetention:
    """Lock and class of a new object. An empty `storage_class` is the bucket's own."""

    lock: Lock | None = None
    storage_class: str = ""


DEFAULT_RETENTION = ObjectRetention()


class Access(StrEnum):
    """Whether an object can be read now."""

    READY = "ready"
    ARCHIVED = "archived"  # it must be warmed first
    WARMING = "warming"  # that was asked for, and is not done


def lock_to_set(found: Lock | None, wanted: Lock, step_s: float) -> Lock | None:
    """Return the lock that an object needs so that it is held as wanted, or None where it is already.

    Never shorter and never less strict than what was found.

    Args:
        step_s: A lock that ends less than this too early counts as long enough: a service may refuse smaller steps.
    """
    if found is None:
        return wanted
    mode = max(found.mode, wanted.mode, key=lambda mode: mode.strictness)
    missing = wanted.until_utc - found.until_utc
    if mode is found.mode and (missing <= timedelta(0) or missing < timedelta(seconds=step_s)):
        return None
    return Lock(mode, max(found.until_utc, wanted.until_utc))


def extend_or_find(
    wanted: Lock, *, apply: Callable[[Lock], None], find: Callable[[], Lock | None], step_s: float
) -> Lock:
    """Set a lock at a service that refuses to shorten or weaken one; look at what is there only when it refuses.

    So an extension is one request. Returns the lock that then holds.

    Raises:
        LockDenied: The service refused, and what it has is not enough.
    """
    try:
        apply(wanted)
    except LockDenied as refused:
        try:
            found = find()
        except LockDenied:
            raise refused from None
        needed = lock_to_set(found, wanted, step_s)
        if needed is None and found is not None:
            return found
        if needed is None or needed == wanted:
            raise
        apply(needed)
        return needed
    return wanted
