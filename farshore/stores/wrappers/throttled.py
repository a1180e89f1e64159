"""A wrapper that keeps to a bandwidth: bytes per second up and down, each over all threads of this replica."""

from __future__ import annotations

from farshore.clock import Clock
from farshore.limits import PACED_AHEAD_S, WHOLE_READ_BYTES_MAX
from farshore.stores.base import Body, PacedBody, PutOutcome, Store, body_bytes
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.token_bucket import TokenBucket
from farshore.stores.wrappers import WrappingStore


class ThrottledStore(WrappingStore):
    """The same store, slower.

    Up: a store sends the body in small pieces, each of which waits for its turn, so the connection carries an even
    stream however large the object is. Bytes that a store sent without asking (a store in memory, and objects above
    `MULTIPART_BYTES_MIN` at GCS, which no pack is) are waited for afterwards.
    A body of one piece (leases, commit records, most audit files) goes ahead of those under way by up to
    `PACED_AHEAD_S`, which wait for it in turn.
    Down: an answer arrives as fast as it can, and is returned when its time is over; it is a pack or a range of one.

    Requests themselves, their headers and listings are not counted: they are small. Waits are not cut short.

    Args:
        up_bytes_per_s: Of bodies of puts; None for no limit.
        down_bytes_per_s: Of what gets return; None for no limit.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        up_bytes_per_s: int | None = None,
        down_bytes_per_s: int | None = None,
    ) -> None:
        super().__init__(store)
        self._up = TokenBucket(bytes_per_s=up_bytes_per_s, clock=clock) if up_bytes_per_s else None
        self._down = TokenBucket(bytes_per_s=down_bytes_per_s, clock=clock) if down_bytes_per_s else None

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        if self._up is None:
            return self._store.put(name, body, retention)
        if body_bytes(body) <= self._up.piece_bytes:
            self._up.consume(body_bytes(body), ahead_s=PACED_AHEAD_S)
            return self._store.put(name, body, retention)
        paced = PacedBody(body, self._up)
        outcome = self._store.put(name, paced, retention)
        if outcome is PutOutcome.CREATED:  # a body whose object was there may never have been sent
            self._up.consume(max(body_bytes(body) - paced.consumed_bytes, 0))
        return outcome

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        data = self._store.get(name, offset, length, bytes_max=bytes_max)
        if self._down is not None:
            self._down.consume(len(data))
        return data
