"""Checksums of the bodies that stores sent, computed from the bytes in hand before they left.

A service reports its own checksum of an object later, too. Compared with the one sent, it shows that the object is the
one that was put; compared with an earlier answer of the service, it would show only that the service repeats itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from farshore.stores.base import Body


@dataclass(frozen=True, slots=True)
class AcknowledgedPut:
    """An object that a store acknowledged: its size, and the checksum that was sent, empty where none was."""

    bytes: int
    checksum: str  # algorithm:hex, as the store's `head` gives it


class PutChecksums:
    """The checksums of puts that are at work, by name. Safe from many threads.

    Args:
        digest: Computes the checksum of a body as the store's `head` gives it; None where the store has none.
    """

    def __init__(self, digest: Callable[[Body], str] | None = None) -> None:
        self._digest = digest
        self._lock = threading.Lock()
        self._checksums: dict[str, str] = {}

    def note(self, name: str, checksum: str) -> None:
        """Keep the checksum of a body that is about to leave."""
        with self._lock:
            self._checksums[name] = checksum

    def of(self, body: Body) -> str:
        """Return the checksum that the service must report for these bytes; empty where it reports none."""
        return self._digest(body) if self._digest else ""

    def pop(self, name: str) -> str:
        """Return and forget the checksum of a put that has ended; empty where none was noted."""
        with self._lock:
            return self._checksums.pop(name, "")


@runtime_checkable
class HasPutChecksums(Protocol):
    """A store that computes a checksum of every body before it sends it."""

    @property
    def put_checksums(self) -> PutChecksums:
        """The checksums of its puts."""
        ...
