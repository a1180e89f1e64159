"""The earlier snapshot that a backup compares with: from the host's own disk, else from a replica.

A writer cannot decrypt old manifests, so it keeps on its own disk, sealed, all entries of its last snapshot in one
file, the newer runs of its manifest, which it may have to merge, and the runs of its page map; and the keys of these
objects, each of which opens one, sealed under the index key beside them. Losing any of it costs one full read, or a
manifest in one run, and nothing else. No data key is ever kept: it would open the content as well.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from farshore.catalog.kept_runs import is_whole_copy
from farshore.catalog.needs import read_needs
from farshore.catalog.next_runs import KeptRun, LocalFile
from farshore.catalog.verified_objects import open_manifest, open_pages
from farshore.crypto import SALT_BYTES
from farshore.errors import CACHED_READ_ERRORS, Corrupt, ObjectCorrupt, Unsupported
from farshore.format import decode_object, decode_time, encode_canonical, encode_time
from farshore.format.commit import Commit, CommitHead, RunRef
from farshore.format.manifest import ManifestReader
from farshore.format.page_maps import PageMap
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import ObjectSource, Repository
from farshore.sealed import key_tag
from farshore.sealed.sealed_object import ObjectKey, SealedKind, SealedReader, open_object, seal_object

_ENTRIES = "manifest"  # in the cache: all entries in one run
_RUN = "run-"  # and its hash: a newer run of the manifest, or a run of the page map


@dataclass(frozen=True, slots=True)
class BaseSnapshot:
    """An earlier snapshot whose manifest can be read here.

    `runs`: of its manifest, where `manifest` is one file of this host with all entries and the newer runs are here
    too; else empty. `pages_runs`: of its page map, where this host has all of them, and of how many pages that knows.
    """

    snapshot_id: str
    commit: str  # the hash of its commit
    started_utc: datetime
    manifest: ManifestReader
    pages: PageMap | None
    runs: tuple[KeptRun, ...] = ()
    pages_runs: tuple[KeptRun, ...] = ()
    pages_count: int = 0


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
    `pages_runs`: of the page map, in order, each with a file; `pages_count`: pages that it knows.
    """

    entries: LocalFile
    runs: Sequence[KeptRun]
    pages_runs: Sequence[KeptRun]
    pages_count: int


def remember_base(repository: Repository, source_id: str, commit: Commit, made: MadeBase) -> None:
    """Keep this run's entries and the runs of manifest and page map on this host for the next run.

    Repeatable: a file that a first call has moved is there.
    """
    keys = repository.writing_keys()
    name = _key_name(source_id)
    repository.cache.drop(name)  # first: a half-replaced base must not be readable
    if made.entries.file.exists():
        repository.cache.put_file(_file_name(source_id, _ENTRIES), made.entries.file)
    kept = [run for run in (*made.runs[1:], *made.pages_runs) if run.local is not None]
    for run in kept:
        if run.local is not None and run.local.file.exists():
            repository.cache.put_file(_run_name(source_id, run.ref), run.local.file)
    _drop_others(repository, source_id, kept)
    value = {
        "snapshot": commit.snapshot,
        "commit": commit.hash,
        "started_utc": encode_time(commit.started_utc),
        "entries": {**asdict(made.entries.ref), "key": _encode_key(made.entries.key)},
        "manifest_runs": [_encode_run(run) for run in made.runs],
        "pages_runs": [_encode_run(run) for run in made.pages_runs],
        "pages_count": made.pages_count,
    }
    sealed = seal_object(
        encode_canonical(value), secret=keys.index_key, key_id=keys.own,
        salt=repository.clock.random_bytes(32), kind=SealedKind.CACHE, name=name, repository_id=keys.repository_id,
    )  # fmt: skip
    repository.cache.put(name, sealed)


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
        entries = _local(repository, _file_name(source_id, _ENTRIES), value["entries"])
        manifest = ManifestReader(_open_whole(repository, entries, SealedKind.MANIFEST))
        pages_runs = tuple(
            KeptRun(_decode_ref(one), one["key_id"], _local(repository, _run_name(source_id, _decode_ref(one)), one))
            for one in value["pages_runs"]
        )
        files = [_open_whole(repository, run.local, SealedKind.PAGES) for run in pages_runs if run.local is not None]
        runs = _kept_runs(repository, source_id, value["manifest_runs"], entries)
        return BaseSnapshot(
            value["snapshot"], value["commit"], decode_time(value["started_utc"]), manifest,
            PageMap(*files) if files else None, runs, pages_runs, int(value["pages_count"]),
        )  # fmt: skip
    except (Corrupt, Unsupported, KeyError, ValueError, TypeError, OSError):
        repository.cache.drop(_key_name(source_id))
        return None


def _open_whole(repository: Repository, local: LocalFile, kind: SealedKind) -> SealedReader:
    """Open a file of this host that is what its commit names: seen now, or it would fail the run half way."""
    if not is_whole_copy(local.file, local.ref):
        raise ObjectCorrupt("a run that this host kept is not what its commit names")
    return local.open(repository, kind)


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
    read_needs(repository, source, commit)  # names the data keys
    manifest = open_manifest(repository, source, commit)
    pages = open_pages(repository, source, commit) if with_pages and commit.pages else None
    return BaseSnapshot(commit.snapshot, commit.hash, commit.started_utc, manifest, pages)


def _local(repository: Repository, name: str, value: Mapping[str, Any]) -> LocalFile:
    path = repository.cache.path(name)
    if path is None:
        raise ObjectCorrupt(f"{name} is gone from the cache")
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
