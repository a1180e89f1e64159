"""A wrapper that refuses changes: all of them for a command that only reads, most of them for a restore or a check."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from farshore.errors import StoreReadOnly
from farshore.stores.base import Store, check_name
from farshore.stores.wrappers.base import Answer, WrappingStore

_READS = frozenset({"get", "head", "lock_state", "now_utc"})  # a verb that is not named here is refused
_REFUSALS = {
    "put": "{} was not written",
    "delete": "{} was not deleted",
    "extend_lock": "{} was not locked",
    "set_hold": "the hold on {} was not changed",
    "warm": "{} was not warmed",
}


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
        refusal = _REFUSALS.get(verb, "{} was not changed").format(check_name(name))
        raise StoreReadOnly(f"{self.url} is open for reading only, so {refusal}")
