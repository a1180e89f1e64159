"""A wrapper that keeps what is put as its replica is configured: locked, and in a storage class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from farshore.stores.base import Body, Capabilities, ObjectInfo, PutOutcome, Store
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention


class RetentionStore:
    """The same store; a put that says nothing of how its object is to be kept is answered by a rule.

    So whatever puts an object at a replica (a backup, a heal, an audit row) cannot forget its lock.

    Args:
        keeping_of: Returns how an object of this name is to be kept when it is put now.
    """

    def __init__(self, store: Store, keeping_of: Callable[[str], ObjectRetention]) -> None:
        self._store = store
        self._keeping_of = keeping_of

    def __repr__(self) -> str:
        return f"KeptStore({self._store!r})"

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, name: str, body: Body, keeping: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        return self._store.put(name, body, self._keeping_of(name) if keeping is DEFAULT_RETENTION else keeping)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.get(name, offset, length)

    def head(self, name: str) -> ObjectInfo:
        return self._store.head(name)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix)

    def delete(self, name: str) -> None:
        self._store.delete(name)

    def lock_state(self, name: str) -> LockState:
        return self._store.lock_state(name)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        return self._store.extend_lock(name, lock)

    def set_hold(self, name: str, *, held: bool) -> None:
        self._store.set_hold(name, held=held)

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self._store.warm(name, days=days, tier=tier)

    def now_utc(self) -> datetime:
        return self._store.now_utc()

    def close(self) -> None:
        self._store.close()
