"""Speed of reads from one replica in this process: moving estimates from the requests it made."""

from __future__ import annotations

import threading
from collections import deque

from farshore import limits

_SMALL_BYTES = 64 * limits.KIB  # below this size latency dominates, and says nothing of the rate
_WEIGHT = 0.2  # of the newest request: a change shows after about five
_TRANSFER_SHARE_MIN = 0.1  # of a large request's time, however well the first answer is thought to be known
_RATIOS_KEPT = 64  # requests that a bound is computed from
_RATIOS_MIN = 8  # fewer say nothing of the rare slow one
_QUANTILE = 0.95
_S_PER_BYTE_MIN = 1e-12  # no memory is faster
_UNSURE_FACTOR = 8.0  # of what is expected, while too little was measured
_AILING_S = 30.0  # after an error that passes; doubled with each that follows at once
_AILING_DOUBLINGS_MAX = 5


class Pace:
    """Latency, throughput and health of one replica, as its readers see them. Safe from many threads.

    A request is modelled as its latency, and then its bytes at an even rate. Before anything was measured the rate
    is assumed to be good, so that every replica is tried before another is preferred for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latency_s = 0.0
        self._s_per_byte = 1.0 / limits.READ_RATE_ASSUMED
        self._latency_known = False
        self._rate_known = False
        self._ratios: deque[float] = deque(maxlen=_RATIOS_KEPT)  # measured time / expected time
        self._failures = 0
        self._ailing_until_s = float("-inf")
        self._overdue = 0

    def record(self, size: int, seconds: float) -> None:
        """Record that a request for `size` bytes was answered after `seconds`."""
        with self._lock:
            expected_s = self._expected_s(size)
            if self._latency_known and (self._rate_known or size < _SMALL_BYTES) and expected_s > 0:
                self._ratios.append(seconds / expected_s)
            self._learn(size, seconds)
            self._failures = 0
            self._ailing_until_s = float("-inf")

    def late(self, size: int, seconds: float) -> None:
        """Record that a request is unanswered after `seconds`: it needs at least that. `ended` must follow."""
        with self._lock:
            self._overdue += 1
            if seconds > self._expected_s(size):
                self._learn(size, seconds)

    def ended(self) -> None:
        """Note that a request that was late has ended, in whatever way."""
        with self._lock:
            self._overdue -= 1

    def failed(self, now_s: float) -> None:
        """Note that the replica could not answer, at a moment of the monotonic clock."""
        with self._lock:
            doubled = 2.0 ** min(self._failures, _AILING_DOUBLINGS_MAX)
            self._failures += 1
            self._ailing_until_s = now_s + _AILING_S * doubled

    def healthy(self, now_s: float) -> bool:
        """Whether no request is late, and no error is recent."""
        with self._lock:
            return self._overdue == 0 and now_s >= self._ailing_until_s

    @property
    def latency_s(self) -> float:
        """Time of a small request; 0 before one was measured. For tests: readers ask `expected_s`."""
        with self._lock:
            return self._latency_s

    @property
    def bytes_per_s(self) -> float | None:
        """Rate of a large request once it is answered; None before one was measured."""
        with self._lock:
            return 1.0 / self._s_per_byte if self._rate_known else None

    def expected_s(self, size: int) -> float:
        """Return the expected time of a request for `size` bytes."""
        with self._lock:
            return self._expected_s(size)

    def late_s(self, size: int) -> float:
        """Return after how long a request is late: when 95 of 100 so far, for their sizes, had been answered."""
        with self._lock:
            expected_s = self._expected_s(size)
            if len(self._ratios) < _RATIOS_MIN:
                return max(limits.HEDGE_UNSURE_S_MIN, _UNSURE_FACTOR * expected_s)
            ordered = sorted(self._ratios)
            return max(limits.HEDGE_S_MIN, ordered[int(_QUANTILE * (len(ordered) - 1))] * expected_s)

    def silent_s(self, size: int) -> float:
        """Return after how long a request counts as unanswered for good, whatever another one costs."""
        return max(limits.SILENT_S_MIN, 4.0 * self.late_s(size))

    def _expected_s(self, size: int) -> float:
        return self._latency_s + size * self._s_per_byte

    def _learn(self, size: int, seconds: float) -> None:
        if size < _SMALL_BYTES:
            self._latency_s = _moved(self._latency_s, seconds) if self._latency_known else seconds
            self._latency_known = True
            return
        transfer_s = max(seconds - self._latency_s, _TRANSFER_SHARE_MIN * seconds)
        found = max(transfer_s / size, _S_PER_BYTE_MIN)
        self._s_per_byte = _moved(self._s_per_byte, found) if self._rate_known else found
        self._rate_known = True


def _moved(before: float, found: float) -> float:
    return before + _WEIGHT * (found - before)
