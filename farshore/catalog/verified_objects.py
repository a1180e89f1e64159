"""Runs verified against the hash in a commit: those of manifests and page maps.

Whole ones are fetched once, into the local cache, and hashed; one that is too large for that, or of which few rows are
wanted, is read by frames, each of which proves itself. From an `ObjectSource` of several replicas every request is
answered by whichever gives a good copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from farshore import limits
from farshore.catalog.data_keys import RunKeys
from farshore.catalog.kept_runs import is_whole_copy
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.format.choosing import Choice
from farshore.format.commit import CommitHead, RunRef
from farshore.format.manifest import ManifestReader
from farshore.format.page_maps import PageMap
from farshore.handles import Handle
from farshore.replicas.object_pieces import check_digest, checked_pieces, hash_pieces, piece_ranges
from farshore.replicas.repository import Decoded, ObjectSource, Replica, Repository
from farshore.sealed.sealed_object import Fetch, ObjectKey, SealedKind, SealedReader, Secrets


def open_manifest(
    repository: Repository, source: ObjectSource, commit: CommitHead, *, wanted: Choice | None = None
) -> ManifestReader:
    """Return a snapshot's manifest, each run with the data key of the night that wrote it.

    A run is downloaded once into the local cache and read from there. Where wanted rows can only be in a
    small part of it, that part and its end are read.
    """
    return ManifestReader(*_open_runs(repository, source, commit.manifest, SealedKind.MANIFEST, wanted))


def open_pages(
    repository: Repository, source: ObjectSource, commit: CommitHead, *, wanted: Choice | None = None
) -> PageMap:
    """Return a snapshot's page map, as `open_manifest` its manifest; one without runs knows no page."""
    return PageMap(*_open_runs(repository, source, commit.pages, SealedKind.PAGES, wanted))


def open_verified(repository: Repository, source: ObjectSource, ref: RunRef, kind: SealedKind) -> SealedReader:
    """Return an object's payload as a file: from the cache when it has the expected hash, else from a replica.

    Raises:
        FarshoreError: No copy opens, or its data key cannot be had.
    """
    path = _cached(repository, ref) or _download(repository, source, ref)
    if path is None:
        return _open_far(repository, source, ref, kind)
    return open_sealed(repository, fetch_of_file(path), ref, _secret_of(repository, source), kind)


def _open_runs(
    repository: Repository, source: ObjectSource, refs: Sequence[RunRef], kind: SealedKind, wanted: Choice | None
) -> list[SealedReader]:
    return [_open_run(repository, source, ref, kind, wanted) for ref in refs]


def _open_run(
    repository: Repository, source: ObjectSource, ref: RunRef, kind: SealedKind, wanted: Choice | None
) -> SealedReader:
    if wanted is not None and ref.bytes > limits.MANIFEST_WHOLE_BYTES_MAX and _cached(repository, ref) is None:
        far = _open_far(repository, source, ref, kind)
        opened = ManifestReader(far) if kind is SealedKind.MANIFEST else PageMap(far)
        if opened.bytes_within(wanted.within) <= min(limits.MANIFEST_FEW_BYTES, ref.bytes // 2):
            return far
    return open_verified(repository, source, ref, kind)


def _open_far(repository: Repository, source: ObjectSource, ref: RunRef, kind: SealedKind) -> SealedReader:
    tail = max(limits.MANIFEST_TAIL_BYTES_MIN, ref.bytes // limits.MANIFEST_TAIL_PART)
    secret = _secret_of(repository, source)
    return open_sealed(repository, _FarFetch(source, ref.name), ref, secret, kind, tail_bytes=tail)


def _secret_of(repository: Repository, source: ObjectSource) -> Secrets:
    """Return how to try the keys that objects under a key id give."""

    def tried(key_id: bytes) -> Callable[[Callable[[bytes], bytes]], bytes]:
        keys = RunKeys(repository, source, key_id.hex())
        return lambda attempt: keys.open(lambda key: attempt(key.secret))

    return tried


def open_sealed(
    repository: Repository,
    fetch: Fetch,
    ref: RunRef,
    secret: ObjectKey | Secrets,
    kind: SealedKind,
    *,
    tail_bytes: int = 0,
) -> SealedReader:
    """Return the payload of a sealed object as a file."""
    return SealedReader(
        fetch=fetch, sealed_bytes=ref.bytes, secret=secret, kind=kind, name=names.RUNS,
        repository_id=repository.writing_keys().repository_id, tail_bytes=tail_bytes,
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
