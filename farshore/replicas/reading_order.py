"""In which order replicas are asked for an object: by what reading it from each of them costs. Decision 0009.

The cost of one read is its expected time (seconds: latency, and the bytes at the rate that `Pace` measured) and the
money it is billed (egress, retrieval, one request). The rule that weighs them is `prefer`:

- `fastest`: time alone.
- `cheapest`: money alone; time among those that cost the same.
- `balanced`: both as money, an hour of waiting priced at `READ_HOUR_PRICE`.

Estimates are rough, so costs within a factor of two count as the same, and times below `READ_TIME_FLOOR_S` do; among
the same the cheaper one goes first, and then the order of the configuration decides. Unhealthy replicas go last.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence

from farshore import limits
from farshore.config import Prefer
from farshore.model import dataclass

_HOUR_S = 3600.0
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


@dataclass(frozen=True, slots=True)
class ReadPrice:
    """Prices of a replica's provider for reading, in the currency of the price table. The default is free."""

    per_byte: float = 0.0  # egress and retrieval
    per_request: float = 0.0

    def of(self, size: int) -> float:
        """Return the price of one request for `size` bytes."""
        return size * self.per_byte + self.per_request

    @property
    def expensive(self) -> bool:
        """Whether reading something twice is costly enough to avoid."""
        return self.per_byte * limits.GIB > limits.READ_TWICE_PRICE_MAX


@dataclass(frozen=True, slots=True)
class ReadCandidate:
    """One replica as a reader sees it before one read."""

    name: str
    time_s: float  # expected time of this read
    money: float  # that this read is billed
    listed: bool = True  # whether it lists the snapshot that is read
    healthy: bool = True


def order_candidates(candidates: Sequence[ReadCandidate], prefer: Prefer) -> list[str]:
    """Return the names in the order in which to ask. The same input gives the same order.

    First the healthy replicas that list the snapshot, then other healthy ones, then the unhealthy.
    """
    tiers: dict[int, list[int]] = {}
    for position, one in enumerate(candidates):
        tiers.setdefault(2 if not one.healthy else 0 if one.listed else 1, []).append(position)
    ordered: list[str] = []
    for _, positions in sorted(tiers.items()):
        ranks = _ranks([_cost(candidates[at], prefer) for at in positions])
        times = _ranks([_time_s(candidates[at]) for at in positions])
        keys = {
            at: (candidates[at].money, time, at) if prefer is Prefer.CHEAPEST else (rank, candidates[at].money, at)
            for at, rank, time in zip(positions, ranks, times, strict=True)
        }
        ordered += [candidates[at].name for at in sorted(positions, key=keys.__getitem__)]
    return ordered


def _cost(one: ReadCandidate, prefer: Prefer) -> float:
    if prefer is Prefer.BALANCED:
        return _time_s(one) + one.money * _HOUR_S / limits.READ_HOUR_PRICE
    return _time_s(one)


def _time_s(one: ReadCandidate) -> float:
    return max(one.time_s, limits.READ_TIME_FLOOR_S)


def _ranks(costs: Sequence[float]) -> list[int]:
    """Return for each cost how often it doubles the least of them."""
    least = min(costs)
    return [int(math.log2(cost / least)) for cost in costs]


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
