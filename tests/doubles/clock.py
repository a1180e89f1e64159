"""A clock for tests: ids, times and waits repeat."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass
class FixedClock:
    """A clock that moves only when advanced or waited on, with repeatable "random" bytes, for golden files too."""

    moment_utc: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    seed: int = 1
    _random: random.Random = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def state(self) -> tuple[datetime, Any]:
        """The moment, and what the next "random" bytes follow from; set it to go on from where another clock is."""
        with self._lock:
            return self.moment_utc, self._random.getstate()

    @state.setter
    def state(self, state: tuple[datetime, Any]) -> None:
        with self._lock:
            self.moment_utc = state[0]
            self._random.setstate(state[1])

    def now_utc(self) -> datetime:
        return self.moment_utc

    def monotonic_s(self) -> float:
        return self.moment_utc.timestamp()

    def random_bytes(self, count: int) -> bytes:
        with self._lock:
            return self._random.randbytes(count)

    def jitter(self) -> float:
        with self._lock:
            return self._random.random()

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.advance(seconds)
        return until.is_set() if until else False

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        with self._lock:
            self.moment_utc += timedelta(seconds=seconds)
