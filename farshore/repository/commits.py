"""Commit records: which snapshots the replicas list, and what the records of those say.

A record never changes, so a host fetches it once. What was fetched is kept sealed in the local cache, many records to
a file: a listing of a thousand snapshots then costs the pages of the listing and a few small reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from blake3 import blake3

from farshore import limits
from farshore.errors import Corrupt, FarshoreError, NotFound, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.records import Commit, decode_commit
from farshore.model import SnapshotId, SourceId
from farshore.repository.keys import KeySet
from farshore.repository.repository import Replica, Repository
from farshore.repository.sealed_object import INDEX_KEY_ID, SealedKind, open_object, seal_object


@dataclass(frozen=True, slots=True)
class ListedCommits:
    """What the replicas together list as committed. `failed`: replicas that could not be listed or read."""

    commits: Mapping[SnapshotId, Commit]
    holders: Mapping[SnapshotId, tuple[str, ...]]  # replicas in the order of the configuration
    failed: Mapping[str, FarshoreError]


def list_commits(repository: Repository, source_id: SourceId | None = None) -> ListedCommits:
    """Return what all reachable replicas list, of one source or of all; they are listed at the same time.

    A record damaged at one replica is read from another that lists it; one that no replica has whole is left out.
    """
    listed: dict[str, list[names.SnapshotObject]] = {}
    failed: dict[str, FarshoreError] = {}
    with ThreadPoolExecutor(max(len(repository.replicas), 1)) as pool:
        futures = {
            name: pool.submit(list_commit_names, replica, source_id) for name, replica in repository.replicas.items()
        }
        for name, future in futures.items():
            try:
                listed[name] = future.result()
            except FarshoreError as error:
                failed[name] = error
    commits: dict[SnapshotId, Commit] = {}
    holders: dict[SnapshotId, tuple[str, ...]] = {}
    for name, items in listed.items():
        try:
            read, _ = read_commits(
                repository, repository.replicas[name], [item for item in items if item.snapshot_id not in commits]
            )
        except FarshoreError as error:
            failed[name] = error
            continue
        commits.update({commit.snapshot: commit for commit in read})
        for item in items:
            commit = commits.get(item.snapshot_id)
            if commit is None or commit.source_id != item.source_id:
                continue
            holders[item.snapshot_id] = (*holders.get(item.snapshot_id, ()), name)
    return ListedCommits(commits, holders, failed)


def list_commit_names(replica: Replica, source_id: SourceId | None = None) -> list[names.SnapshotObject]:
    """Return the snapshots that a replica lists as committed."""
    prefix = names.SNAPSHOTS if source_id is None else f"{names.SNAPSHOTS}{source_id}/"
    parsed = (names.parse_snapshot_object(info.name) for info in replica.store.list(prefix))
    return [item for item in parsed if item is not None and item.role == names.COMMIT]


def read_commits(
    repository: Repository, replica: Replica, items: Iterable[names.SnapshotObject], *, cached: bool = True
) -> tuple[list[Commit], dict[str, FarshoreError]]:
    """Return the commits that open, and by name those that do not, so that one damaged record hides no other.

    Args:
        cached: Take what this host has read before; a check of the replica itself does not.

    Raises:
        StoreUnavailable, StoreDenied: The replica does not give them; what it gave before that is kept.
    """
    keys = repository.writing_keys()
    by_source: dict[SourceId, list[names.SnapshotObject]] = {}
    for item in items:
        by_source.setdefault(item.source_id, []).append(item)
    commits: list[Commit] = []
    wanted: list[names.SnapshotObject] = []
    for source_id, of_source in by_source.items():
        known = {commit.snapshot: commit for commit in _cached(repository, source_id)} if cached else {}
        commits += [known[item.snapshot_id] for item in of_source if item.snapshot_id in known]
        wanted += [item for item in of_source if item.snapshot_id not in known]
    damaged: dict[str, FarshoreError] = {}
    fetched: dict[SourceId, list[bytes]] = {}

    def read(item: names.SnapshotObject) -> tuple[Commit, bytes] | FarshoreError:
        try:
            return _open(keys, item, replica.store.get(_name(item)))
        except (Corrupt, NotFound, Unsupported) as error:
            return error

    try:
        with ThreadPoolExecutor(limits.STORE_CONNECTIONS) as pool:
            for item, result in zip(wanted, pool.map(read, wanted), strict=True):
                if isinstance(result, FarshoreError):
                    damaged[_name(item)] = result
                    continue
                commits.append(result[0])
                fetched.setdefault(item.source_id, []).append(result[1])
    finally:
        if cached:
            for source_id, payloads in fetched.items():
                _keep(repository, source_id, payloads)
    return commits, damaged


def _name(item: names.SnapshotObject) -> str:
    return names.snapshot_object(item.source_id, item.snapshot_id, names.COMMIT)


def _open(keys: KeySet, item: names.SnapshotObject, data: bytes) -> tuple[Commit, bytes]:
    """Return a commit record, opened and checked against its name, and its payload."""
    payload = open_object(
        data, secret=keys.index_key, kind=SealedKind.COMMIT, name=_name(item), repository_id=keys.repository_id
    )
    commit = decode_commit(payload)
    if (commit.snapshot, commit.source_id) != (item.snapshot_id, item.source_id):
        raise ObjectCorrupt(f"{_name(item)} names another snapshot")
    return commit, payload


# --- the local cache: records that were opened and checked, sealed again under the index key --------------------------


def _cached(repository: Repository, source_id: SourceId) -> list[Commit]:
    commits: list[Commit] = []
    for name in repository.cache.list(_folder(source_id)):
        try:
            commits += [decode_commit(payload) for payload in _unpacked(repository, source_id, name)]
        except (Corrupt, Unsupported):
            repository.cache.drop(name)
    return commits


def _keep(repository: Repository, source_id: SourceId, payloads: Sequence[bytes]) -> None:
    """Keep records in one more file, or together with those that are there once these are many.

    The joined file is written before the old ones go, so whoever dies or reads in between finds all of them.
    """
    keys, cache, folder = repository.writing_keys(), repository.cache, _folder(source_id)
    before = cache.list(folder)
    joined = before if len(before) >= limits.CACHED_COMMIT_FILES_MAX else []
    everything = dict.fromkeys(payloads)
    for name in joined:
        with contextlib.suppress(Corrupt, Unsupported):  # dropped below, and fetched again when it is wanted
            everything.update(dict.fromkeys(_unpacked(repository, source_id, name)))
    data = seal_object(
        b"".join(everything), secret=keys.index_key, key_id=INDEX_KEY_ID, salt=repository.clock.random_bytes(32),
        kind=SealedKind.CACHE, name=folder, repository_id=keys.repository_id, compress=True,
    )  # fmt: skip
    cache.put(f"{folder}/{blake3(data).hexdigest()}", data)
    for name in joined:
        cache.drop(name)


def _unpacked(repository: Repository, source_id: SourceId, name: str) -> list[bytes]:
    """Return the payloads of one file: each is canonical JSON, so each is a line."""
    keys, data = repository.writing_keys(), repository.cache.get(name)
    if data is None:  # another process joined it with others
        return []
    return open_object(
        data, secret=keys.index_key, kind=SealedKind.CACHE, name=_folder(source_id), repository_id=keys.repository_id
    ).splitlines(keepends=True)


def _folder(source_id: SourceId) -> str:
    return f"commits/{source_id}"
