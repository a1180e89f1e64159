"""Where a probe works: a private prefix of one replica, reached over as many connections as a check asks for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from farshore.clock import Clock
from farshore.errors import READ_ERRORS, STORE_ERRORS, FarshoreError
from farshore.limits import LIST_PAGE_OBJECTS, STORE_CONNECTIONS
from farshore.stores.base import ANY_OBJECT, Store
from farshore.stores.object_retention import LockMode
from farshore.stores.probe_capability import BucketSettings, HasProbeCapability, ProbeCapability, Setting
from farshore.stores.wrappers.retrying import RetryingStore

LEFT_NAMED_MAX = 20  # names shown of objects that stay

Connect = Callable[[int], Store]  # objects in a page of a listing -> a bare store with connections of its own


@dataclass
class ProbePrefix:
    """A prefix that only this probe uses. Close it when done.

    `second` is what another process needs to open the same store, or None where none can. Names that were handed out
    are remembered, so that cleaning up does not depend on the listings that are being judged.
    """

    connect: Connect
    prefix: str
    clock: Clock
    second: dict[str, Any] | None = field(default=None, repr=False)  # holds secrets
    replica: str = ""
    lock: LockMode | None = None  # the mode that the configuration asks for
    may_erase: bool = True  # learned by the check of permissions: whether objects that are put here can be removed
    names: set[str] = field(default_factory=set)
    opened: list[Store] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bare(self, page_objects: int = LIST_PAGE_OBJECTS) -> Store:
        """Return a new bare store with connections of its own."""
        store = self.connect(page_objects)
        with self._lock:
            self.opened.append(store)
        return store

    def retrying(self, page_objects: int = LIST_PAGE_OBJECTS) -> Store:
        """Return a new store with connections of its own, which meets passing trouble as every operation does."""
        return RetryingStore(self.bare(page_objects), clock=self.clock)

    @cached_property
    def plain(self) -> Store:
        """A bare store, the same at each use."""
        return self.bare()

    @cached_property
    def store(self) -> Store:
        """A store that retries, over the connections of `plain`."""
        return RetryingStore(self.plain, clock=self.clock)

    @cached_property
    def other(self) -> Store:
        """Another store, over connections of its own, which must see the objects that `plain` wrote."""
        return self.retrying()

    @cached_property
    def capability(self) -> ProbeCapability | None:
        """Calls beyond the contract that a probe makes, where this kind of store has them."""
        return self.plain.probe_capability() if isinstance(self.plain, HasProbeCapability) else None

    @cached_property
    def settings(self) -> BucketSettings:
        """The settings of the bucket or container, as far as they can be read."""
        return self.capability.settings() if self.capability else BucketSettings()

    def name(self, stem: str) -> str:
        """Return the full name of an object of this probe, and remember it."""
        full = f"{self.prefix}{stem}"
        with self._lock:
            self.names.add(full)
        return full

    def tidy(self, patience_s: float) -> None:
        """Remove what can be removed in this time, and wait for nothing else: somebody asked to stop."""
        pool = ThreadPoolExecutor(STORE_CONNECTIONS)
        wait([pool.submit(self._remove, name) for name in sorted(self.names)], timeout=patience_s)
        pool.shutdown(wait=False, cancel_futures=True)

    def clean(self) -> tuple[str, ...]:
        """Remove all that was made here, as far as the credential and locks allow; return the names that are left."""
        found = set(self.names)
        with contextlib.suppress(*READ_ERRORS):  # the rest is tried all the same
            found |= {info.name for info in self.store.list(self.prefix)}
        with ThreadPoolExecutor(STORE_CONNECTIONS) as pool:
            removed = dict(zip(sorted(found), pool.map(self._remove, sorted(found)), strict=True))
        try:
            seen = {info.name for info in self.other.list(self.prefix)}
        except READ_ERRORS:
            seen = found
        return tuple(name for name, gone in removed.items() if not gone or name in seen)

    def close(self) -> None:
        """Release all connections."""
        for store in self.opened:
            store.close()

    def _remove(self, name: str) -> bool:
        """Remove an object with all its versions; return whether it is known to be gone."""
        try:
            if self.capability is not None and self.settings.versioning is not Setting.OFF:
                self.capability.erase(name)
            else:
                self.store.delete(name, ANY_OBJECT)
        except STORE_ERRORS:
            return not self._is_there(name)
        return True

    def _is_there(self, name: str) -> bool:
        """Return whether an object that cannot be deleted was ever made."""
        try:
            self.store.head(name)
        except FarshoreError as error:
            return error.code != "object-not-found"
        return True
