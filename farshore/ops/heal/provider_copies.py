"""Having a service copy packs between two of its places, where it can be trusted to replace nothing.

A service that ignores the condition of a copy would overwrite; so each pair of places is tried once, with an object of
our own below `probe/`, before it is used. A copy by the service counts when its size and the provider's checksum are
the source's, or, where the provider reports none, when it was read back and hashes to its name.
"""

from __future__ import annotations

import contextlib
import threading

from farshore.access.open_replica import open_bare_store
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import OPENING_ERRORS, STORE_ERRORS, FarshoreError, StoreConflict
from farshore.format import names
from farshore.model import dataclass
from farshore.replicas.object_pieces import hash_pieces, read_pieces
from farshore.replicas.repository import Replica
from farshore.stores.base import ANY_OBJECT, Store
from farshore.stores.copying import Copying, HasCopying
from farshore.stores.object_retention import DEFAULT_RETENTION

_GUARD = b"nothing may replace this\n"


@dataclass(frozen=True)
class _Pair:
    source: Copying
    target: Copying


class ProviderCopies:
    """Copies for one heal; called from many threads. A context manager: leaving it closes its stores."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._stores: dict[str, Store | None] = {}
        self._pairs: dict[tuple[str, str], _Pair | None] = {}
        self.copied = 0

    def __enter__(self) -> ProviderCopies:
        return self

    def __exit__(self, *exception: object) -> None:
        for store in self._stores.values():
            if store is not None:
                store.close()

    def __call__(self, source: Replica, target: Replica, name: str, size: int) -> bool:
        """Have one missing pack copied; return whether it is there and checked.

        Raises:
            FarshoreError: As the service said; the object is then to be copied through this host.
        """
        pair = self._pair(source, target)
        if pair is None:
            return False
        try:
            pair.target.copy_from(pair.source, name, name)
        except FarshoreError as error:
            if not error.retryable and not isinstance(error, StoreConflict):
                self._pairs[source.name, target.name] = None  # it will not for the others either
            raise
        if not _is_whole(source, target, name, size):
            return False  # putting it will find it there with other bytes, and mend it
        with self._lock:
            self.copied += 1
        return True

    def _pair(self, source: Replica, target: Replica) -> _Pair | None:
        with self._lock:
            key = (source.name, target.name)
            if key not in self._pairs:
                self._pairs[key] = self._tried(source, target)
            return self._pairs[key]

    def _tried(self, source: Replica, target: Replica) -> _Pair | None:
        if target.retention_rule.retention_of("packs/", self._clock.now_utc()) != DEFAULT_RETENTION:
            return None  # a copy would be locked too late, or lie in another class
        here, there = self._copying(target), self._copying(source)
        if here is None or there is None or here.service != there.service:
            return None
        pair = _Pair(there, here)
        return pair if self._replaces_nothing(pair, target) else None

    def _replaces_nothing(self, pair: _Pair, target: Replica) -> bool:
        guard = f"probe/heal-{self._clock.random_bytes(8).hex()}/guard"
        try:
            target.store.put(guard, _GUARD)
            with contextlib.suppress(StoreConflict):
                pair.target.copy_from(pair.source, names.HEADER, guard)
                return False
            return target.store.get(guard, bytes_max=names.object_bytes_max(guard)) == _GUARD
        except STORE_ERRORS:
            return False
        finally:
            with contextlib.suppress(*STORE_ERRORS):
                target.store.delete(guard, ANY_OBJECT)

    def _copying(self, replica: Replica) -> Copying | None:
        if replica.name not in self._stores:
            try:
                self._stores[replica.name] = open_bare_store(
                    self._config, self._config.replicas[replica.name], self._clock
                )
            except OPENING_ERRORS:
                self._stores[replica.name] = None
        store: object = self._stores[replica.name]
        return store.copying() if isinstance(store, HasCopying) else None


def _is_whole(source: Replica, target: Replica, name: str, size: int) -> bool:
    copied = target.store.head(name)
    if copied.size != size:
        return False
    checksum = source.store.head(name).checksum
    if checksum and copied.checksum:
        return checksum == copied.checksum
    return hash_pieces(name, read_pieces(target.store, name, size)) == name.rpartition("/")[2]
