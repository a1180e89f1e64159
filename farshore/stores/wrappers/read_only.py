"""A wrapper that refuses every change: what restore, verify and status open a replica with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from farshore.errors import StoreReadOnly
from farshore.stores.base import Body, Capabilities, ObjectInfo, PutOutcome, Store, check_name
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention


class ReadOnlyStore:
    """The same store, with every change answered by `StoreReadOnly` before anything is sent."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"ReadOnlyStore({self._store!r})"

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, name: str, body: Body, keeping: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        raise StoreReadOnly(f"{self.url} is open for reading only, so {check_name(name)} was not written")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.get(name, offset, length)

    def head(self, name: str) -> ObjectInfo:
        return self._store.head(name)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix)

    def delete(self, name: str) -> None:
        raise StoreReadOnly(f"{self.url} is open for reading only, so {check_name(name)} was not deleted")

    def lock_state(self, name: str) -> LockState:
        return self._store.lock_state(name)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        raise StoreReadOnly(f"{self.url} is open for reading only, so {check_name(name)} was not locked")

    def set_hold(self, name: str, *, held: bool) -> None:
        raise StoreReadOnly(f"{self.url} is open for reading only, so the hold on {check_name(name)} was not changed")

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        raise StoreReadOnly(f"{self.url} is open for reading only, so {check_name(name)} was not warmed")

    def now_utc(self) -> datetime:
        return self._store.now_utc()

    def close(self) -> None:
        self._store.close()
