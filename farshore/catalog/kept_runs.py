"""Runs of earlier snapshots that a new one names again: whether they can be, and how a replica that lacks one gets it.

Objects are never overwritten, so a run that a replica holds with another size cannot be put right there by a backup;
in case of doubt a new run is written, which is larger and needs no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from farshore import limits
from farshore.catalog.inventory import copy_object
from farshore.errors import CACHED_READ_ERRORS, ObjectNotFound, StateUnknown
from farshore.format.commit import RunRef
from farshore.replicas.object_pieces import checked_pieces, hash_pieces, read_pieces
from farshore.replicas.repository import Replica, Repository


def may_be_kept(
    replicas: Collection[Replica],
    refs: Iterable[RunRef],
    condemned: Collection[str] = (),
    files: Mapping[str, Path] = MappingProxyType({}),
) -> bool:
    """Whether no plan condemns one of these runs, each is somewhere, and no replica holds one with another size.

    One that a replica lacks is given to it later. One request for each run at each replica; a replica that cannot be
    asked decides nothing.

    Args:
        files: Files of this host that may be whole copies, by the name of the run.
    """
    for ref in refs:
        sizes = [size for replica in replicas if (size := _size_at(replica, ref)) is not None]
        if ref.name in condemned or any(size != ref.bytes for size in sizes):
            return False
        if not sizes and not (ref.name in files and is_whole_copy(files[ref.name], ref)):
            return False
    return True


def give_run(
    repository: Repository,
    replica: Replica,
    others: Sequence[Replica],
    ref: RunRef,
    checksums: dict[str, str],
    files: Mapping[str, Path],
) -> int:
    """Copy a run to a replica that lacks it, from this host or else from another replica; return the bytes copied.

    Repeatable. Notes the provider's own checksum of it, by name. Memory: one piece of it.

    Args:
        files: Files of this host that may be whole copies, by the name of the run.

    Raises:
        StateUnknown: The replica holds other bytes under its name, or no whole copy is left.
        StoreUnavailable, StoreFull, StoreDenied: This replica cannot be given it now.
    """
    try:
        info = replica.store.head(ref.name)
    except ObjectNotFound:
        path = files.get(ref.name) or repository.cache.path(ref.name)
        if path is None or not is_whole_copy(path, ref):
            path = _fetched(repository, others, ref)
        if path is None:
            return copy_object(ref.name, others, replica)
        replica.store.put(ref.name, path)
        return ref.bytes
    if info.checksum:
        checksums[ref.name] = info.checksum
    if info.size != ref.bytes:
        raise StateUnknown(f"{replica.name} holds {ref.name} with {info.size} bytes, not {ref.bytes}")
    return 0


def is_whole_copy(path: Path, ref: RunRef) -> bool:
    """Whether a file is there with the size and hash in a commit."""
    try:
        with path.open("rb", buffering=0) as file:
            digest = hash_pieces(ref.name, iter(partial(file.read, limits.OBJECT_PIECE_BYTES), b""))
            return file.tell() == ref.bytes and digest == ref.blake3
    except OSError:
        return False


def _fetched(repository: Repository, others: Sequence[Replica], ref: RunRef) -> Path | None:
    """Fetch a run into the cache of this host; None where that cannot be, or it is small enough for memory."""
    if ref.bytes <= limits.OBJECT_PIECE_BYTES:
        return None
    for other in others:
        try:
            pieces = read_pieces(other.store, ref.name, ref.bytes)
            repository.cache.put_pieces(ref.name, checked_pieces(pieces, ref.blake3, ref.name))
        except CACHED_READ_ERRORS:
            continue  # the next one may have it; where none has, the copy that follows says why
        return repository.cache.path(ref.name)
    return None


def _size_at(replica: Replica, ref: RunRef) -> int | None:
    """Return the size of a run at a replica; None where it is not, or the replica cannot be asked."""
    try:
        return replica.store.head(ref.name).size
    except CACHED_READ_ERRORS:  # among them that it is not there; a full one may answer so to anything
        return None
