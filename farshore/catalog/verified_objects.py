"""Runs verified against the hash in a commit: manifests and page maps.

Whole ones are fetched once, into the local cache, and hashed; one that is too large for that is read by frames, each of
which proves itself. From an `ObjectSource` of several replicas every request is answered by whichever gives a good
copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from farshore import limits
from farshore.catalog.data_keys import RunKeys
from farshore.catalog.kept_runs import is_whole_copy
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.format.commit import CommitHead, RunRef
from farshore.format.manifest import ManifestReader
from farshore.handles import Handle
from farshore.replicas.object_pieces import check_digest, checked_pieces, hash_pieces, piece_ranges
from farshore.replicas.repository import Decoded, ObjectSource, Replica, Repository
from farshore.sealed.sealed_object import Fetch, ObjectKey, SealedKind, SealedReader


def open_manifest(
    repository: Repository, source: ObjectSource, commit: CommitHead, data_keys: RunKeys
) -> ManifestReader:
    """Return a snapshot's manifest, downloaded once into the local cache and read from there."""
    return ManifestReader(open_verified(repository, source, commit.manifest, data_keys, SealedKind.MANIFEST))


def open_verified(
    repository: Repository, source: ObjectSource, ref: RunRef, data_keys: RunKeys, kind: SealedKind
) -> SealedReader:
    """Return an object's payload as a file: from the cache when it has the expected hash, else from a replica."""
    path = _cached(repository, ref) or _download(repository, source, ref)
    if path is not None:
        here = fetch_of_file(path)
        return data_keys.open(lambda key: open_sealed(repository, here, ref, key.secret, kind))
    data_keys.require()

    def opened(replica: Replica) -> tuple[SealedReader, _FarFetch]:
        fetch = _FarFetch(replica, ref.name)
        return data_keys.open(lambda key: open_sealed(repository, fetch, ref, key.secret, kind)), fetch

    # A header proves itself with the first frame alone, so both come from one replica, and all others from any.
    reader, fetch = source.ask(ref.name, opened, size=limits.FRAME_BYTES)
    fetch.source = source
    return reader


def read_sealed_head(repository: Repository, source: ObjectSource, ref: RunRef, length: int) -> bytes:
    """Return the first bytes of an object, of the cached copy where there is one."""
    path = _cached(repository, ref) or _download(repository, source, ref)
    if path is not None:
        return fetch_of_file(path)(0, length, bytes)
    return source.get(ref.name, bytes, size=length, length=length)


def open_sealed(
    repository: Repository, fetch: Fetch, ref: RunRef, secret: bytes | ObjectKey, kind: SealedKind
) -> SealedReader:
    """Return the payload of a sealed object as a file."""
    return SealedReader(
        fetch=fetch, sealed_bytes=ref.bytes, secret=secret, kind=kind, name=names.RUNS,
        repository_id=repository.writing_keys().repository_id,
    )  # fmt: skip


def fetch_of_file(path: Path) -> Fetch:
    """Return how to read a sealed object from a file."""
    handle = Handle(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # closes with the last reader that holds it

    def fetch(offset: int, length: int, check: Callable[[bytes], Decoded], /) -> Decoded:
        return check(os.pread(handle.fd, length, offset))

    return fetch


class _FarFetch:
    """Reads ranges of an object at its replicas."""

    def __init__(self, source: ObjectSource, name: str) -> None:
        self.source = source
        self._name = name

    def __call__(self, offset: int, length: int, check: Callable[[bytes], Decoded], /) -> Decoded:
        return self.source.get(self._name, check, size=length, offset=offset, length=length)


def _cached(repository: Repository, ref: RunRef) -> Path | None:
    path = repository.cache.path(ref.name)
    if path is not None and not is_whole_copy(path, ref):
        repository.cache.drop(ref.name)
        return None
    return path


def _download(repository: Repository, source: ObjectSource, ref: RunRef) -> Path | None:
    """Fetch an object into the cache and return its file; None where it is too large, or the cache cannot be written.

    Raises:
        FarshoreError: No copy has the hash in the commit.
    """
    if ref.bytes > limits.CACHED_OBJECT_BYTES_MAX:
        return None
    try:
        repository.cache.put_pieces(ref.name, _verified_pieces(source, ref))
    except ObjectCorrupt:
        if ref.bytes <= limits.OBJECT_PIECE_BYTES:
            raise

        # Pieces of several replicas, and one of them is wrong: who gives the whole alone shows whose.
        def whole(replica: Replica) -> None:
            repository.cache.put_pieces(ref.name, _verified_pieces(replica, ref))

        source.ask(ref.name, whole, size=ref.bytes)
    return repository.cache.path(ref.name)


def _verified_pieces(source: ObjectSource, ref: RunRef) -> Iterator[bytes]:
    """Yield an object in pieces, because a manifest may be larger than all else in memory.

    Raises:
        ObjectCorrupt: At the end, when the pieces do not have the hash in the commit.
    """
    pieces = (
        source.get(ref.name, partial(_of_length, ref, length), size=length, offset=offset, length=length)
        for offset, length in piece_ranges(ref.bytes)
    )
    if ref.bytes > limits.OBJECT_PIECE_BYTES:
        yield from checked_pieces(pieces, ref.blake3, ref.name)
        return

    def check_whole(data: bytes) -> bytes:
        check_digest(ref.name, hash_pieces(ref.name, [_of_length(ref, ref.bytes, data)]), ref.blake3)
        return data

    yield source.get(ref.name, check_whole, size=ref.bytes)


def _of_length(ref: RunRef, length: int, data: bytes) -> bytes:
    if len(data) != length:
        raise ObjectCorrupt(f"{ref.name} is cut short")
    return data
