"""Commits that this host has read and checked before, and the names of those that it refused.

A commit never changes, so a host fetches it once. Commits are kept as they are stored, many to a file, sealed once more
under the index key: so a listing of a thousand snapshots costs a few small reads and no signature check. Whether one
counts is judged anew each time, because a revocation may have cut it off. Without an index key nothing is kept.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping

from farshore import limits
from farshore.catalog.signed_commits import Refusal, Refused, SignedCommit, read_trusted
from farshore.errors import Corrupt, KeyMissing, Unsupported
from farshore.format import names
from farshore.format.names import CommitName
from farshore.model import SourceId
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.sealed.sealed_object import SealedKind, open_object, seal_object

_LASTING = (Refusal.UNSIGNED, Refusal.UNKNOWN_SIGNER)  # the first for ever, the second until the signer is certified


def cached_commits(repository: Repository, wanted: Iterable[CommitName]) -> dict[CommitName, SignedCommit]:
    """Return those of these commits that this host has read before."""
    by_hash = {name.hash: name for name in wanted}
    found: dict[CommitName, SignedCommit] = {}
    if _keys(repository) is None:
        return found
    for source_id in {name.source_id for name in by_hash.values()}:
        for entry in repository.cache.list(_folder(source_id)):
            try:
                for stored in _unpacked(repository, source_id, entry):
                    name = by_hash.get(names.hash_of(stored))
                    signed = read_trusted(name, stored) if name is not None else None
                    if name is not None and isinstance(signed, SignedCommit):
                        found[name] = signed
            except (Corrupt, Unsupported):
                repository.cache.drop(entry)
    return found


def keep_commits(repository: Repository, read: Iterable[SignedCommit]) -> None:
    """Keep commits whose signature holds, in one more file for each source, or joined with those that are there.

    The joined file is written before the old ones go, so a process that dies or reads in between finds all of them.
    """
    by_source: dict[SourceId, list[bytes]] = {}
    for signed in read:
        by_source.setdefault(signed.head.source_id, []).append(signed.stored)
    for source_id, stored in by_source.items():
        _keep(repository, source_id, stored)


def keep_own_commit(repository: Repository, name: str, stored: bytes) -> None:
    """Keep a commit that this process has just signed and read back, so that the next one does not fetch it."""
    parsed = names.parse_commit(name)
    signed = read_trusted(parsed, stored) if parsed is not None else None
    if isinstance(signed, SignedCommit):
        keep_commits(repository, [signed])


def _keep(repository: Repository, source_id: SourceId, stored: Iterable[bytes]) -> None:
    keys, cache, folder = _keys(repository), repository.cache, _folder(source_id)
    if keys is None:
        return
    before = cache.list(folder)
    joined = before if len(before) >= limits.CACHED_COMMIT_FILES_MAX else []
    everything = dict.fromkeys(stored)
    for entry in joined:
        with contextlib.suppress(Corrupt, Unsupported):  # dropped below, and fetched again when it is wanted
            everything.update(dict.fromkeys(_unpacked(repository, source_id, entry)))
    data = _seal(repository, keys, folder, b"".join(everything))
    cache.put(f"{folder}/{names.hash_of(data)}", data)
    for entry in joined:
        cache.drop(entry)


def _unpacked(repository: Repository, source_id: SourceId, entry: str) -> list[bytes]:
    """Return the commits of one file: each is two lines."""
    payload = _open(repository, _folder(source_id), entry)
    lines = payload.splitlines(keepends=True)
    return [first + second for first, second in zip(lines[::2], lines[1::2], strict=False)]


def refused_before(repository: Repository, wanted: Iterable[CommitName]) -> dict[CommitName, Refused]:
    """Return which of these names this host has refused before, and why; not where that may have changed."""
    by_source: dict[SourceId, list[CommitName]] = {}
    for name in wanted:
        by_source.setdefault(name.source_id, []).append(name)
    found: dict[CommitName, Refused] = {}
    for source_id, of_source in by_source.items():
        known = _refusals(repository, source_id)
        for name in of_source:
            refused = known.get(name.hash)
            if refused and (refused.reason is Refusal.UNSIGNED or not repository.trust.certificate(refused.signer)):
                found[name] = refused
    return found


def remember_refused(repository: Repository, refused: Mapping[CommitName, Refused]) -> None:
    """Remember names that were refused for what their bytes are, so that they are not read again."""
    keys = _keys(repository)
    by_source: dict[SourceId, dict[str, Refused]] = {}
    for name, why in refused.items():
        if why.reason in _LASTING:
            by_source.setdefault(name.source_id, {})[name.hash] = why
    for source_id, new in by_source.items() if keys is not None else ():
        known = {**_refusals(repository, source_id), **new}
        kept = dict(list(known.items())[-limits.REFUSED_KEPT_MAX :])
        lines = "".join(f"{json.dumps([one, why.reason.value, why.signer])}\n" for one, why in kept.items())
        entry = _refused_name(source_id)
        if keys is not None:
            repository.cache.put(entry, _seal(repository, keys, entry, lines.encode()))


def _refusals(repository: Repository, source_id: SourceId) -> dict[str, Refused]:
    entry = _refused_name(source_id)
    try:
        rows = [json.loads(line) for line in _open(repository, entry, entry).splitlines()]
        return {one: Refused(Refusal(reason), signer) for one, reason, signer in rows}
    except (Corrupt, Unsupported, ValueError, TypeError):
        repository.cache.drop(entry)
        return {}


def _seal(repository: Repository, keys: KeySet, bound_to: str, payload: bytes) -> bytes:
    return seal_object(
        payload, secret=keys.index_key, key_id=keys.own, salt=repository.clock.random_bytes(32),
        kind=SealedKind.CACHE, name=bound_to, repository_id=keys.repository_id, compress=True,
    )  # fmt: skip


def _open(repository: Repository, bound_to: str, entry: str) -> bytes:
    """Return the payload of one file; nothing where there is none, or no key for it."""
    keys, data = _keys(repository), repository.cache.get(entry)
    if keys is None or data is None:
        return b""
    return open_object(
        data, secret=keys.index_key, kind=SealedKind.CACHE, name=bound_to, repository_id=keys.repository_id
    )


def _keys(repository: Repository) -> KeySet | None:
    """Return the keys at hand, where they have an index key."""
    try:
        return repository.keys if repository.keys is not None and repository.keys.index_key else None
    except KeyMissing:
        return None


def _folder(source_id: SourceId) -> str:
    return f"commits/{source_id}"


def _refused_name(source_id: SourceId) -> str:
    return f"refused/{source_id}"
