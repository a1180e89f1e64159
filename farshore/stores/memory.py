"""A store in this process's memory, for tests and trials: `memory://NAME`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from farshore.clock import Clock
from farshore.errors import ObjectNotFound
from farshore.limits import GIB
from farshore.stores.base import Body, Capabilities, ObjectInfo, PutOutcome, check_name, check_range
from farshore.stores.body import as_bytes, conflict


@dataclass
class Shelf:
    """The objects of one name: every store opened on it sees the same ones."""

    name: str = ""
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@functools.cache
def shared_shelf(name: str) -> Shelf:
    """Return the shelf of this name, the same one at every call in this process."""
    return Shelf(name)


class MemoryStore:
    """Objects in a dict under a lock; gone with the process.

    Args:
        shelf: Where the objects are; a new, empty one when omitted.
    """

    capabilities = Capabilities(
        kind="memory", atomic_put=True, checksum="", survives_power_loss=False, object_bytes_max=2 * GIB
    )

    def __init__(self, *, shelf: Shelf | None = None, clock: Clock) -> None:
        self._shelf = shelf or Shelf()
        self._clock = clock
        self.url = f"memory://{self._shelf.name}"

    def __repr__(self) -> str:
        return f"MemoryStore({self.url!r})"

    def put(self, name: str, body: Body) -> PutOutcome:
        data = as_bytes(body)
        with self._shelf.lock:
            found = self._shelf.objects.get(check_name(name))
            if found is None:
                self._shelf.objects[name] = (data, self._clock.now_utc())
                return PutOutcome.CREATED
        if found[0] != data:
            raise conflict(self, name)
        return PutOutcome.PRESENT

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        check_range(offset, length)
        data, _ = self._find(name)
        return data[offset : None if length is None else offset + length]

    def head(self, name: str) -> ObjectInfo:
        data, modified_utc = self._find(name)
        return ObjectInfo(name=name, size=len(data), modified_utc=modified_utc)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._shelf.lock:
            found = sorted(item for item in self._shelf.objects.items() if item[0].startswith(prefix))
        for name, (data, modified_utc) in found:
            yield ObjectInfo(name=name, size=len(data), modified_utc=modified_utc)

    def delete(self, name: str) -> None:
        with self._shelf.lock:
            self._shelf.objects.pop(check_name(name), None)

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
