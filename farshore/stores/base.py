"""The contract of a store: one bucket prefix, container prefix or directory that holds objects by name.

Every store and every wrapper obeys it, and tests/contract runs one suite over all of them. It is small on purpose:
put-if-absent, get a range, head, list, delete. What a provider can or cannot do is data (`Capabilities`), not a method.

Rules that hold for every method:
- Names are relative to the store's prefix: ASCII letters, digits, `.`, `_`, `-`, `=` and `/`; no empty part, no `..`.
- A reader sees all of an object or none of it, never a part.
- Safe for concurrent use by many threads; connections are reused.
- Blocks at most for the time-outs it was opened with; a store itself never retries (the retrying wrapper does).
- Raises only `farshore.errors`: StoreUnavailable (retry is safe), StoreDenied, StoreFull, BucketNotFound,
  ObjectNotFound, StoreConflict, ObjectCorrupt. No SDK exception leaves a store module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from farshore.errors import Bug

Body = bytes | bytearray | memoryview | Path

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-=/")
NAME_LENGTH_MAX = 512  # with a prefix this stays under the 1,024 bytes that S3, GCS and Azure allow

# What SDKs raise when an answer is not the service's: a gateway's page, a login form, half a document.
NONSENSE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class PutOutcome(StrEnum):
    """Whether this call made the object, or found the same bytes there."""

    CREATED = "created"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store tells of an object without sending it.

    `checksum` is the provider's own digest of the object's bytes as `algorithm:hex` (for instance `crc64nvme:…`,
    `crc32c:…`, `md5:…`, `sha256:…`), or empty where the provider has none for this object.
    """

    name: str
    size: int
    modified_utc: datetime | None = None
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this kind of store does, as data.

    `atomic_put`: two writers of one new name never both win. `checksum`: the algorithm sent with every put, which the
    service verifies before it acknowledges, or empty. `survives_power_loss`: an acknowledged object is durable.
    """

    kind: str  # s3 | gcs | azure | directory | memory
    atomic_put: bool
    checksum: str
    survives_power_loss: bool
    object_bytes_max: int


class Store(Protocol):
    """One place that holds a replica. See the module's docstring for the rules that every method obeys."""

    @property
    def url(self) -> str:
        """The place, without any secret."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this store does, as data."""
        ...

    def put(self, name: str, body: Body) -> PutOutcome:
        """Store one immutable object; do nothing if the same bytes are already there.

        Atomic: uses the service's own conditional write, with a checksum that the service verifies, and parts for a
        body above `MULTIPART_BYTES_MIN`. Safe to repeat, also after a lost reply: when the name turns out to exist,
        its size and bytes (or provider checksum) are compared before the answer. A `Path` is read, never changed.

        Returns:
            CREATED, or PRESENT when an object of this name with the same bytes was there.
        Raises:
            StoreConflict: The name exists with other bytes; nothing was changed. Never retry.
            StoreUnavailable: Passing; a retry is safe.
            StoreFull: No space is left; no partial object is visible.
        """
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, or all from there; shorter only where the object ends.

        Raises:
            ObjectNotFound: No such object.
            StoreUnavailable: Passing, which includes a body cut short by the connection.
        """
        ...

    def head(self, name: str) -> ObjectInfo:
        """Return what is known of one object.

        Raises:
            ObjectNotFound: No such object.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose name starts with `prefix`, in order of name (by code point), through all pages.

        An empty answer means only that the service named nothing: callers treat it as no evidence of absence.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete one object; do nothing if it is not there. Called by prune and mending, never on the backup path."""
        ...

    def now_utc(self) -> datetime:
        """Return the store's own idea of the time (the service's clock), for measuring skew."""
        ...

    def close(self) -> None:
        """Release connections. Safe to repeat."""
        ...


def is_name(name: str) -> bool:
    """Return whether this is a legal object name."""
    parts = name.split("/")
    return (
        len(name) <= NAME_LENGTH_MAX
        and _NAME_CHARACTERS.issuperset(name)
        and not any(part in ("", ".", "..") for part in parts)
    )


def check_name(name: str) -> str:
    """Return `name`, or raise `Bug` if it is no legal object name. Names are made by us, never by a user."""
    if not is_name(name):
        raise Bug(f"not an object name: {name!r}")
    return name


def check_range(offset: int, length: int | None) -> None:
    """Raise `Bug` if this is no range of bytes."""
    if offset < 0 or (length is not None and length < 0):
        raise Bug(f"not a range of bytes: offset {offset}, length {length}")
