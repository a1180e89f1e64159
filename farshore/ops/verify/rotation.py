"""Which packs a sample reads: a rotation, so that what stays is read again within a known number of runs. Pure.

A run that reads a share of the packs must reach each of them within `runs_for(share)` runs, whatever is added or
removed in between. So each pack has a due date in runs: it counts the runs since it was last read, or since it was put.
Those that are due are first, and a run reads ahead where a later one would otherwise have too many at once.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta

from blake3 import blake3

from farshore import limits
from farshore.model import dataclass

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_SKEW = timedelta(seconds=limits.PUT_SKEW_S)


@dataclass(frozen=True)
class History:
    """The packs that earlier runs read at one replica.

    `last_read` by pack; `runs` are start and end of each run that read a share; `bad` are objects that were not sound
    by the last word on them.
    """

    last_read: Mapping[str, datetime] = field(default_factory=dict)
    runs: Sequence[tuple[datetime, datetime]] = ()
    bad: frozenset[str] = frozenset()


def runs_for(percent: float) -> int:
    """Return within how many runs of this share everything is read."""
    return max(math.ceil(100 / percent - 1e-9), 1)


def plan_sample(packs: Mapping[str, datetime | None], history: History, percent: float) -> list[str]:
    """Return the packs to read now, most urgent first.

    Every pack that is among `packs` at `runs_for(percent)` runs in a row is chosen by one of them. The number is the
    share, or more where that would be too late: after many packs that were due later have gone, or after a smaller
    share. A pack that was not sound is chosen again until it is.

    Args:
        packs: When each was put, by the service's clock; None where it reports none.
    """
    within = runs_for(percent)
    starts = sorted(started for started, _ in history.runs)
    ends = sorted(finished for _, finished in history.runs)
    counts = [0] * (within + 1)
    queue: list[tuple[int, datetime, str]] = []
    for name, put_utc in packs.items():
        if name in history.bad:
            left, since = 1, _LONG_AGO
        elif (last := history.last_read.get(name)) is not None:
            left, since = within - (len(starts) - bisect_right(starts, last)), last
        else:  # a run may end between the put and the listing, which then counts: read too early is no harm
            since = put_utc - _SKEW if put_utc else _LONG_AGO
            left = within - (len(ends) - bisect_right(ends, since))
        left = max(left, 1)
        counts[left] += 1
        queue.append((left, since, name))
    number = math.ceil(len(packs) * percent / 100 - 1e-9)
    due = 0
    for left in range(1, within + 1):
        due += counts[left]
        number = max(number, -(-due // left))
    return [name for _, _, name in heapq.nsmallest(number, queue)]


def plan_partition(packs: Mapping[str, datetime | None], percent: float, day: int) -> list[str]:
    """Return the packs whose turn a day is, by a hash of their names: for when no record says which were read before.

    Every pack is chosen once in `runs_for(percent)` days.

    Args:
        day: Days since some fixed day; runs of one day choose alike.
    """
    parts = runs_for(percent)
    return sorted(name for name in packs if _part(name, parts) == day % parts)


def _part(name: str, parts: int) -> int:
    return int.from_bytes(blake3(name.encode()).digest(8), "big") % parts
