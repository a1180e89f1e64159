"""Clocks for tests in which a thread waits beside the test."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from farshore.clock import FixedClock


@dataclass
class StillClock(FixedClock):
    """A clock that stands still until the test moves it: who waits until an event waits for it, or for `ring`.

    A wait for nothing but time passes at once and moves the clock, as with `FixedClock`.
    """

    waiting: int = 0
    _rung: threading.Condition = field(default_factory=threading.Condition, init=False, repr=False)
    _rings: int = field(default=0, init=False, repr=False)

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        if until is None:
            return super().wait_s(seconds)
        with self._rung:
            before = self._rings
            self.waiting += 1
            while self._rings == before and not until.is_set():
                self._rung.wait(timeout=0.01)
            self.waiting -= 1
        return until.is_set()

    def ring(self) -> None:
        """End the wait of everybody who waits now, as if their time were over."""
        with self._rung:
            self._rings += 1
            self._rung.notify_all()
