"""Mending one object at one replica: the second place, besides prune, that may remove an object. Decision 0008.

An object is removed only where it is proven damaged: its bytes were read in full, twice alike, and do not hash to what
they must be, while the good bytes, hashed, are at hand; or a byte was read, twice, after as many as the good ones are.
Never on the word of a listing, a size or a checksum. What is removed is the object that was read, where the store can
distinguish objects of one name. Nothing is overwritten in place: the damaged object is removed, and the good one
is put on the condition that its name is free. A process killed in between leaves an object missing, which the next heal
mends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from farshore.errors import (
    Denied,
    FarshoreError,
    LockDenied,
    LockUnsupported,
    ObjectCorrupt,
    ObjectNotFound,
    StateUnknown,
    StoreDenied,
    StoreUnavailable,
)
from farshore.format.pack_id import hash_object
from farshore.model import dataclass
from farshore.replicas.object_pieces import hash_pieces, read_pieces
from farshore.replicas.repository import Replica
from farshore.results import Found, RepairAction
from farshore.stores.base import ANY_OBJECT, PlainBody, Store, body_bytes
from farshore.stores.body import body_pieces


@dataclass(frozen=True, slots=True)
class Mended:
    """The outcome of mending one object.

    `bytes`: put. `blake3_found`: hash of the damaged bytes that were read; empty where there were too many to read.
    """

    found: Found
    action: RepairAction
    bytes: int = 0
    blake3_found: str = ""
    detail: str = ""
    error: FarshoreError | None = None

    @property
    def whole(self) -> bool:
        """Whether the object is there and good now."""
        return self.action in (RepairAction.NONE, RepairAction.COPIED, RepairAction.REPLACED)


class _Seen(NamedTuple):
    """An object as it was read. `digest`: empty where it is longer than the good one."""

    digest: str
    size: int
    seen: str  # `ObjectInfo.seen`


def mend(
    replica: Replica, name: str, body: PlainBody, *, blake3_hex: str, remove: bool = True,
    refusal: Callable[[], str] = lambda: "",
) -> Mended:  # fmt: skip
    """Make sure that a replica holds an object with exactly these bytes. Repeatable: a good object is left alone.

    Not atomic: an object that is replaced is missing for a moment, and stays so if the process is killed then. Two that
    mend one object at once end with the good one. From many threads for different objects. Memory: a few MiB.
    At most three times the bytes of `body` are read.

    Args:
        body: The good bytes, or a file of them; hashed here before anything else happens.
        blake3_hex: Their expected hash: the object's own name, or the hash in a commit record.
        remove: Whether a damaged object may be removed at all; else it is `left`.
        refusal: Asked before anything is removed or put: why it must not be, or an empty text.

    Returns:
        The state found and the action. A refused removal, or a refused put after it, is a result, not an error.
    Raises:
        ObjectCorrupt: `body` is not the good copy; nothing was asked of the replica.
        StoreUnavailable, StoreDenied, StoreFull: The object could not be read, or a missing one not be put.
        StateUnknown: The object that was put does not read back.
        FarshoreError: As `refusal`.
    """
    size = body_bytes(body)
    if _hash_of(name, body) != blake3_hex:
        raise ObjectCorrupt(f"the copy of {name} at hand is damaged itself, so nothing was mended with it")
    there = _read(replica.store, name, size)
    if there is None:
        if reason := refusal():
            return Mended(Found.MISSING, RepairAction.LEFT, detail=reason)
        _put(replica, name, body, blake3_hex)
        return Mended(Found.MISSING, RepairAction.COPIED, size)
    digest, length = there.digest, there.size
    if digest == blake3_hex:
        return Mended(Found.SOUND, RepairAction.NONE)
    found = Found.TRUNCATED if length < size else Found.ALTERED
    damage = f"it has {length} bytes, not {size}" if length != size else "its bytes do not hash to what they must"
    if not remove:
        return Mended(found, RepairAction.LEFT, 0, digest, damage)
    if _read(replica.store, name, size) != there:  # memory, a cable or a cache may have garbled a good object
        raise StoreUnavailable(f"{replica.name} gives other bytes of {name} each time it is read")
    if reason := refusal():
        return Mended(found, RepairAction.LEFT, 0, digest, f"{damage}; {reason}")
    done = Mended(found, RepairAction.REPLACED, size, digest, damage)
    return _replace(replica, name, body, blake3_hex, done, there.seen)


def _replace(replica: Replica, name: str, body: PlainBody, blake3_hex: str, done: Mended, seen: str) -> Mended:
    """Remove the damaged object that was read, and put the good one; return `done` where both went well."""
    kept = _kept_by(replica, name)
    if kept:
        error: FarshoreError = StoreDenied(f"{replica.name}: {name}: {kept}")
        return _undone(done, RepairAction.REFUSED, f"it may not be removed: {kept}", error)
    try:
        with replica.guard.admit(name):
            _delete(replica.store, name, seen)
    except Denied as error:
        return _undone(done, RepairAction.REFUSED, f"it may not be removed: {error}", error)
    except FarshoreError as error:
        return _undone(done, RepairAction.LEFT, "its removal failed, or its reply was lost", error)
    try:
        _put(replica, name, body, blake3_hex)
    except FarshoreError as error:  # the caller must report the loss, so this is a result
        return _undone(done, RepairAction.REMOVED, f"it was removed, and not put: {error}", error)
    return done


def _delete(store: Store, name: str, seen: str) -> None:
    """Delete the object that was read, or what has its name where the store cannot distinguish them.

    Where a bucket keeps versions and the credential may not remove one, it is hidden: no lock was found on it.
    """
    if seen:
        try:
            store.delete(name, seen)
            return
        except StoreDenied:
            if store.capabilities.kind != "s3":
                raise
    store.delete(name, ANY_OBJECT)


def _undone(done: Mended, action: RepairAction, why: str, error: FarshoreError) -> Mended:
    return replace(done, action=action, bytes=0, detail=f"{done.detail}; {why}", error=error)


def _kept_by(replica: Replica, name: str) -> str:
    """Return what keeps an object from being removed, or an empty text.

    Asked although the service would refuse: a bucket with versions hides a locked object and says that it is done.
    """
    try:
        state = replica.store.lock_state(name)
    except (LockDenied, LockUnsupported, ObjectNotFound):
        return ""  # nothing is known, so the service decides
    if state.held:
        return "a legal hold is on it"
    if state.lock is not None and state.lock.until_utc > replica.store.now_utc():
        return f"it is locked until {state.lock.until_utc:%Y-%m-%d %H:%M} UTC"
    return ""


def _put(replica: Replica, name: str, body: PlainBody, blake3_hex: str) -> None:
    with replica.guard.admit(name):
        replica.store.put(name, body)
    there = _read(replica.store, name, body_bytes(body))
    if there is None or there.digest != blake3_hex:
        raise StateUnknown(f"{replica.name} acknowledged {name} and does not return it as it was written")


def _read(store: Store, name: str, bytes_max: int) -> _Seen | None:
    """Return the hash and length of an object read to its end, or None where there is none.

    Of a longer one than `bytes_max` the byte after these is read, which proves that it is longer.
    """
    try:
        info = store.head(name)
        if info.size > bytes_max and len(store.get(name, bytes_max, 1)) == 1:
            return _Seen("", info.size, info.seen)
        return _Seen(hash_pieces(name, read_pieces(store, name, info.size)), info.size, info.seen)
    except ObjectNotFound:
        return None


def _hash_of(name: str, body: PlainBody) -> str:
    return hash_pieces(name, body_pieces(body)) if isinstance(body, Path) else hash_object(name, body)
