"""How a store keeps an object: its lock, its legal hold, its storage class, and whether it can be read now. Pure.

The meaning of the values at each provider is in docs/stores/immutability.md. `RetentionRule` gives those of a replica.

Locks end on a grid: an object's lock ends at a whole number of strides since 1970, shifted by a phase that its name
gives. A stride is half of the period. So an object needs a longer lock once in a stride and not once in a night, the
objects of a repository need it spread evenly over the nights, and the end of a lock can be computed from the moment
up to which it was made sure of, without asking the service. Decision 0011.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from farshore.errors import LockDenied
from farshore.format import names
from farshore.model import dataclass

_UNLOCKED = (names.LEASES, "probe/")


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


@dataclass(frozen=True, slots=True)
class LockRule:
    """A snapshot's objects are locked for `period` from its commit on.

    `slack`: added to each new lock, for long runs and clocks that differ.
    """

    mode: LockMode
    period: timedelta
    slack: timedelta = timedelta(0)

    @property
    def stride_s(self) -> int:
        """Seconds between two ends that an object's lock can have."""
        return max(1, int(self.period.total_seconds()) // 2)

    def new_lock(self, name: str, now_utc: datetime) -> Lock:
        """Return the lock of an object that is put, or whose lock is extended, now."""
        return self.lock_until(name, now_utc + self.period + self.slack)

    def lock_until(self, name: str, until_utc: datetime) -> Lock:
        """Return the shortest lock of an object that holds until a moment."""
        return Lock(self.mode, grid_end(name, until_utc, self.stride_s))


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Lock and storage class configured for one replica. `lock` is None where objects are not locked."""

    lock: LockRule | None = None
    storage_class: str = ""

    def retention_of(self, name: str, now_utc: datetime) -> ObjectRetention:
        """Return the retention of an object of this name that is put now.

        Leases are not locked: they say that a writer is at work, and no snapshot needs them; nor is an object that a
        prune tries a store out with. Only packs go to the storage class: everything else is small, and is read before
        any pack is.
        """
        lock = None if self.lock is None or name.startswith(_UNLOCKED) else self.lock.new_lock(name, now_utc)
        return ObjectRetention(lock, self.storage_class if name.startswith(names.PACKS) else "")


def grid_end(name: str, at_least_utc: datetime, stride_s: int) -> datetime:
    """Return the first moment of the name's grid that is not before a moment."""
    phase_s = zlib.crc32(name.encode()) % stride_s
    strides = math.ceil((at_least_utc.timestamp() - phase_s) / stride_s)
    return datetime.fromtimestamp(strides * stride_s + phase_s, UTC)
