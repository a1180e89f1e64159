"""The earlier snapshot that a backup compares with: from the host's own disk, else from a replica.

A writer cannot decrypt old manifests, so it keeps its last one, still sealed, on its own disk, with that run's data key
sealed under the index key beside it; and likewise the page map, and its base if it is a difference. Losing
them costs one full read and nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from farshore.catalog.data_keys import read_data_key
from farshore.catalog.full_page_map import FullPageMap, is_whole_copy
from farshore.catalog.needs import read_needs
from farshore.catalog.verified_objects import (
    fetch_of_file,
    open_manifest,
    open_sealed,
    open_verified,
    read_sealed_head,
)
from farshore.errors import CACHED_READ_ERRORS, Corrupt, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.commit import Commit, CommitHead, RunRef
from farshore.format.manifest import ManifestReader
from farshore.format.needs import NeededKey
from farshore.format.page_maps import PageMap
from farshore.format.records import decode_object, decode_time, encode_canonical, encode_time
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import ObjectSource, Repository
from farshore.sealed.data_key import KEY_ID_BYTES, DataKey
from farshore.sealed.keys import key_tag
from farshore.sealed.sealed_object import (
    HEADER_BYTES,
    SealedKind,
    SealedReader,
    key_id_of,
    open_object,
    seal_object,
)

_PAGES_BASE = "pages-base"  # in the cache: the full page map of an earlier snapshot


@dataclass(frozen=True, slots=True)
class BaseSnapshot:
    """An earlier snapshot whose manifest can be read here."""

    snapshot_id: str
    commit: str  # the hash of its commit
    started_utc: datetime
    manifest: ManifestReader
    pages: PageMap | None
    pages_base: FullPageMap | None  # the full map: that of `pages` or its base; None where this host has no file of it


def find_base(repository: Repository, source_id: str, commits: Sequence[CommitHead]) -> BaseSnapshot | None:
    """Return the newest earlier snapshot that these keys can read, or None for a full read.

    Args:
        commits: The committed snapshots of this source, oldest first.
    """
    local = _from_disk(repository, source_id)
    if local and (not commits or local.commit == commits[-1].hash):
        return local
    if not repository.writing_keys().can_read:
        return local
    own = repository.writing_keys().own  # a new epoch, or another domain, names chunks otherwise: nothing is reused
    commits = [one for one in commits if key_tag(one.domain, one.epoch) == own]
    reader = open_reader(repository)
    for with_pages in (True, False):  # a manifest without a page map still shows which files are unchanged
        for commit in commits[::-1][:2]:
            try:
                return _from_replicas(repository, reader, commit, with_pages=with_pages)
            except CACHED_READ_ERRORS:
                continue  # an older snapshot or a full read serve as well
        if local:
            return local
    return None


def remember_base(
    repository: Repository,
    *,
    source_id: str,
    data_key: DataKey,
    key_object: NeededKey,
    commit: Commit,
    files: dict[str, Path],
    pages_base: FullPageMap | None,
) -> None:
    """Keep this run's manifest and page map on this host for the next run. `files` are moved into the cache.

    So is the file of `pages_base`, wherever it is, because it outlives many runs. Repeatable: a file that a first call
    has moved is there.
    """
    keys = repository.writing_keys()
    name = _key_name(source_id)
    repository.cache.drop(name)  # first: a half-replaced base must not be readable
    moved = {role: path for role, path in files.items() if path.exists()}
    if pages_base is None:
        repository.cache.drop(_file_name(source_id, _PAGES_BASE))
    elif names.PAGES in moved:  # or the place it had may be that of the new page map by now
        repository.cache.put_file(_file_name(source_id, _PAGES_BASE), pages_base.file)
    for role in (names.MANIFEST, names.PAGES):
        if role not in files:
            repository.cache.drop(_file_name(source_id, role))
        elif role in moved:
            repository.cache.put_file(_file_name(source_id, role), moved[role])
    value = {
        "snapshot": commit.snapshot,
        "commit": commit.hash,
        "started_utc": encode_time(commit.started_utc),
        "data_key": _encode_key(data_key),
        "base_key": _encode_key(pages_base.data_key) if pages_base else "",
        "key_object": asdict(pages_base.key_object if pages_base else key_object),
        "runs": {role: asdict(ref) for role, ref in _runs_of(commit).items()},
    }
    sealed = seal_object(
        encode_canonical(value), secret=keys.index_key, key_id=keys.own,
        salt=repository.clock.random_bytes(32), kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id,
    )  # fmt: skip
    repository.cache.put(name, sealed)


def _from_disk(repository: Repository, source_id: str) -> BaseSnapshot | None:
    keys = repository.writing_keys()
    name = _key_name(source_id)
    sealed = repository.cache.get(name)
    if sealed is None:
        return None
    try:
        payload = open_object(
            sealed, secret=keys.index_key, kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id
        )
        value = decode_object(payload, "the cache of the last manifest")
        refs = {role: RunRef(**ref) for role, ref in value["runs"].items()}
        data_key = _decode_key(value["data_key"])

        def opened(role: str, key: DataKey, kind: SealedKind) -> tuple[Path, SealedReader]:
            path = repository.cache.path(_file_name(source_id, role))
            if path is None or not is_whole_copy(path, refs[role]):  # seen now, or it would fail the run half way
                raise ObjectCorrupt(f"the cached {role} is not what its commit names")
            return path, open_sealed(repository, fetch_of_file(path), refs[role], key, kind)

        _, file = opened(names.MANIFEST, data_key, SealedKind.MANIFEST)
        manifest = ManifestReader(file)
        pages: PageMap | None = None
        pages_base: FullPageMap | None = None
        if names.PAGES in refs:
            path, file = opened(names.PAGES, data_key, SealedKind.PAGES)
            key_object = NeededKey(**value["key_object"])  # of the full map
            if _PAGES_BASE in refs:
                base_key = _decode_key(value["base_key"])
                base_path, base_file = opened(_PAGES_BASE, base_key, SealedKind.PAGES)
                pages_base = FullPageMap(refs[_PAGES_BASE], base_key, key_object, base_path, PageMap(base_file))
                pages = PageMap(file, base=(pages_base.pages, pages_base.ref.blake3))
            else:
                pages = PageMap(file)
                pages_base = FullPageMap(refs[names.PAGES], data_key, key_object, path, pages)
        started_utc = decode_time(value["started_utc"])
        return BaseSnapshot(value["snapshot"], value["commit"], started_utc, manifest, pages, pages_base)
    except (Corrupt, Unsupported, KeyError, ValueError, TypeError, OSError):
        repository.cache.drop(name)
        return None


def _from_replicas(
    repository: Repository, source: ObjectSource, commit: CommitHead, *, with_pages: bool
) -> BaseSnapshot:
    needs = read_needs(repository, source, commit)
    data_key = read_data_key(repository, source, commit.data_key)
    manifest = open_manifest(repository, source, commit, data_key)
    pages: PageMap | None = None
    pages_base: FullPageMap | None = None
    if with_pages and commit.pages is not None:
        pages, ref, base_key, full = open_pages(repository, source, commit, commit.pages, data_key)
        key_objects = [key for key in needs.data_keys if key.key_id == base_key.key_id.hex()]
        path = repository.cache.path(ref.name)
        if path is not None and len(key_objects) == 1:
            pages_base = FullPageMap(ref, base_key, key_objects[0], path, full)
    return BaseSnapshot(commit.snapshot, commit.hash, commit.started_utc, manifest, pages, pages_base)


def open_pages(
    repository: Repository, source: ObjectSource, commit: CommitHead, ref: RunRef, data_key: DataKey
) -> tuple[PageMap, RunRef, DataKey, PageMap]:
    """Return the page map `ref` of a snapshot, and the full one (itself or its base) with object and key.

    Raises:
        FarshoreError: No replica has a good copy of both.
    """
    full = commit.pages_base
    file = open_verified(repository, source, ref, data_key, SealedKind.PAGES)
    if full is None:
        pages = PageMap(file)
        return pages, ref, data_key, pages
    head = read_sealed_head(repository, source, full, HEADER_BYTES)
    base_key = read_data_key(repository, source, key_id_of(head).hex())
    base = PageMap(open_verified(repository, source, full, base_key, SealedKind.PAGES))
    return PageMap(file, base=(base, full.blake3)), full, base_key, base


def _runs_of(commit: CommitHead) -> dict[str, RunRef]:
    found = {names.MANIFEST: commit.manifest, names.PAGES: commit.pages, _PAGES_BASE: commit.pages_base}
    return {role: ref for role, ref in found.items() if ref is not None}


def _encode_key(data_key: DataKey) -> str:
    return base64.b64encode(data_key.key_id + data_key.secret).decode()


def _decode_key(text: str) -> DataKey:
    joined = base64.b64decode(text)
    return DataKey(joined[:KEY_ID_BYTES], joined[KEY_ID_BYTES:])


def _key_name(source_id: str) -> str:
    return f"previous/{source_id}/key"


def _file_name(source_id: str, role: str) -> str:
    return f"previous/{source_id}/{role}"
