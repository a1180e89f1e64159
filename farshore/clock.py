"""The only reader of wall time, monotonic time and randomness; everything else is handed a `Clock`."""

from __future__ import annotations

import random
import secrets
import threading
import time
from datetime import UTC, datetime
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
