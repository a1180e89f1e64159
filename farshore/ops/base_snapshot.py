"""The earlier snapshot that a backup compares with: from the host's own disk, else from a replica.

A writer cannot decrypt old manifests, so it keeps its last one, still sealed, on its own disk, with that run's data key
sealed under the index key beside it. Losing it costs one full read and nothing else.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blake3 import blake3

from farshore import limits
from farshore.errors import Corrupt, FarshoreError, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.manifest import ManifestReader, PageMap
from farshore.format.records import Commit, ObjectRef
from farshore.format.text import decode_object, decode_time, encode_canonical, encode_time
from farshore.handles import Handle
from farshore.repository.keys import DataKey, KeySet, open_data_key
from farshore.repository.repository import Replica, Repository
from farshore.repository.sealed_object import (
    INDEX_KEY_ID,
    SealedKind,
    SealedReader,
    open_object,
    seal_object,
)

_PIECE_BYTES = 16 * limits.MIB  # of a manifest on its way into the cache


@dataclass(frozen=True, slots=True)
class BaseSnapshot:
    """An earlier snapshot whose manifest can be read here."""

    snapshot_id: str
    started_utc: datetime
    manifest: ManifestReader
    pages: PageMap | None


def find_base(repository: Repository, source_id: str, commits: Sequence[Commit]) -> BaseSnapshot | None:
    """Return the newest earlier snapshot that these keys can read, or None for a full read.

    Args:
        commits: The committed snapshots of this source, oldest first.
    """
    local = _from_disk(repository, source_id)
    if local and (not commits or local.snapshot_id == commits[-1].snapshot):
        return local
    if repository.writing_keys().private_key:
        for replica in repository.replicas.values():
            for commit in commits[::-1][:2]:
                try:
                    return _from_replica(repository, replica, commit)
                except FarshoreError:
                    continue  # another replica, an older snapshot or a full read serve as well
    return local


def remember_base(
    repository: Repository, *, source_id: str, data_key: DataKey, commit: Commit, files: dict[str, Path]
) -> None:
    """Keep this run's manifest and page map on this host for the next run. `files` are moved into the cache.

    Repeatable: a file that a first call has moved is there.
    """
    keys = repository.writing_keys()
    name = _key_name(source_id)
    repository.cache.drop(name)  # first: a half-replaced base must not be readable
    for role in (names.MANIFEST, names.PAGES):
        if role not in files:
            repository.cache.drop(_file_name(source_id, role))
        elif files[role].exists():
            repository.cache.put_file(_file_name(source_id, role), files[role])
    value = {
        "snapshot": commit.snapshot,
        "started_utc": encode_time(commit.started_utc),
        "data_key": base64.b64encode(data_key.secret).decode(),
        "objects": {role: {"name": ref.name, "bytes": ref.bytes} for role, ref in commit.objects.items()},
    }
    sealed = seal_object(
        encode_canonical(value), secret=keys.index_key, key_id=INDEX_KEY_ID,
        salt=repository.clock.random_bytes(32), kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id,
    )  # fmt: skip
    repository.cache.put(name, sealed)


def open_manifest(repository: Repository, replica: Replica, commit: Commit, data_key: DataKey) -> ManifestReader:
    """Return a snapshot's manifest, downloaded once into the local cache and read from there."""
    file = _open_remote(repository, replica, commit.objects[names.MANIFEST], data_key, SealedKind.MANIFEST)
    return ManifestReader(file)


def read_data_key(repository: Repository, replica: Replica, key_id: str) -> DataKey:
    """Return a run's data key; needs a reader's keys."""
    keys = repository.reading_keys()
    name = names.data_key(key_id, keys.recipient_id.hex())
    cached = repository.cache.get(name)
    if cached is not None:
        try:
            return open_data_key(keys, bytes.fromhex(key_id), cached)
        except (Corrupt, Unsupported):
            repository.cache.drop(name)
    sealed = replica.store.get(name)
    data_key = open_data_key(keys, bytes.fromhex(key_id), sealed)
    repository.cache.put(name, sealed)
    return data_key


def _from_disk(repository: Repository, source_id: str) -> BaseSnapshot | None:
    keys = repository.writing_keys()
    name = _key_name(source_id)
    sealed = repository.cache.get(name)
    path = repository.cache.path(_file_name(source_id, names.MANIFEST))
    if sealed is None or path is None:
        return None
    try:
        payload = open_object(
            sealed, secret=keys.index_key, kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id
        )
        value = decode_object(payload, "the cache of the last manifest")
        secret = base64.b64decode(value["data_key"])
        manifest = ManifestReader(
            _open_local(path, secret, SealedKind.MANIFEST, value["objects"][names.MANIFEST]["name"], keys)
        )
        pages_path = repository.cache.path(_file_name(source_id, names.PAGES))
        page_map = None
        if names.PAGES in value["objects"] and pages_path:
            pages_name = value["objects"][names.PAGES]["name"]
            page_map = PageMap(_open_local(pages_path, secret, SealedKind.PAGES, pages_name, keys))
        return BaseSnapshot(value["snapshot"], decode_time(value["started_utc"]), manifest, page_map)
    except (FarshoreError, KeyError, ValueError, TypeError):
        repository.cache.drop(name)
        return None


def _from_replica(repository: Repository, replica: Replica, commit: Commit) -> BaseSnapshot:
    data_key = read_data_key(repository, replica, commit.data_key)
    manifest = open_manifest(repository, replica, commit, data_key)
    page_map = None
    if names.PAGES in commit.objects:
        page_map = PageMap(_open_remote(repository, replica, commit.objects[names.PAGES], data_key, SealedKind.PAGES))
    return BaseSnapshot(commit.snapshot, commit.started_utc, manifest, page_map)


def _open_local(path: Path, secret: bytes, kind: SealedKind, name: str, keys: KeySet) -> SealedReader:
    handle = Handle(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # closes with the last reader that holds it
    return SealedReader(
        fetch=lambda offset, length: os.pread(handle.fd, length, offset),
        sealed_bytes=path.stat().st_size,
        secret=secret,
        kind=kind,
        name=name,
        repository_id=keys.repository_id,
    )


def _open_remote(
    repository: Repository, replica: Replica, ref: ObjectRef, data_key: DataKey, kind: SealedKind
) -> io.RawIOBase:
    """Open a manifest or page map: from the local cache when it is what the commit vouches for, else from a replica."""
    keys = repository.writing_keys()
    path = repository.cache.path(ref.name)
    if path is not None and not _is_vouched(path, ref):
        repository.cache.drop(ref.name)
        path = None
    if path is None and ref.bytes <= limits.CACHED_OBJECT_BYTES_MAX:
        repository.cache.put_pieces(ref.name, _vouched_pieces(replica, ref))
        path = repository.cache.path(ref.name)
    if path is not None:
        return _open_local(path, data_key.secret, kind, ref.name, keys)
    return _reader(lambda offset, length: replica.store.get(ref.name, offset, length), ref, data_key, kind, keys)


def _reader(
    fetch: Callable[[int, int], bytes], ref: ObjectRef, data_key: DataKey, kind: SealedKind, keys: KeySet
) -> SealedReader:
    return SealedReader(
        fetch=fetch, sealed_bytes=ref.bytes, secret=data_key.secret, kind=kind, name=ref.name,
        repository_id=keys.repository_id,
    )  # fmt: skip


def _is_vouched(path: Path, ref: ObjectRef) -> bool:
    digest = blake3()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return path.stat().st_size == ref.bytes and digest.hexdigest() == ref.blake3


def _vouched_pieces(replica: Replica, ref: ObjectRef) -> Iterator[bytes]:
    """Yield an object in pieces, because a manifest may be larger than all else in memory.

    Raises:
        ObjectCorrupt: At the end, when the pieces were not what the commit record vouches for.
    """
    digest = blake3()
    for start in range(0, ref.bytes, _PIECE_BYTES):
        piece = replica.store.get(ref.name, start, min(_PIECE_BYTES, ref.bytes - start))
        digest.update(piece)
        yield piece
    if digest.hexdigest() != ref.blake3:
        raise ObjectCorrupt(f"{ref.name} at {replica.name} is not what its commit record vouches for")


def _key_name(source_id: str) -> str:
    return f"previous/{source_id}/key"


def _file_name(source_id: str, role: str) -> str:
    return f"previous/{source_id}/{role}"
