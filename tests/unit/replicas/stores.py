"""Stores for tests of the repository: real ones, with gates that tests open."""

from __future__ import annotations

import threading

from farshore.clock import Clock
from farshore.stores.base import Body, PutOutcome
from farshore.stores.body import as_bytes
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import WrappingStore


class GatedStore(WrappingStore):
    """A store in memory whose puts wait until the test lets them pass, and which remembers their order."""

    def __init__(self, *, clock: Clock, is_open: bool = True) -> None:
        super().__init__(MemoryStore(clock=clock))
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

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        with self._lock:
            self.begun.append(name)
            self.at_once_max = max(self.at_once_max, len(self.begun) - len(self.done))
        if not self._gate.wait(timeout=30):
            raise AssertionError(f"nobody opened the gate for {name}")
        outcome = self._store.put(name, as_bytes(body), retention)
        with self._lock:
            self.done.append(name)
        return outcome
