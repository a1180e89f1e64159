"""How the objects of one replica are kept: until when each is locked, and in which storage class. Pure.

Locks end on a grid: an object's lock ends at a whole number of strides since 1970, shifted by a phase that its name
gives. A stride is half of the period. So an object needs a longer lock once in a stride and not once in a night, the
objects of a repository need it spread evenly over the nights, and the end of a lock can be computed from the moment
up to which it was made sure of, without asking the service. Decision 0011.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from farshore.format import names
from farshore.stores.object_retention import Lock, LockMode, ObjectRetention


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

        Leases are not locked: they say that a writer is at work, and no snapshot needs them. Only packs go to the
        storage class: everything else is small, and is read before any pack is.
        """
        lock = None if self.lock is None or name.startswith(names.LEASES) else self.lock.new_lock(name, now_utc)
        return ObjectRetention(lock, self.storage_class if name.startswith(names.PACKS) else "")


def grid_end(name: str, at_least_utc: datetime, stride_s: int) -> datetime:
    """Return the first moment of the name's grid that is not before a moment."""
    phase_s = zlib.crc32(name.encode()) % stride_s
    strides = math.ceil((at_least_utc.timestamp() - phase_s) / stride_s)
    return datetime.fromtimestamp(strides * stride_s + phase_s, UTC)
