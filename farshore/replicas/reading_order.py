"""In which order replicas are asked for an object: by what reading it from each of them costs. Pure. Decision 0009.

The cost of one read is its expected time (seconds: latency, and the bytes at the measured rate) and the
money it is billed (egress, retrieval, one request). The rule that weighs them is `prefer`:

- `fastest`: time alone.
- `cheapest`: money alone; time among those that cost the same.
- `balanced`: both as money, an hour of waiting priced at `READ_HOUR_PRICE`.

Estimates are rough, so costs within a factor of two count as the same, and times below `READ_TIME_FLOOR_S` do; among
the same the cheaper one goes first, and then the order of the configuration decides. Unhealthy replicas go last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from farshore import limits
from farshore.config import Prefer

_HOUR_S = 3600.0


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
