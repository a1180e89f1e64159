"""Counting the requests that a service is sent, as the service counts and bills them.

One call of a store may be several requests: each part of a large object, each page of a listing, each look at what
holds a name that is taken. A store that talks to a service counts them where they leave, retries of the SDK included;
requests for access tokens go elsewhere and are not among them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, runtime_checkable

from farshore.clock import Clock
from farshore.stores.service_clock import ServiceClock


class RequestKind(StrEnum):
    """What a request is, in the words of the contract of stores."""

    PUT = "put"  # also a part, and the beginning and end of an object in parts
    GET = "get"
    HEAD = "head"
    LIST = "list"  # one page
    DELETE = "delete"  # also an upload in parts that is given up


class Tally:
    """Counts by kind, and what the answers tell of the service's clock. Safe from many threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.service_clock = ServiceClock(clock)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, kind: RequestKind) -> None:
        """Count one request."""
        with self._lock:
            self._counts[kind.value] += 1

    def counts(self) -> Mapping[str, int]:
        """Return the counts of one moment; only kinds that were used are named."""
        with self._lock:
            return dict(self._counts)


@runtime_checkable
class CountsRequests(Protocol):
    """A store that counts the requests it sends."""

    @property
    def tally(self) -> Tally:
        """Its counts."""
        ...
