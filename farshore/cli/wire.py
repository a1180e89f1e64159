"""Bytes between this host and the replicas: how many, how fast, and how long until the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta

from farshore.cli.wording import elapsed, human_bytes
from farshore.clock import Clock

Moved = Callable[[], Mapping[str, tuple[int, int]]]  # by replica: bytes received and sent
RATE_OVER_S = 10.0  # a rate is that of the last seconds: it follows the line, and one pause does not end it


class Rate:
    """Bytes a second of a growing count, over the last `RATE_OVER_S`. Used by one thread."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, count: int, now_s: float) -> float:
        """Note a count, and return the present rate."""
        self._seen.append((now_s, count))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= RATE_OVER_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        return max(count - before, 0) / (now_s - then_s) if now_s > then_s else 0.0


class Wire:
    """The bytes moved since it was made, in words. Used by one thread."""

    def __init__(self, moved: Moved, clock: Clock) -> None:
        self._moved = moved
        self._clock = clock
        self._first = dict(moved())
        self._rates = {(name, at): Rate() for name in self._first for at in (0, 1)}
        for (name, at), rate in self._rates.items():
            rate.of(self._first[name][at], clock.monotonic_s())

    def bytes_of(self, stage: str) -> int | None:
        """Return what moved for a stage, objects under way included; None where a stage moves nothing of its own.

        Stages are named by what they do and at which replica: `restore`, `verify:oslo`, `heal:oslo`, `replicate:oslo`.
        """
        kind, _, replica = stage.partition(":")
        moved = self._moved()
        if kind == "restore":
            return sum(received for received, _ in moved.values())
        if replica not in moved or kind not in ("verify", "heal", "replicate"):
            return None
        return moved[replica][0 if kind == "verify" else 1]

    def describe(self) -> str:
        """Return a clause for each replica and direction with bytes, or an empty text."""
        now_s = self._clock.monotonic_s()
        parts: list[str] = []
        for name, counts in self._moved().items():
            before = self._first.get(name, (0, 0))
            for at, word in enumerate(("from", "to")):
                rate = self._rates.setdefault((name, at), Rate()).of(counts[at], now_s)
                if counts[at] > before[at]:
                    parts.append(f"{word} {name} {human_bytes(counts[at] - before[at])} at {human_bytes(int(rate))}/s")
        return ", ".join(parts)


def time_left(done: int, total: int, rate: float) -> str:
    """Return the time that the rest needs at this rate, or an empty text where nobody can say."""
    if total <= done or rate <= 0:
        return ""
    return f"{elapsed(timedelta(seconds=round((total - done) / rate)))} left"
