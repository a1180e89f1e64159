"""The earlier snapshot that a backup compares with: from the host's own disk, else from a replica.

A writer cannot decrypt old manifests, so it keeps its last one, still sealed, on its own disk, with the key of that one
object sealed under the index key beside it; and likewise the page map, and its base if it is a difference. Losing
them costs one full read and nothing else. The run's data key is never kept: it would open the content as well.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from farshore.catalog.data_keys import RunKeys
from farshore.catalog.full_page_map import FullPageMap
from farshore.catalog.kept_runs import is_whole_copy
from farshore.catalog.needs import read_needs
from farshore.catalog.verified_objects import (
    fetch_of_file,
    open_manifest,
    open_sealed,
    open_verified,
    read_sealed_head,
)
from farshore.crypto import SALT_BYTES
from farshore.errors import CACHED_READ_ERRORS, Corrupt, ObjectCorrupt, Unsupported
from farshore.format import decode_object, decode_time, encode_canonical, encode_time, names
from farshore.format.commit import Commit, CommitHead, RunRef
from farshore.format.manifest import ManifestReader
from farshore.format.needs import NeededKey
from farshore.format.page_maps import PageMap
from farshore.model import KeyId
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import ObjectSource, Repository
from farshore.sealed import key_tag
from farshore.sealed.sealed_object import (
    HEADER_BYTES,
    ObjectKey,
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
    object_keys: dict[str, ObjectKey],
    key_object: NeededKey,
    commit: Commit,
    files: dict[str, Path],
    pages_base: FullPageMap | None,
) -> None:
    """Keep this run's manifest and page map on this host for the next run. `files` are moved into the cache.

    So is the file of `pages_base`, wherever it is, because it outlives many runs. Repeatable: a file that a first call
    has moved is there.

    Args:
        object_keys: By role, as `files`: of each object its own key.
        key_object: The object of the run's data key.
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
    kept_keys = object_keys | ({_PAGES_BASE: pages_base.key} if pages_base else {})
    value = {
        "snapshot": commit.snapshot,
        "commit": commit.hash,
        "started_utc": encode_time(commit.started_utc),
        "keys": {role: _encode_key(key) for role, key in kept_keys.items()},
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

        def opened(role: str, kind: SealedKind) -> tuple[Path, SealedReader]:
            path = repository.cache.path(_file_name(source_id, role))
            if path is None or not is_whole_copy(path, refs[role]):  # seen now, or it would fail the run half way
                raise ObjectCorrupt(f"the cached {role} is not what its commit names")
            return path, open_sealed(
                repository, fetch_of_file(path), refs[role], _decode_key(value["keys"][role]), kind
            )

        _, file = opened(names.MANIFEST, SealedKind.MANIFEST)
        manifest = ManifestReader(file)
        pages: PageMap | None = None
        pages_base: FullPageMap | None = None
        if names.PAGES in refs:
            path, file = opened(names.PAGES, SealedKind.PAGES)
            key_object = NeededKey(**value["key_object"])  # of the full map
            if _PAGES_BASE in refs:
                base_path, base_file = opened(_PAGES_BASE, SealedKind.PAGES)
                pages_base = FullPageMap(refs[_PAGES_BASE], base_file.key, key_object, base_path, PageMap(base_file))
                pages = PageMap(file, base=(pages_base.pages, pages_base.ref.blake3))
            else:
                pages = PageMap(file)
                pages_base = FullPageMap(refs[names.PAGES], file.key, key_object, path, pages)
        started_utc = decode_time(value["started_utc"])
        return BaseSnapshot(value["snapshot"], value["commit"], started_utc, manifest, pages, pages_base)
    except (Corrupt, Unsupported, KeyError, ValueError, TypeError, OSError):
        repository.cache.drop(name)
        return None


def _from_replicas(
    repository: Repository, source: ObjectSource, commit: CommitHead, *, with_pages: bool
) -> BaseSnapshot:
    needs = read_needs(repository, source, commit)
    data_keys = RunKeys(repository, source, commit.data_key)
    manifest = open_manifest(repository, source, commit, data_keys)
    pages: PageMap | None = None
    pages_base: FullPageMap | None = None
    if with_pages and commit.pages is not None:
        opened = open_pages(repository, source, commit, commit.pages, data_keys)
        pages = opened.pages
        recipients = {one.hex() for one in repository.reading_keys().readable}
        of_run = [key for key in needs.data_keys if key.key_id == opened.key_id]
        key_objects = [key for key in of_run if key.recipient in recipients]
        path = repository.cache.path(opened.ref.name)
        if path is not None and len(key_objects) == 1:
            pages_base = FullPageMap(opened.ref, opened.key, key_objects[0], path, opened.full)
    return BaseSnapshot(commit.snapshot, commit.hash, commit.started_utc, manifest, pages, pages_base)


@dataclass(frozen=True, slots=True)
class OpenedPages:
    """The page map of a snapshot, and the full one: itself or its base."""

    pages: PageMap
    full: PageMap
    ref: RunRef  # of the full one
    key: ObjectKey  # of the full one
    key_id: KeyId  # of the run that made it


def open_pages(
    repository: Repository, source: ObjectSource, commit: CommitHead, ref: RunRef, data_keys: RunKeys
) -> OpenedPages:
    """Return the page map `ref` of a snapshot, and the full one.

    Raises:
        FarshoreError: No replica has a good copy of both.
    """
    full = commit.pages_base
    file = open_verified(repository, source, ref, data_keys, SealedKind.PAGES)
    if full is None:
        pages = PageMap(file)
        return OpenedPages(pages, pages, ref, file.key, commit.data_key)
    head = read_sealed_head(repository, source, full, HEADER_BYTES)
    key_id = key_id_of(head).hex()
    base_file = open_verified(repository, source, full, RunKeys(repository, source, key_id), SealedKind.PAGES)
    base = PageMap(base_file)
    return OpenedPages(PageMap(file, base=(base, full.blake3)), base, full, base_file.key, key_id)


def _runs_of(commit: CommitHead) -> dict[str, RunRef]:
    found = {names.MANIFEST: commit.manifest, names.PAGES: commit.pages, _PAGES_BASE: commit.pages_base}
    return {role: ref for role, ref in found.items() if ref is not None}


def _encode_key(key: ObjectKey) -> str:
    return base64.b64encode(key.salt + key.key).decode()


def _decode_key(text: str) -> ObjectKey:
    joined = base64.b64decode(text)
    return ObjectKey(joined[:SALT_BYTES], joined[SALT_BYTES:])


def _key_name(source_id: str) -> str:
    return f"previous/{source_id}/key"


def _file_name(source_id: str, role: str) -> str:
    return f"previous/{source_id}/{role}"
