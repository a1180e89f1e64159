"""The only reader of wall time, monotonic time and randomness; everything else is handed a `Clock`.

Tests pass a `FixedClock` so that ids, times and waits repeat.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time and randomness as a dependency. Safe for use from many threads."""

    def now_utc(self) -> datetime:
        """Return the wall time, timezone-aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards; only differences mean anything."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """Return `count` bytes fit for keys."""
        ...

    def jitter(self) -> float:
        """Return a number in [0, 1) for spreading retries; not for keys."""
        ...

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        """Wait; return True early if `until` is set."""
        ...


class SystemClock:
    """The machine's own clock and random source."""

    def now_utc(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads retries, never makes a key

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        return (until or threading.Event()).wait(seconds)


@dataclass
class FixedClock:
    """A clock that moves only when told or waited on, with repeatable "random" bytes. For tests and golden files."""

    moment_utc: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    seed: int = 1
    _random: random.Random = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

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
