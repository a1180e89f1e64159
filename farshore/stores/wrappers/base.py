"""The base of every store wrapper: each verb of the contract, forwarded to the store inside.

A wrapper overrides the verbs that it changes. One that treats all verbs alike (tries again, counts, refuses) overrides
`_call`, through which every verb but `list` and `close` goes. A new verb of the contract is one method here, and
tests/unit/stores/test_wrapping.py fails until it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.base import Body, Capabilities, ObjectInfo, PutOutcome, Store
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention

Answer = TypeVar("Answer")


class WrappingStore:
    """The same store. The contract is that of `Store`; as safe for threads as the store inside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        return self._call("put", name, lambda: self._store.put(name, body, retention))

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        return self._call("get", name, lambda: self._store.get(name, offset, length, bytes_max=bytes_max))

    def head(self, name: str) -> ObjectInfo:
        return self._call("head", name, lambda: self._store.head(name))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix)

    def delete(self, name: str) -> None:
        self._call("delete", name, lambda: self._store.delete(name))

    def lock_state(self, name: str) -> LockState:
        return self._call("lock_state", name, lambda: self._store.lock_state(name))

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        return self._call("extend_lock", name, lambda: self._store.extend_lock(name, lock))

    def set_hold(self, name: str, *, held: bool) -> None:
        self._call("set_hold", name, lambda: self._store.set_hold(name, held=held))

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self._call("warm", name, lambda: self._store.warm(name, days=days, tier=tier))

    def now_utc(self) -> datetime:
        return self._call("now_utc", "", self._store.now_utc)

    def close(self) -> None:
        self._store.close()

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        """Make one request of the store inside; `name` is empty where the verb has none."""
        return request()
