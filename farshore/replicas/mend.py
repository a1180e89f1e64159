"""Mending one object at one replica: the second place, besides prune, that may remove an object. Decision 0008.

An object is removed only where it is proven damaged: its bytes were read in full, twice alike, and do not hash to what
they must be, while the good bytes, hashed, are at hand. Never on the word of a listing, a size or a checksum. Nothing
is overwritten in place: the damaged object is removed, and the good one is put on the condition that its name is free.
A process killed in between leaves an object missing, which the next heal mends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
from farshore.replicas.object_pieces import hash_pieces, read_pieces
from farshore.replicas.repository import Replica
from farshore.results import Found, RepairAction
from farshore.stores.base import ANY_OBJECT, PlainBody, Store
from farshore.stores.body import body_bytes, body_pieces


@dataclass(frozen=True, slots=True)
class Mended:
    """The outcome of mending one object. `bytes`: put; `blake3_found`: hash of the damaged bytes that were read."""

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


def mend(replica: Replica, name: str, body: PlainBody, *, blake3_hex: str, remove: bool = True) -> Mended:
    """Make sure that a replica holds an object with exactly these bytes. Repeatable: a good object is left alone.

    Not atomic: an object that is replaced is missing for a moment, and stays so if the process is killed then. Two that
    mend one object at once end with the good one. From many threads for different objects. Memory: a few MiB.

    Args:
        body: The good bytes, or a file of them; hashed here before anything else happens.
        blake3_hex: Their expected hash: the object's own name, or the hash in a commit record.
        remove: Whether a damaged object may be removed at all; else it is `left`.

    Returns:
        The state found and the action. A refused removal, or a refused put after it, is a result, not an error.
    Raises:
        ObjectCorrupt: `body` is not the good copy; nothing was asked of the replica.
        StoreUnavailable, StoreDenied, StoreFull: The object could not be read, or a missing one not be put.
        StateUnknown: The object that was put does not read back.
    """
    size = body_bytes(body)
    if _hash_of(name, body) != blake3_hex:
        raise ObjectCorrupt(f"the copy of {name} at hand is damaged itself, so nothing was mended with it")
    there = _read(replica.store, name)
    if there is None:
        _put(replica, name, body, blake3_hex)
        return Mended(Found.MISSING, RepairAction.COPIED, size)
    digest, length = there
    if digest == blake3_hex:
        return Mended(Found.SOUND, RepairAction.NONE)
    found = Found.TRUNCATED if length < size else Found.ALTERED
    damage = f"it has {length} bytes, not {size}" if length != size else "its bytes do not hash to what they must"
    if not remove:
        return Mended(found, RepairAction.LEFT, 0, digest, damage)
    if _read(replica.store, name) != there:  # memory, a cable or a cache may have garbled a good object
        raise StoreUnavailable(f"{replica.name} gives other bytes of {name} each time it is read")
    kept = _kept_by(replica, name)
    if kept:
        detail = f"{damage}; it may not be removed: {kept}"
        return Mended(found, RepairAction.REFUSED, 0, digest, detail, StoreDenied(f"{replica.name}: {name}: {kept}"))
    try:
        with replica.guard.admit(name):
            replica.store.delete(name, ANY_OBJECT)
    except Denied as error:
        return Mended(found, RepairAction.REFUSED, 0, digest, f"{damage}; it may not be removed: {error}", error)
    except FarshoreError as error:
        return Mended(
            found, RepairAction.LEFT, 0, digest, f"{damage}; its removal failed, or its reply was lost", error
        )
    try:
        _put(replica, name, body, blake3_hex)
    except FarshoreError as error:  # the caller must report the loss, so this is a result
        return Mended(found, RepairAction.REMOVED, 0, digest, f"{damage}; it was removed, and not put: {error}", error)
    return Mended(found, RepairAction.REPLACED, size, digest, damage)


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
    there = _read(replica.store, name)
    if there is None or there[0] != blake3_hex:
        raise StateUnknown(f"{replica.name} acknowledged {name} and does not return it as it was written")


def _read(store: Store, name: str) -> tuple[str, int] | None:
    """Return the hash and length of an object read to its end, or None where there is none."""
    try:
        size = store.head(name).size
        return hash_pieces(name, read_pieces(store, name, size)), size
    except ObjectNotFound:
        return None


def _hash_of(name: str, body: PlainBody) -> str:
    return hash_pieces(name, body_pieces(body)) if isinstance(body, Path) else hash_object(name, body)
