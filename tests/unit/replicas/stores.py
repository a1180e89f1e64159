"""Stores for tests of the repository: real ones, with gates that tests open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

from farshore.clock import Clock
from farshore.stores.base import Body, Capabilities, ObjectInfo, PutOutcome, Store
from farshore.stores.body import as_bytes
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention


class GatedStore:
    """A store in memory whose puts wait until the test lets them pass, and which remembers their order."""

    def __init__(self, *, clock: Clock, is_open: bool = True) -> None:
        self._store: Store = MemoryStore(clock=clock)
        self._gate = threading.Event()
        self._lock = threading.Lock()
        self.begun: list[str] = []
        self.done: list[str] = []
        self.at_once_max = 0
        if is_open:
            self._gate.set()

    def open(self) -> None:
        self._gate.set()

    def shut(self) -> None:
        self._gate.clear()

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, name: str, body: Body, keeping: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        with self._lock:
            self.begun.append(name)
            self.at_once_max = max(self.at_once_max, len(self.begun) - len(self.done))
        if not self._gate.wait(timeout=30):
            raise AssertionError(f"nobody opened the gate for {name}")
        outcome = self._store.put(name, as_bytes(body), keeping)
        with self._lock:
            self.done.append(name)
        return outcome

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
