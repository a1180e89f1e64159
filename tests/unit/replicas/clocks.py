"""Clocks for tests in which a thread waits beside the test."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.doubles.clock import FixedClock


@dataclass
class StillClock(FixedClock):
    """A clock that stands still until the test moves it: who waits until an event waits for it, or for `ring`.

    A wait for nothing but time passes at once and moves the clock, as with `FixedClock`.
    """

    waiting: int = 0
    _lock_rings: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _rings: int = field(default=0, init=False, repr=False)
    _since: Counter[int] = field(default_factory=Counter, init=False, repr=False)  # who waits since which ring

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        if until is None:
            return super().wait_s(seconds)
        with self._lock_rings:
            before = self._rings
            self._since[before] += 1
            self.waiting += 1
        while self._rings == before and not until.wait(timeout=0.01):
            pass
        with self._lock_rings:
            self._since[before] -= 1
            self.waiting -= 1
        return until.is_set()

    def ring(self) -> None:
        """End the wait of everybody who waits now, as if their time were over; return when all have noticed."""
        with self._lock_rings:
            self._rings += 1
            now = self._rings
        while any(count for ring, count in self._since.copy().items() if ring < now):
            time.sleep(0.001)
