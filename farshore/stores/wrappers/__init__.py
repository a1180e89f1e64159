"""The base of every store wrapper: each verb of the contract, forwarded to the store inside; or, to read only, refused.

A wrapper overrides the verbs that it changes. One that treats all verbs alike (tries again, counts, refuses) overrides
`_call`, through which every verb but `list` and `close` goes. A new verb of the contract is one method here, and
tests/unit/stores/test_wrapping.py fails until it is.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from farshore.errors import StoreReadOnly
from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.base import (
    Body,
    Capabilities,
    DeletionErrors,
    ObjectInfo,
    PutOutcome,
    SeenObjects,
    Store,
    Trash,
    check_name,
)
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention

Answer = TypeVar("Answer")
_READS = frozenset(  # a verb that is not named here is refused
    {"get", "head", "lock_state", "now_utc", "see_many", "trash"}
)
_REFUSALS = {
    "put": "{} was not written",
    "delete": "{} was not deleted",
    "delete_many": "nothing was deleted",
    "empty_trash": "its trash was not emptied",
    "extend_lock": "{} was not locked",
    "set_hold": "the hold on {} was not changed",
    "warm": "{} was not warmed",
}


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

    def delete(self, name: str, seen: str) -> None:
        self._call("delete", name, lambda: self._store.delete(name, seen))

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        return self._call("delete_many", "", lambda: self._store.delete_many(objects))

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        return self._call("see_many", "", lambda: self._store.see_many(names))

    def trash(self) -> Trash:
        return self._call("trash", "", self._store.trash)

    def empty_trash(self, until_utc: datetime) -> Trash:
        return self._call("empty_trash", "", lambda: self._store.empty_trash(until_utc))

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


class WriteGuard:
    """Which objects may be changed at one store that was opened to read. Safe from many threads.

    Args:
        puts_below: Prefixes below which objects may be put; never deleted or locked.
        mends: Whether `admit` lets an object be deleted and put anew.
    """

    def __init__(self, *, puts_below: tuple[str, ...] = (), mends: bool = False) -> None:
        self._puts_below = puts_below
        self._mends = mends
        self._admitted: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def admit(self, name: str) -> Iterator[None]:
        """Let one object be deleted and put while this lasts, where this guard lets objects be mended at all."""
        with self._lock:
            self._admitted[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._admitted[name] -= 1
                if not self._admitted[name]:
                    del self._admitted[name]

    def allows(self, verb: str, name: str) -> bool:
        """Return whether a change may be sent."""
        if verb == "put" and name.startswith(self._puts_below):
            return True
        with self._lock:
            return self._mends and verb in ("put", "delete") and name in self._admitted


class ReadOnlyStore(WrappingStore):
    """The same store, with every change that its guard does not allow answered by `StoreReadOnly` before it is sent.

    Args:
        guard: None: nothing may be changed.
    """

    def __init__(self, store: Store, guard: WriteGuard | None = None) -> None:
        super().__init__(store)
        self._guard = WriteGuard() if guard is None else guard

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        if verb in _READS or self._guard.allows(verb, name):
            return request()
        refusal = _REFUSALS.get(verb, "{} was not changed").format(check_name(name) if name else "")
        raise StoreReadOnly(f"{self.url} is open for reading only, so {refusal}")
