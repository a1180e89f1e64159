"""The full page map that this run's map can be stored as a difference from.

A run needs it as a file on this host: when a snapshot that names it commits, replicas that lack it get a copy from
there. In case of doubt the run writes a full map, which is larger and needs no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from farshore import limits
from farshore.catalog.data_keys import check_named_key
from farshore.catalog.inventory import copy_object
from farshore.errors import READ_ERRORS, ObjectNotFound, StateUnknown
from farshore.format.commit import RunRef
from farshore.format.names import object_bytes_max
from farshore.format.needs import NeededKey
from farshore.format.page_maps import PageMap
from farshore.replicas.object_pieces import hash_pieces
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.data_key import DATA_KEY_BYTES
from farshore.sealed.sealed_object import ObjectKey


@dataclass(frozen=True, slots=True)
class FullPageMap:
    """A full page map: the object, its own key, the object of its run's data key, and its sealed bytes here."""

    ref: RunRef
    key: ObjectKey
    key_object: NeededKey
    file: Path
    pages: PageMap


def choose_pages_base(repository: Repository, previous: PageMap | None, base: FullPageMap | None) -> FullPageMap | None:
    """Return the full map to store this run's as a difference from, or None where a full one is due or safer.

    Asks each replica for two objects; one that cannot be asked decides nothing.
    """
    if previous is None or base is None or base.pages.bytes < limits.PAGE_MAP_BASE_BYTES_MIN:
        return None
    if previous.spent_with_it >= limits.PAGE_MAP_DIFFERENCES_MAX * base.pages.bytes:
        return None
    key_name = base.key_object.name
    key_is_whole = False
    for replica in repository.replicas.values():
        try:
            sealed = _read_if_there(replica, key_name)
            if not _may_hold(replica, base.ref) or len(sealed or bytes(DATA_KEY_BYTES)) != DATA_KEY_BYTES:
                return None  # objects are never overwritten, so it cannot be put right there
            if sealed is not None:
                check_named_key(key_name, sealed)
                key_is_whole = True
        except READ_ERRORS:
            continue
    return base if key_is_whole else None


def give_pages_base(replica: Replica, others: Sequence[Replica], base: FullPageMap, checksums: dict[str, str]) -> int:
    """Copy the base to a replica that lacks it, from this host or else from another replica; return the bytes copied.

    Repeatable. Notes the provider's own checksum of it, by name.

    Raises:
        StateUnknown: The replica holds other bytes under its name, or no whole copy is left.
        StoreUnavailable, StoreFull, StoreDenied: This replica cannot be given it now.
    """
    name = base.ref.name
    try:
        info = replica.store.head(name)
    except ObjectNotFound:
        if not is_whole_copy(base.file, base.ref):
            return copy_object(name, others, replica)
        replica.store.put(name, base.file)
        return base.ref.bytes
    if info.checksum:
        checksums[name] = info.checksum
    if info.size != base.ref.bytes:
        raise StateUnknown(f"{replica.name} holds {name} with {info.size} bytes, not {base.ref.bytes}")
    return 0


def is_whole_copy(path: Path, ref: RunRef) -> bool:
    """Whether a file is there with the size and hash in a commit."""
    try:
        with path.open("rb", buffering=0) as file:
            digest = hash_pieces(ref.name, iter(partial(file.read, limits.OBJECT_PIECE_BYTES), b""))
            return file.tell() == ref.bytes and digest == ref.blake3
    except OSError:
        return False


def _may_hold(replica: Replica, ref: RunRef) -> bool:
    """Whether an object is there with its size, or not there."""
    try:
        return replica.store.head(ref.name).size == ref.bytes
    except ObjectNotFound:
        return True


def _read_if_there(replica: Replica, name: str) -> bytes | None:
    try:
        return replica.store.get(name, bytes_max=object_bytes_max(name))
    except ObjectNotFound:
        return None
