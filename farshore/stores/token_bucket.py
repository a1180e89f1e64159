"""A token bucket: bytes per second over all threads, in small pieces. For throttled stores and for heal."""

from __future__ import annotations

import threading

from farshore.clock import Clock
from farshore.limits import PACED_BURST_S, PACED_PIECE_BYTES


class TokenBucket:
    """Lets `bytes_per_s` pass. Safe from many threads, which share the rate and wait in the order they ask.

    An unused allowance is saved for `PACED_BURST_S` and no longer, so a pause is not followed by a flood.

    Args:
        bytes_per_s: 0 for no limit: nothing waits.
    """

    def __init__(self, *, bytes_per_s: float, clock: Clock) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at_s = clock.monotonic_s() - PACED_BURST_S

    @property
    def piece_bytes(self) -> int:
        """Bytes to consume at once, so that waits are short: a tenth of a second, within bounds."""
        if not self._bytes_per_s:
            return PACED_PIECE_BYTES
        return max(min(int(self._bytes_per_s / 10), PACED_PIECE_BYTES), 1024)

    def consume(self, count: int, ahead_s: float = 0.0) -> None:
        """Wait until `count` more bytes may pass, or until `ahead_s` before that: the next caller waits for it."""
        if not self._bytes_per_s:
            return
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._free_at_s = max(self._free_at_s, now_s - PACED_BURST_S) + count / self._bytes_per_s
            wait_s = self._free_at_s - now_s - ahead_s
        if wait_s > 0:
            self._clock.wait_s(wait_s)
