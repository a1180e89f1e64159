"""The contract of a store: one bucket prefix, container prefix or directory that holds objects by name.

Every store and every wrapper obeys it, and tests/contract runs one suite over all of them. It is small on purpose:
put-if-absent, get a range, head, list, delete, and the locks and holds of an object. A provider's abilities
are data (`Capabilities`), not a method.

Rules that hold for every method:
- Names are relative to the store's prefix: ASCII letters, digits, `.`, `_`, `-`, `=` and `/`; no empty part, no `..`.
- A reader sees all of an object or none of it, never a part.
- Safe for concurrent use by many threads; connections are reused.
- Blocks at most for the time-outs it was opened with; a store itself never retries (the retrying wrapper does).
- Raises only `farshore.errors`: StoreUnavailable (retry is safe; `wait_s` where the service asked for one),
  StoreDenied, StoreFull, BucketNotFound, ObjectNotFound, StoreConflict, ObjectCorrupt, ObjectArchived (warm it first),
  DeleteUnsupported, and of locks LockDenied and LockUnsupported; of wrappers also StorePaused (retry is safe) and
  StoreReadOnly. No SDK exception leaves a store module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from farshore import limits
from farshore.errors import Bug, DeleteUnsupported, FarshoreError, ObjectTooLarge, StoreDenied
from farshore.host_resources import memory_bytes
from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.object_retention import DEFAULT_RETENTION, Access, Lock, LockMode, LockState, ObjectRetention

Entry = TypeVar("Entry")
SeenObjects = Sequence[tuple[str, str]]  # names, each with the `ObjectInfo.seen` of an object
DeletionErrors = list[FarshoreError | None]  # one for each object; None where it is gone
PlainBody = bytes | bytearray | memoryview | Path


class Pace(Protocol):
    """Something that lets bytes pass at a rate. Safe from many threads."""

    @property
    def piece_bytes(self) -> int:
        """Bytes to send between two calls of `consume`."""
        ...

    def consume(self, count: int) -> None:
        """Wait until `count` more bytes may pass."""
        ...


class PacedBody:
    """A body that its store sends at a pace. Hashing and comparing use the body inside and do not wait."""

    def __init__(self, body: Body, pace: Pace) -> None:
        self.body: PlainBody = body.body if isinstance(body, PacedBody) else body
        self._pace = pace
        self.consumed_bytes = 0  # sent so far

    @property
    def piece_bytes(self) -> int:
        """How much to send at once."""
        return self._pace.piece_bytes

    def consume(self, count: int) -> None:
        """Wait until `count` more bytes may be sent."""
        self._pace.consume(count)
        self.consumed_bytes += count


Body = PlainBody | PacedBody


@runtime_checkable
class AsksAhead(Protocol):
    """A store that can begin to list what is wanted soon."""

    def ask_ahead(self, prefixes: Iterable[str] = (), heads: Iterable[str] = (), *, again: bool = False) -> None:
        """Begin to list each prefix and to look at each name, and do not wait.

        The next `list` or `head` of it gets that answer, as of some moment after this call; its errors are raised then.

        Args:
            again: Ask anew for what was asked ahead before and is not used yet.
        """
        ...


def plain(body: Body) -> PlainBody:
    """Return a body without its pace."""
    return body.body if isinstance(body, PacedBody) else body


def body_bytes(body: Body) -> int:
    """Return how many bytes a body has."""
    body = plain(body)
    if isinstance(body, Path):
        with readable(body):
            return body.stat().st_size
    return body.nbytes if isinstance(body, memoryview) else len(body)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Keep trouble with our own file apart from trouble with the store: one is no reason to give up the other."""
    try:
        yield
    except OSError as error:
        raise Bug(f"a file made for upload cannot be read: {path}: {(error.strerror or str(error)).lower()}") from error


ANY_OBJECT = "*"  # for `Store.delete`: whichever is there now; no store has it as `ObjectInfo.seen`

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-=/")
NAME_LENGTH_MAX = 512  # with a prefix this stays under the 1,024 bytes that S3, GCS and Azure allow

# SDKs raise these when an answer is not the service's: a gateway's page, a login form, half a document.
NONSENSE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class PutOutcome(StrEnum):
    """Whether this call made the object, or found the same bytes there."""

    CREATED = "created"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The description of an object, without its bytes.

    `checksum` is the provider's own digest of the object's bytes as `algorithm:hex` (for instance `crc64nvme:…`,
    `crc32c:…`, `md5:…`, `sha256:…`), or empty where the provider has none for this object. `storage_class` is the
    provider's word, empty where it has none. `seen` says which object it was that had the name, for `Store.delete`:
    `head` gives it wherever the store can say, and a listing where it costs nothing. Nothing else may be read from it.
    """

    name: str
    size: int
    modified_utc: datetime | None = None
    checksum: str = ""
    storage_class: str = ""
    access: Access = Access.READY
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The bytes of an object that a call asks for: `length` of them from `offset`, or all, up to `bytes_max`.

    `place` names the object in errors.
    """

    place: str
    offset: int
    length: int | None
    bytes_max: int

    @property
    def whole(self) -> bool:
        """Whether all of the object is wanted."""
        return not self.offset and self.length is None

    @property
    def range_header(self) -> str:
        """The bytes as HTTP names them; empty where all are wanted."""
        if self.whole:
            return ""
        return f"bytes={self.offset}-{'' if self.length is None else self.offset + self.length - 1}"

    def check(self, size: int) -> None:
        """Raise `ObjectTooLarge` where all bytes from `offset` on are wanted and they are more than the limit."""
        if self.length is None and size > self.bytes_max:
            raise ObjectTooLarge(f"{self.place} has {size:,} bytes or more where at most {self.bytes_max:,} can be")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Abilities of a kind of store, as data.

    `checksum`: the algorithm sent with every put, which the service verifies before it acknowledges, or empty.
    `object_bytes_max`: a put of more is refused with `StoreFull` before anything is sent. `lock_modes` is empty where
    objects cannot be locked; `lock_step_s`: a lock is not extended by less than this. An object in one of
    `archive_classes` must be warmed before it can be read.

    These are of the kind. Whether one bucket is set up for locks is in `probe_capability.BucketSettings`.
    """

    kind: str  # s3 | gcs | azure | directory | memory
    checksum: str
    object_bytes_max: int
    checksum_listed: bool = False  # a listing has the checksum of each object: no `head` is needed for it
    lock_modes: frozenset[LockMode] = frozenset()
    lock_step_s: float = 0.0
    archive_classes: frozenset[str] = frozenset()
    delete_batch: int = 1  # objects that one request of `Store.delete_many` deletes


@dataclass(frozen=True, slots=True)
class Trash:
    """What a store keeps of objects that were deleted as they were seen. `oldest_utc`: when the first of them was."""

    objects: int = 0
    bytes: int = 0
    oldest_utc: datetime | None = None


NO_TRASH = Trash()


class Store(Protocol):
    """One place that holds a replica. See the module's docstring for the rules that every method obeys."""

    @property
    def url(self) -> str:
        """The place, without any secret."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of this store, as data."""
        ...

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        """Store one immutable object; do nothing if the same bytes are already there.

        Atomic: uses the service's own conditional write, with a checksum that the service verifies, and parts for a
        body above `MULTIPART_BYTES_MIN`. Safe to repeat, also after a lost reply: when the name turns out to exist,
        its size and bytes (or provider checksum) are compared before the answer. A `Path` is read, never changed.

        Args:
            retention: The lock holds from the moment that the object is there; an object that was there is locked as by
                `extend_lock`, and keeps its storage class.
        Returns:
            CREATED, or PRESENT when an object of this name with the same bytes was there.
        Raises:
            StoreConflict: The name exists with other bytes; nothing was changed. Never retry.
            StoreUnavailable: Passing; a retry is safe.
            StoreFull: No space is left, or the body is larger than an object here can be; no partial object is visible.
            LockUnsupported, LockDenied: It cannot be locked as asked, here or with this credential.
        """
        ...

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        """Return `length` bytes from `offset`, or all from there; shorter only where the object ends, never longer.

        Args:
            bytes_max: Of the answer where `length` is None: the limit of the object's kind
                (`farshore.format.names`). More is refused by the announced size before any of it is read, and where
                that is missing or wrong, with the first byte beyond the limit.
        Raises:
            ObjectNotFound: No such object; also a FIFO, device or folder in its place.
            ObjectTooLarge: It has more than `bytes_max` bytes.
            StoreUnavailable: Passing, which includes a body cut short by the connection, and one slower than
                `READ_RATE_MIN`.
            ObjectArchived: It is whole, and cannot be read before it was warmed.
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

    def delete(self, name: str, seen: str) -> None:
        """Delete the object that was seen under a name; do nothing if it is not there any more.

        Atomic: another object that was put under the name meanwhile stays, also one with the same bytes. Safe to
        repeat. For good, also where the bucket keeps versions; a directory moves an object that was seen to its trash.
        Called by prune and mending, never on the backup path.

        Args:
            seen: `ObjectInfo.seen` of the object, or `ANY_OBJECT` for the one that is there now, whichever that is;
                where the bucket keeps versions, that one is hidden and its bytes stay, also those of a locked one.
        Raises:
            StoreDenied: A lock or hold keeps it, or the credential may not.
            DeleteUnsupported: `seen` is empty: this store cannot distinguish the objects of one name.
        """
        ...

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        """Delete several objects, each by its name and `seen` and as `delete` does; return the error of each.

        None: it is gone, or was not there any more. Not atomic: some may be gone where it
        raises. In requests for up to `Capabilities.delete_batch` objects; one by one where the service refuses these.

        Raises:
            StoreUnavailable: Passing; a retry is safe.
            DeleteUnsupported: Some `seen` is empty; nothing was deleted.
        """
        ...

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        """Return for several objects which each is now, `ObjectInfo.seen`; fewer requests than names where possible.

        Objects that are gone, or of which the store cannot say it, are left out.
        """
        ...

    def trash(self) -> Trash:
        """Return what is kept of deleted objects; only a directory keeps any."""
        ...

    def empty_trash(self, until_utc: datetime) -> Trash:
        """Delete for good what was moved to the trash until a moment, by the store's time; return what is left."""
        ...

    def lock_state(self, name: str) -> LockState:
        """Return lock and hold of one object, as the service reports them now.

        Raises:
            ObjectNotFound: No such object.
            LockDenied: The credential may not look, so nothing is known.
        """
        ...

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        """Lock one object until `lock.until_utc` at least. Never shortens, never weakens; safe to repeat.

        Returns:
            The lock that now holds: it may reach further or be stricter than asked, or fall short by less than
            `capabilities.lock_step_s`.
        Raises:
            ObjectNotFound: No such object.
            LockUnsupported: Objects cannot be locked here.
            LockDenied: The service refused, and what it has is not enough.
        """
        ...

    def set_hold(self, name: str, *, held: bool) -> None:
        """Put a legal hold on one object, or lift it; safe to repeat. Errors are those of `extend_lock`."""
        ...

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        """Ask for an archived object to be made readable for some days; do nothing for one that can be read.

        Safe to repeat: `head` shows when it is done. Costs what the provider asks for it.

        Args:
            tier: How fast, in the provider's words; its own default when empty.
        Raises:
            ObjectNotFound: No such object.
            StoreDenied: The credential may not, or the service does not know the tier.
        """
        ...

    def now_utc(self) -> datetime:
        """Return the store's own idea of the time (the service's clock), for measuring skew."""
        ...

    def close(self) -> None:
        """Release connections. Safe to repeat."""
        ...


class WithoutTrash:
    """The two verbs of a store that keeps nothing of what was deleted."""

    def trash(self) -> Trash:
        return NO_TRASH

    def empty_trash(self, until_utc: datetime) -> Trash:
        return NO_TRASH


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


def check_seen(place: str, seen: str) -> None:
    """Raise `DeleteUnsupported` where it is not known which object of a name was seen."""
    if not seen:
        raise DeleteUnsupported(f"{place} was not deleted: this store cannot tell it from one put there since")


def check_range(offset: int, length: int | None) -> None:
    """Raise `Bug` if this is no range of bytes."""
    if offset < 0 or (length is not None and length < 0):
        raise Bug(f"not a range of bytes: offset {offset}, length {length}")


def entries_of(pages: Iterable[Iterable[Entry]], place: str) -> Iterator[Entry]:
    """Yield the entries of all pages of a listing.

    Raises:
        StoreDenied: More pages than a service may skip were empty, one after the other.
    """
    empty = 0
    for page in pages:
        empty += 1
        for entry in page:
            empty = 0
            yield entry
        if empty > limits.LIST_EMPTY_PAGES_MAX:
            raise StoreDenied(f"list {place}: {empty} pages without an object, and there are to be more")


def in_order(found: Iterator[ObjectInfo], place: str) -> Iterator[ObjectInfo]:
    """Yield `found` unchanged while it is in order of name.

    S3, GCS and Azure list by code point. Some that speak their languages list folder by folder instead (`a/b` before
    `a-b`); merging two listings, or going on behind the last name after a failure, would then miss objects.

    Raises:
        StoreDenied: A name sorts before its predecessor, or equals it, or is longer than any service's; or there are
            more names than any repository has, or than the memory of this host has room for.
    """
    last, left = "", min(limits.LISTED_OBJECTS_MAX, memory_bytes() // limits.LISTED_OBJECT_BYTES)
    for info in found:
        left -= 1
        if left < 0 or len(info.name) > limits.LISTED_NAME_BYTES_MAX:
            fault = "a name of this length is none" if left >= 0 else "it has no end, or needs more memory than is here"
            raise StoreDenied(f"list {place}: stopped after {last!r}: {fault}")
        if info.name <= last:
            raise StoreDenied(
                f"list {place}: {info.name!r} came after {last!r}",
                "This service lists names out of order; use a prefix that holds nothing but this repository.",
            )
        last = info.name
        yield info
