"""Counting the requests that a service is sent, as the service counts and bills them.

One call of a store may be several requests: each part of a large object, each page of a listing, each look at the
object of a name that exists. A store that talks to a service counts them where they leave, retries of the SDK included;
requests for access tokens go elsewhere and are not among them.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from farshore.clock import Clock
from farshore.limits import SENT_BYTES
from farshore.stores.service_clock import ServiceClock


class RequestKind(StrEnum):
    """The kind of a request, in the words of the contract of stores."""

    PUT = "put"  # also a part, and the beginning and end of an object in parts
    GET = "get"
    HEAD = "head"
    LIST = "list"  # one page
    DELETE = "delete"  # also an upload in parts that is given up


class RequestCounter:
    """Counts requests by kind and bytes of bodies as they pass; keeps the service's clock. Safe from many threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.service_clock = ServiceClock(clock)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._bytes_in = self._bytes_out = 0
        self.watched = False  # whether somebody looks at `moved`: then a body is read in pieces, for some more memory

    def add(self, kind: RequestKind) -> None:
        """Count one request."""
        with self._lock:
            self._counts[kind.value] += 1

    def received(self, count: int) -> None:
        """Count bytes of a body as they arrive, while the rest of it is under way."""
        with self._lock:
            self._bytes_in += count

    def sent(self, count: int) -> None:
        """Count bytes of a body that were given to the connection."""
        with self._lock:
            self._bytes_out += count

    def count_received(self, raw: Any) -> None:
        """Have an answer of urllib3 count what is read of its body, piece by piece.

        The answer must not hold itself: it closes its connection when the last one lets go of it, and not at some later
        collection of garbage.
        """
        read, held = type(raw).read, weakref.ref(raw)

        def counting(*args: Any, **kwargs: Any) -> Any:
            data = read(held(), *args, **kwargs)
            self.received(len(data))
            return data

        raw.read = counting

    def moved(self) -> tuple[int, int]:
        """Return the bytes of bodies received and sent so far, those of objects under way included."""
        with self._lock:
            return self._bytes_in, self._bytes_out

    def counts(self) -> Mapping[str, int]:
        """Return the counts of one moment; only kinds that were used are named."""
        with self._lock:
            return dict(self._counts)


@runtime_checkable
class CountsRequests(Protocol):
    """A store that counts the requests it sends."""

    @property
    def request_counter(self) -> RequestCounter:
        """Its counts."""
        ...


class Readable(Protocol):
    """The body of an answer."""

    def read(self, amt: int | None = None, /) -> bytes:
        """Return up to `size` bytes, or the rest."""
        ...


def read_counted(stream: Readable, request_counter: RequestCounter) -> bytes:
    """Read an answer to its end; in pieces where bytes are counted as they arrive, which needs the memory twice."""
    if not request_counter.watched:
        data = stream.read()
        request_counter.received(len(data))
        return data
    pieces: list[bytes] = []
    while piece := stream.read(SENT_BYTES):
        request_counter.received(len(piece))
        pieces.append(piece)
    return b"".join(pieces)
