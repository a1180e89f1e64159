"""A wrapper that counts: requests by kind, failures, bytes in and out; and keeps which objects were acknowledged."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from farshore.limits import SENT_KEPT_MAX, WHOLE_READ_BYTES_MAX
from farshore.stores.base import Body, ObjectInfo, PutOutcome, Store, body_bytes
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.traffic import (
    AcknowledgedPut,
    CountsRequests,
    HasPutChecksums,
    HasServiceClock,
    PutChecksums,
    RequestCounter,
    RequestKind,
    ServiceClock,
)
from farshore.stores.wrappers import Answer, WrappingStore

_KINDS = {
    **{kind.value: kind for kind in RequestKind},
    "now_utc": RequestKind.HEAD,
    "lock_state": RequestKind.HEAD,
    "extend_lock": RequestKind.PUT,
    "set_hold": RequestKind.PUT,
    "warm": RequestKind.PUT,
    "delete_many": RequestKind.DELETE,
    "see_many": RequestKind.LIST,
    "trash": RequestKind.LIST,
    "empty_trash": RequestKind.DELETE,
}  # by verb of the contract


@dataclass(frozen=True, slots=True)
class Meter:
    """The traffic of a store up to one moment. Only kinds and verbs that were used are named."""

    requests: Mapping[str, int]  # by kind (put, get, head, list, delete), failed ones too
    failures: Mapping[str, int]  # calls by verb that raised
    bytes_out: int  # bodies of the puts that succeeded, whether created or present
    bytes_in: int  # bytes that gets returned
    objects_listed: int
    answers: int = field(default=0, compare=False)  # calls that ended well: a sign of life


class MeteredStore(WrappingStore):
    """The same store, counted. `snapshot` may be called by any thread at any time.

    A store that counts the requests it sends is asked for them; of another, each call is one request.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._lock = threading.Lock()
        self._counts_calls = not isinstance(store, CountsRequests)
        self._request_counter = store.request_counter if isinstance(store, CountsRequests) else RequestCounter()
        self._service_clock = (
            store.service_clock if isinstance(store, HasServiceClock) else self._request_counter.service_clock
        )
        self._failures: Counter[str] = Counter()
        self._bytes_out = 0
        self._bytes_in = 0
        self._objects_listed = 0
        self._answers = 0
        self._checksums = store.put_checksums if isinstance(store, HasPutChecksums) else PutChecksums()
        self._sent: dict[str, AcknowledgedPut] = {}

    def snapshot(self) -> Meter:
        """Return all counts of one moment."""
        with self._lock:
            return Meter(
                requests=self._request_counter.counts(),
                failures=dict(self._failures),
                bytes_out=self._bytes_out,
                bytes_in=self._bytes_in,
                objects_listed=self._objects_listed,
                answers=self._answers,
            )

    @property
    def service_clock(self) -> ServiceClock:
        """The offset of the service's clock from this host's, as far as its answers had a time."""
        return self._service_clock

    def moved(self) -> tuple[int, int]:
        """Return the bytes received and sent so far, of objects under way too where the store counts them."""
        with self._lock:
            done = self._bytes_in, self._bytes_out
        return done if self._counts_calls else self._request_counter.moved()

    def sent(self) -> Mapping[str, AcknowledgedPut]:
        """Return what was put here and acknowledged, by name; of more than `SENT_KEPT_MAX` the latest."""
        with self._lock:
            return dict(self._sent)

    def sent_checksum(self, name: str) -> str:
        """Return the checksum that was sent with an object that was put here; empty where none was."""
        with self._lock:
            put = self._sent.get(name)
        return put.checksum if put else ""

    def checksum_of(self, body: Body) -> str:
        """Return the checksum that the service must report for these bytes, `algorithm:hex`; empty if it has none."""
        return self._checksums.of(body)

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        with self._counted("put"):
            size = body_bytes(body)
            try:
                outcome = self._store.put(name, body, retention)
            finally:
                checksum = self._checksums.pop(name)
        with self._lock:
            self._bytes_out += size
            self._sent[name] = AcknowledgedPut(size, checksum)
            if len(self._sent) > SENT_KEPT_MAX:
                del self._sent[next(iter(self._sent))]
        return outcome

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        with self._counted("get"):
            data = self._store.get(name, offset, length, bytes_max=bytes_max)
        with self._lock:
            self._bytes_in += len(data)
        return data

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._counted("list"):
            for info in self._store.list(prefix):
                with self._lock:
                    self._objects_listed += 1
                yield info

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        with self._counted(verb):
            return request()

    @contextlib.contextmanager
    def _counted(self, verb: str) -> Iterator[None]:
        if self._counts_calls:
            self._request_counter.add(_KINDS[verb])
        try:
            yield
        except Exception:
            with self._lock:
                self._failures[verb] += 1
            raise
        with self._lock:
            self._answers += 1
