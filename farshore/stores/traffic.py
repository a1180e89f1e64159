"""Notes of a bare store on its own traffic: requests, bytes, checksums that left, and the clock of its service.

A service counts and bills requests, and one call of a store may be several: each part of a large object, each page of a
listing, each look at the object of a name that exists. A store that talks to a service counts them where they leave,
retries of the SDK included; requests for access tokens go elsewhere and are not among them.

Checksums are computed from the bytes in hand before they left. A service reports its own checksum of an object later,
too: compared with the one sent, it shows that the object is the one that was put; compared with an earlier answer of
the service, it would show only that the service repeats itself.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from farshore.clock import Clock
from farshore.model import dataclass
from farshore.stores.base import Body

_BEFORE_ANY_STORE = datetime(1990, 1, 1, tzinfo=UTC)  # a file system without times stamps files with its epoch


class ServiceClock:
    """The last difference that was seen. Safe from many threads: a difference is written as a whole.

    Args:
        clock: This host's; None for nobody who wants to know.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self.skew_s: float | None = None  # the service's time less this host's; None before any answer had a time

    def note(self, service_utc: datetime) -> None:
        """Compare a time that the service sent just now. A time that no service can mean is ignored."""
        if self._clock is not None and service_utc > _BEFORE_ANY_STORE:
            self.skew_s = (service_utc - self._clock.now_utc()).total_seconds()

    def note_header(self, date: str | None) -> None:
        """Compare the `Date` of an answer, where it has one that can be read."""
        if self._clock is None or not date:
            return
        try:
            self.note(parsedate_to_datetime(date).astimezone(UTC))
        except (ValueError, OverflowError):
            return


@runtime_checkable
class HasServiceClock(Protocol):
    """A store that notes the time of its service."""

    @property
    def service_clock(self) -> ServiceClock:
        """The clock of its service."""
        ...


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
        read, reference = type(raw).read, weakref.ref(raw)

        def counting(*args: Any, **kwargs: Any) -> Any:
            data = read(reference(), *args, **kwargs)
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


@dataclass(frozen=True, slots=True)
class AcknowledgedPut:
    """An object that a store acknowledged: its size, and the checksum that was sent, empty where none was."""

    bytes: int
    checksum: str  # algorithm:hex, as the store's `head` gives it


class PutChecksums:
    """The checksums of puts that are at work, by name. Safe from many threads.

    Args:
        digest: Computes the checksum of a body as the store's `head` gives it; None where the store has none.
    """

    def __init__(self, digest: Callable[[Body], str] | None = None) -> None:
        self._digest = digest
        self._lock = threading.Lock()
        self._checksums: dict[str, str] = {}

    def note(self, name: str, checksum: str) -> None:
        """Keep the checksum of a body that is about to leave."""
        with self._lock:
            self._checksums[name] = checksum

    def of(self, body: Body) -> str:
        """Return the checksum that the service must report for these bytes; empty where it reports none."""
        return self._digest(body) if self._digest else ""

    def pop(self, name: str) -> str:
        """Return and forget the checksum of a put that has ended; empty where none was noted."""
        with self._lock:
            return self._checksums.pop(name, "")


@runtime_checkable
class HasPutChecksums(Protocol):
    """A store that computes a checksum of every body before it sends it."""

    @property
    def put_checksums(self) -> PutChecksums:
        """The checksums of its puts."""
        ...
