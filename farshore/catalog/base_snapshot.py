"""The earlier snapshot that a backup compares with: from the host's own disk, else from a replica.

A writer cannot decrypt old manifests, so it keeps on its own disk, sealed, all entries of its last snapshot in one
file, the newer runs of its manifest, which it may have to merge, and its page map with the base of that; and the keys
of these objects, each of which opens one, sealed under the index key beside them. Losing any of it costs one full read,
or a manifest in one run, and nothing else. No data key is ever kept: it would open the content as well.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from farshore.catalog.full_page_map import FullPageMap
from farshore.catalog.kept_runs import is_whole_copy
from farshore.catalog.manifest_runs import KeptRun, LocalFile
from farshore.catalog.needs import read_needs
from farshore.catalog.verified_objects import open_manifest, open_verified
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
from farshore.sealed.sealed_object import ObjectKey, SealedKind, open_object, seal_object

_ENTRIES = "manifest"  # in the cache: all entries in one run
_PAGES_BASE = "pages-base"  # the full page map of an earlier snapshot
_RUN = "run-"  # and its hash: a newer run of the manifest


@dataclass(frozen=True, slots=True)
class BaseSnapshot:
    """An earlier snapshot whose manifest can be read here.

    `runs`: of its manifest, where `manifest` is one file of this host with all entries and the newer runs are here
    too; else empty. `pages_runs` with their key ids: of its page map, where this host has it.
    """

    snapshot_id: str
    commit: str  # the hash of its commit
    started_utc: datetime
    manifest: ManifestReader
    pages: PageMap | None
    pages_base: FullPageMap | None  # the full map: that of `pages` or its base; None where this host has no file of it
    runs: tuple[KeptRun, ...] = ()
    pages_runs: tuple[KeptRun, ...] = ()


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


@dataclass(frozen=True, slots=True)
class MadeBase:
    """Files of a run for the next one: they move into the cache when it is over.

    `entries`: all of them, in one run. `runs`: of the manifest, in order; of all but the oldest there is a file.
    `pages`: of the page map, in order; none where it was kept. `pages_base`: the full map. `key_object`: of its key.
    """

    entries: LocalFile
    runs: Sequence[KeptRun]
    pages: LocalFile | None
    pages_runs: Sequence[KeptRun]
    pages_base: FullPageMap | None
    key_object: NeededKey
    keeps_pages: bool = False


def remember_base(repository: Repository, source_id: str, commit: Commit, made: MadeBase) -> None:
    """Keep this run's entries, manifest runs and page map on this host for the next run.

    So is the file of the full page map, wherever it is, because it outlives many runs. Repeatable: a file that a first
    call has moved is there.
    """
    keys = repository.writing_keys()
    name = _key_name(source_id)
    before = _read_record(repository, source_id) if made.keeps_pages else None
    repository.cache.drop(name)  # first: a half-replaced base must not be readable
    files = {_ENTRIES: made.entries}
    if made.pages is not None:
        files[names.PAGES] = made.pages
    if not made.keeps_pages:
        _keep_pages_base(repository, source_id, made)
    for role, local in files.items():
        if local.file.exists():
            repository.cache.put_file(_file_name(source_id, role), local.file)
    for run in made.runs[1:]:
        if run.local is not None and run.local.file.exists():
            repository.cache.put_file(_run_name(source_id, run.ref), run.local.file)
    _drop_others(repository, source_id, made.runs[1:])
    locals_ = {role: _encode_local(local) for role, local in files.items()}
    key_object = asdict(made.pages_base.key_object if made.pages_base else made.key_object)
    if made.pages_base is not None and not made.keeps_pages:
        locals_[_PAGES_BASE] = {**asdict(made.pages_base.ref), "key": _encode_key(made.pages_base.key)}
    if before is not None:
        kept = {role: one for role, one in before["files"].items() if role in (names.PAGES, _PAGES_BASE)}
        locals_, key_object = {**locals_, **kept}, before["key_object"]
    value = {
        "snapshot": commit.snapshot,
        "commit": commit.hash,
        "started_utc": encode_time(commit.started_utc),
        "files": locals_,
        "key_object": key_object,
        "manifest_runs": [_encode_run(run) for run in made.runs],
        "pages_runs": [_encode_run(run) for run in made.pages_runs],
    }
    sealed = seal_object(
        encode_canonical(value), secret=keys.index_key, key_id=keys.own,
        salt=repository.clock.random_bytes(32), kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id,
    )  # fmt: skip
    repository.cache.put(name, sealed)


def _keep_pages_base(repository: Repository, source_id: str, made: MadeBase) -> None:
    """Move the full page map to its place, before the page map of this run gets the place that it may have."""
    if made.pages is None:
        repository.cache.drop(_file_name(source_id, names.PAGES))
    if made.pages_base is None:
        repository.cache.drop(_file_name(source_id, _PAGES_BASE))
    elif made.pages is not None and made.pages.file.exists():
        repository.cache.put_file(_file_name(source_id, _PAGES_BASE), made.pages_base.file)


def _drop_others(repository: Repository, source_id: str, runs: Sequence[KeptRun]) -> None:
    kept = {_run_name(source_id, run.ref).rpartition("/")[2] for run in runs}
    folder = _file_name(source_id, "")
    for one in repository.cache.list(folder.rstrip("/")):
        if one.startswith(_RUN) and one not in kept:
            repository.cache.drop(folder + one)


def _read_record(repository: Repository, source_id: str) -> dict[str, Any] | None:
    """Return what this host noted of its files; None where it noted nothing, or that is damaged."""
    keys = repository.writing_keys()
    name = _key_name(source_id)
    sealed = repository.cache.get(name)
    if sealed is None:
        return None
    try:
        payload = open_object(
            sealed, secret=keys.index_key, kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id
        )
        return decode_object(payload, "the cache of the last manifest")
    except (Corrupt, Unsupported):
        repository.cache.drop(name)
        return None


def _from_disk(repository: Repository, source_id: str) -> BaseSnapshot | None:
    value = _read_record(repository, source_id)
    if value is None:
        return None
    try:
        files = {role: _local(repository, source_id, role, one) for role, one in value["files"].items()}
        for role, local in files.items():
            if not is_whole_copy(local.file, local.ref):  # seen now, or it would fail the run half way
                raise ObjectCorrupt(f"the cached {role} is not what its commit names")
        manifest = ManifestReader(files[_ENTRIES].open(repository, SealedKind.MANIFEST))
        pages, pages_base = _open_pages_here(repository, files, NeededKey(**value["key_object"]))
        started_utc = decode_time(value["started_utc"])
        runs = _kept_runs(repository, source_id, value["manifest_runs"], files[_ENTRIES])
        pages_runs = tuple(KeptRun(_decode_ref(one), one["key_id"]) for one in value["pages_runs"])
        return BaseSnapshot(
            value["snapshot"], value["commit"], started_utc, manifest, pages, pages_base, runs,
            pages_runs if pages is not None else (),
        )  # fmt: skip
    except (Corrupt, Unsupported, KeyError, ValueError, TypeError, OSError):
        repository.cache.drop(_key_name(source_id))
        return None


def _open_pages_here(
    repository: Repository, files: Mapping[str, LocalFile], key_object: NeededKey
) -> tuple[PageMap | None, FullPageMap | None]:
    """Return the page map, and the full one: itself or its base. `key_object`: of the full map."""
    if names.PAGES not in files:
        return None, None
    own = files[names.PAGES]
    full = files.get(_PAGES_BASE, own)
    full_map = PageMap(full.open(repository, SealedKind.PAGES))
    pages_base = FullPageMap(full.ref, full.key, key_object, full.file, full_map)
    if full is own:
        return full_map, pages_base
    return PageMap(own.open(repository, SealedKind.PAGES), base=(full_map, full.ref.blake3)), pages_base


def _kept_runs(
    repository: Repository, source_id: str, values: Sequence[Mapping[str, Any]], entries: LocalFile
) -> tuple[KeptRun, ...]:
    """Return the runs of the manifest; none where a newer one is not here, so that it could not be merged."""
    found: list[KeptRun] = []
    for at, one in enumerate(values):
        ref = _decode_ref(one)
        if not at:
            found.append(KeptRun(ref, one["key_id"], entries if entries.ref == ref else None))
            continue
        path = repository.cache.path(_run_name(source_id, ref))
        if path is None or path.stat().st_size != ref.bytes:
            return ()
        found.append(KeptRun(ref, one["key_id"], LocalFile(ref, _decode_key(one["key"]), path)))
    return tuple(found)


def _from_replicas(
    repository: Repository, source: ObjectSource, commit: CommitHead, *, with_pages: bool
) -> BaseSnapshot:
    needs = read_needs(repository, source, commit)
    manifest = open_manifest(repository, source, commit)
    pages: PageMap | None = None
    pages_base: FullPageMap | None = None
    if with_pages and commit.pages is not None:
        opened = open_pages(repository, source, commit, commit.pages)
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


def open_pages(repository: Repository, source: ObjectSource, commit: CommitHead, ref: RunRef) -> OpenedPages:
    """Return the page map `ref` of a snapshot, and the full one, each with the data key of the night that wrote it.

    Raises:
        FarshoreError: No replica has a good copy of both.
    """
    file = open_verified(repository, source, ref, SealedKind.PAGES)
    full = commit.pages_base
    if full is None:
        pages = PageMap(file)
        return OpenedPages(pages, pages, ref, file.key, file.key_id.hex())
    base_file = open_verified(repository, source, full, SealedKind.PAGES)
    base = PageMap(base_file)
    return OpenedPages(PageMap(file, base=(base, full.blake3)), base, full, base_file.key, base_file.key_id.hex())


def _encode_local(local: LocalFile) -> dict[str, Any]:
    return {**asdict(local.ref), "key": _encode_key(local.key)}


def _local(repository: Repository, source_id: str, role: str, value: Mapping[str, Any]) -> LocalFile:
    path = repository.cache.path(_file_name(source_id, role))
    if path is None:
        raise ObjectCorrupt(f"the cached {role} is gone")
    return LocalFile(_decode_ref(value), _decode_key(value["key"]), path)


def _encode_run(run: KeptRun) -> dict[str, Any]:
    key = _encode_key(run.local.key) if run.local is not None else ""
    return {**asdict(run.ref), "key_id": run.key_id, "key": key}


def _decode_ref(value: Mapping[str, Any]) -> RunRef:
    return RunRef(value["blake3"], value["bytes"])


def _encode_key(key: ObjectKey) -> str:
    return base64.b64encode(key.salt + key.key).decode()


def _decode_key(text: str) -> ObjectKey:
    joined = base64.b64decode(text)
    return ObjectKey(joined[:SALT_BYTES], joined[SALT_BYTES:])


def _key_name(source_id: str) -> str:
    return f"previous/{source_id}/key"


def _file_name(source_id: str, role: str) -> str:
    return f"previous/{source_id}/{role}"


def _run_name(source_id: str, ref: RunRef) -> str:
    return _file_name(source_id, f"{_RUN}{ref.blake3}")
