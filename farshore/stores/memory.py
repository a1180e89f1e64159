"""A store in this process's memory, for tests: `memory://NAME`. Its locks and archive hold for real."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farshore.clock import Clock
from farshore.errors import ObjectArchived, ObjectNotFound, StoreDenied
from farshore.limits import GIB, WHOLE_READ_BYTES_MAX
from farshore.stores.base import (
    ANY_OBJECT,
    Body,
    Capabilities,
    ObjectInfo,
    PutOutcome,
    Wanted,
    WithoutTrash,
    check_name,
    check_range,
    check_seen,
)
from farshore.stores.body import as_bytes, check_size, conflict
from farshore.stores.object_retention import (
    DEFAULT_RETENTION,
    Access,
    Lock,
    LockMode,
    LockState,
    ObjectRetention,
    lock_to_set,
)
from farshore.stores.one_by_one import OneByOne

ARCHIVE_CLASS = "ARCHIVE"


@dataclass
class Kept:
    """How one object is kept.

    `ready_utc` and `cold_utc`: from when to when an archived one can be read. `generation`: another one for each object
    that had its name.
    """

    storage_class: str = ""
    lock: Lock | None = None
    held: bool = False
    ready_utc: datetime | None = None
    cold_utc: datetime | None = None
    generation: int = 0


@dataclass
class Shelf:
    """The objects of one name: every store opened on it sees the same ones. `warm_s`: the duration of warming."""

    name: str = ""
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)  # of objects that are not kept plainly
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    warm_s: float = 3600.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@functools.cache
def shared_shelf(name: str) -> Shelf:
    """Return the shelf of this name, the same one at every call in this process."""
    return Shelf(name)


class MemoryStore(OneByOne, WithoutTrash):
    """Objects in a dict under a lock; gone with the process.

    Args:
        shelf: Where the objects are; a new, empty one when omitted.
    """

    capabilities = Capabilities(
        kind="memory",
        checksum="",
        object_bytes_max=2 * GIB,
        lock_modes=frozenset(LockMode),
        archive_classes=frozenset({ARCHIVE_CLASS}),
    )

    def __init__(self, *, shelf: Shelf | None = None, clock: Clock) -> None:
        self._shelf = shelf or Shelf()
        self._clock = clock
        self.url = f"memory://{self._shelf.name}"

    def __repr__(self) -> str:
        return f"MemoryStore({self.url!r})"

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        check_size(self, name, body)
        data = as_bytes(body)
        with self._shelf.lock:
            found = self._shelf.objects.get(check_name(name))
            if found is None:
                self._shelf.objects[name] = (data, self._clock.now_utc())
                self._shelf.kept[name] = Kept(
                    retention.storage_class, retention.lock, generation=next(self._shelf.generations)
                )
                return PutOutcome.CREATED
        if found[0] != data:
            raise conflict(self, name)
        if retention.lock is not None:
            self.extend_lock(name, retention.lock)
        return PutOutcome.PRESENT

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        check_range(offset, length)
        data, _ = self._find(name)
        kept = self._kept(name)
        if self._access(kept) is not Access.READY:
            raise ObjectArchived(f"{self.url}/{name} is in the storage class {kept.storage_class}")
        Wanted(f"{self.url}/{name}", offset, length, bytes_max).check(len(data) - offset)
        return data[offset : None if length is None else offset + length]

    def head(self, name: str) -> ObjectInfo:
        return self._info(name, *self._find(name))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._shelf.lock:
            found = sorted(item for item in self._shelf.objects.items() if item[0].startswith(prefix))
        for name, (data, modified_utc) in found:
            yield self._info(name, data, modified_utc)

    def delete(self, name: str, seen: str) -> None:
        check_seen(f"{self.url}/{name}", seen)
        kept = self._kept(name)
        with self._shelf.lock:
            if seen not in (ANY_OBJECT, str(kept.generation)) or self._shelf.kept.get(name) is not kept:
                return
            if kept.held:
                raise StoreDenied(f"{self.url}/{name} is under a legal hold")
            if kept.lock is not None and kept.lock.until_utc > self._clock.now_utc():
                raise StoreDenied(f"{self.url}/{name} is locked until {kept.lock.until_utc}")
            self._shelf.objects.pop(name, None)
            self._shelf.kept.pop(name, None)

    def lock_state(self, name: str) -> LockState:
        self._find(name)
        kept = self._kept(name)
        return LockState(kept.lock, kept.held)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        self._find(name)
        kept = self._kept(name)
        with self._shelf.lock:
            kept.lock = lock_to_set(kept.lock, lock, self.capabilities.lock_step_s) or kept.lock or lock
            return kept.lock

    def set_hold(self, name: str, *, held: bool) -> None:
        self._find(name)
        self._kept(name).held = held

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self._find(name)
        kept = self._kept(name)
        with self._shelf.lock:
            if self._access(kept) is Access.ARCHIVED:
                kept.ready_utc = self._clock.now_utc() + timedelta(seconds=self._shelf.warm_s)
                kept.cold_utc = kept.ready_utc + timedelta(days=days)

    def now_utc(self) -> datetime:
        return self._clock.now_utc()

    def close(self) -> None:
        """Release nothing: the objects stay for the next store on the same shelf."""

    def _find(self, name: str) -> tuple[bytes, datetime]:
        with self._shelf.lock:
            found = self._shelf.objects.get(check_name(name))
        if found is None:
            raise ObjectNotFound(f"{self.url}/{name} is not there")
        return found

    def _kept(self, name: str) -> Kept:
        with self._shelf.lock:
            return self._shelf.kept.setdefault(check_name(name), Kept())

    def _access(self, kept: Kept) -> Access:
        if kept.storage_class not in self.capabilities.archive_classes:
            return Access.READY
        if kept.ready_utc is None or kept.cold_utc is None or self._clock.now_utc() >= kept.cold_utc:
            return Access.ARCHIVED
        return Access.READY if self._clock.now_utc() >= kept.ready_utc else Access.WARMING

    def _info(self, name: str, data: bytes, modified_utc: datetime) -> ObjectInfo:
        kept = self._kept(name)
        return ObjectInfo(
            name=name,
            size=len(data),
            modified_utc=modified_utc,
            storage_class=kept.storage_class,
            access=self._access(kept),
            seen=str(kept.generation),
        )
