"""Commit records: which snapshots the replicas list, and the records of those.

A record never changes, so a host fetches it once. Fetched records are kept sealed in the local cache, many records to
a file: a listing of a thousand snapshots then costs the pages of the listing and a few small reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from blake3 import blake3

from farshore import limits
from farshore.errors import Corrupt, FarshoreError, NotFound, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.records import Commit, decode_commit
from farshore.model import SnapshotId, SourceId
from farshore.replicas.ask import ask_all
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.sealed.keys import KeySet
from farshore.sealed.sealed_object import SealedKind, open_object, seal_object


@dataclass(frozen=True, slots=True)
class ListedCommits:
    """The snapshots that replicas list as committed. `failed`: replicas that could not be listed or read."""

    commits: Mapping[SnapshotId, Commit]
    holders: Mapping[SnapshotId, tuple[str, ...]]  # replicas in the order of the configuration
    failed: Mapping[str, FarshoreError]
    stored_utc: Mapping[SnapshotId, datetime] = field(default_factory=dict)  # the earliest that a replica reports

    def only(self, source_ids: Collection[SourceId]) -> ListedCommits:
        """Return those of some sources."""
        kept = {one for one, commit in self.commits.items() if commit.source_id in source_ids}
        return ListedCommits(
            {one: commit for one, commit in self.commits.items() if one in kept},
            {one: holders for one, holders in self.holders.items() if one in kept},
            self.failed,
            {one: moment for one, moment in self.stored_utc.items() if one in kept},
        )


def commit_name(commit: Commit) -> str:
    """Return the object name of a commit record."""
    return names.snapshot_object(commit.source_id, commit.snapshot, names.COMMIT)


def list_commits(repository: Repository, source_id: SourceId | None = None) -> ListedCommits:
    """Return the snapshots that reachable replicas list, of one source or of all. Lists them concurrently.

    A record damaged at one replica is read from another that lists it; one that no replica has whole is left out.
    """
    listed, failed = ask_all(
        repository.replicas,
        lambda name: list(_listed_commits(repository.replicas[name], source_id)),
        clock=repository.clock,
        patient=repository.patient,
        alive=lambda name: repository.replicas[name].life_sign(),
        on_wait=repository.on_wait,
        first_bug=repository.first_bug,
    )
    holders: dict[names.SnapshotObject, tuple[str, ...]] = {}
    stored_utc: dict[SnapshotId, datetime] = {}
    for name in repository.replicas:
        for item, moment in listed.get(name, ()):
            holders[item] = (*holders.get(item, ()), name)
            if moment is not None:
                stored_utc[item.snapshot_id] = min(moment, stored_utc.get(item.snapshot_id, moment))
    commits: dict[SnapshotId, Commit] = {}
    for replicas, items in _by_holders(holders).items():
        reader = open_reader(repository, only=replicas)
        try:
            read, bad = read_commits(repository, reader, items, failures_max=limits.STORE_CONNECTIONS)
        except FarshoreError as error:
            failed.update({name: error for name in replicas if name not in failed})
            continue
        commits.update({commit.snapshot: commit for commit in read})
        for reason in bad.values():
            if not isinstance(reason, (Corrupt, NotFound, Unsupported)):  # so what these replicas hold is not known
                failed.update({name: reason for name in replicas if name not in failed})
    repository.note_unasked(failed)
    known = {
        item.snapshot_id: replicas for item, replicas in holders.items() if _is_of(commits.get(item.snapshot_id), item)
    }
    return ListedCommits(commits, known, failed, stored_utc)


def _by_holders(
    holders: Mapping[names.SnapshotObject, tuple[str, ...]],
) -> dict[tuple[str, ...], list[names.SnapshotObject]]:
    """Return the snapshots by the replicas that list them, so that each is asked only for those it lists."""
    grouped: dict[tuple[str, ...], list[names.SnapshotObject]] = {}
    for item, replicas in holders.items():
        grouped.setdefault(replicas, []).append(item)
    return grouped


def _is_of(commit: Commit | None, item: names.SnapshotObject) -> bool:
    return commit is not None and commit.source_id == item.source_id


def list_commit_names(replica: Replica, source_id: SourceId | None = None) -> list[names.SnapshotObject]:
    """Return the snapshots that a replica lists as committed."""
    return [item for item, _ in _listed_commits(replica, source_id)]


def _listed_commits(
    replica: Replica, source_id: SourceId | None
) -> Iterator[tuple[names.SnapshotObject, datetime | None]]:
    """Yield the snapshots that a replica lists as committed, each with the time of its record there."""
    prefix = names.SNAPSHOTS if source_id is None else f"{names.SNAPSHOTS}{source_id}/"
    for info in replica.store.list(prefix):
        item = names.parse_snapshot_object(info.name)
        if item is not None and item.role == names.COMMIT:
            yield item, info.modified_utc


def read_commits(
    repository: Repository,
    source: ObjectSource,
    items: Iterable[names.SnapshotObject],
    *,
    cached: bool = True,
    failures_max: int = 0,
) -> tuple[list[Commit], dict[str, FarshoreError]]:
    """Return the commits that open, and by name those that do not, so that one damaged record hides no other.

    Args:
        cached: Use the records that this host has read before; a check of the replica itself does not.
        failures_max: How many records may be refused or out of reach; they are returned with those that do not open.

    Raises:
        StoreUnavailable, StoreDenied: The source does not give them; records read before that are kept.
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
    bad: dict[str, FarshoreError] = {}
    fetched: dict[SourceId, list[bytes]] = {}

    def read(item: names.SnapshotObject) -> tuple[Commit, bytes] | FarshoreError:
        try:
            return source.get(_name(item), lambda data: _open(keys, item, data))
        except FarshoreError as error:
            return error

    failures = 0
    try:
        with ThreadPoolExecutor(limits.STORE_CONNECTIONS) as pool:
            for item, result in zip(wanted, pool.map(read, wanted), strict=True):
                if isinstance(result, FarshoreError):
                    failures += not isinstance(result, (Corrupt, NotFound, Unsupported))
                    if failures > failures_max:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise result
                    bad[_name(item)] = result
                    continue
                commits.append(result[0])
                fetched.setdefault(item.source_id, []).append(result[1])
    finally:
        if cached:
            for source_id, payloads in fetched.items():
                _keep(repository, source_id, payloads)
    return commits, bad


def read_commit(repository: Repository, source: ObjectSource, source_id: SourceId, snapshot_id: SnapshotId) -> Commit:
    """Return one commit record, from a replica and not from the cache.

    Raises:
        ObjectNotFound, ObjectCorrupt, StoreUnavailable, StoreDenied: It cannot be had.
    """
    keys, item = repository.writing_keys(), names.SnapshotObject(source_id, snapshot_id, names.COMMIT)
    return source.get(_name(item), lambda data: _open(keys, item, data)[0])


def is_commit(repository: Repository, name: str, data: bytes) -> bool:
    """Whether these bytes are the commit record of this name, as the key that sealed it proves."""
    item = names.parse_snapshot_object(name)
    if item is None or item.role != names.COMMIT:
        return False
    try:
        _open(repository.writing_keys(), item, data)
    except (Corrupt, Unsupported):
        return False
    return True


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

    The joined file is written before the old ones go, so a process that dies or reads in between finds all of them.
    """
    keys, cache, folder = repository.writing_keys(), repository.cache, _folder(source_id)
    before = cache.list(folder)
    joined = before if len(before) >= limits.CACHED_COMMIT_FILES_MAX else []
    everything = dict.fromkeys(payloads)
    for name in joined:
        with contextlib.suppress(Corrupt, Unsupported):  # dropped below, and fetched again when it is wanted
            everything.update(dict.fromkeys(_unpacked(repository, source_id, name)))
    data = seal_object(
        b"".join(everything), secret=keys.index_key, key_id=keys.own, salt=repository.clock.random_bytes(32),
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
