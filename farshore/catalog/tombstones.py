"""Tombstones: which commits a maintainer has forgotten. A forgotten snapshot is neither listed nor healed.

Tombstones of all replicas unite, and so do the objects that counter them; in any order the result is the same. Their
names carry their hashes, so whichever replica gives one serves for all. One that no maintainer signed counts for
nothing, and is read once. A maintainer that was revoked forgets nothing any more, so a thief with its key hides
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from farshore import limits
from farshore.errors import READ_ERRORS, FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.format.tombstone import CounterTombstone, Tombstone, decode_counter, decode_tombstone
from farshore.replicas.remembered import remember, remembered
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker
from farshore.signing import SignedKind
from farshore.trust.actions import Right


def forgotten_commits(repository: Repository, *, required: str = "") -> frozenset[str]:
    """Return the hashes of the commits that are forgotten, as far as replicas can be asked.

    Args:
        required: A replica that must answer; its error is raised.
    """
    listed, failed = repository.ask_all(lambda replica: _names_below(replica, names.FORGOTTEN))
    if required in failed:
        raise failed[required]
    repository.note_unasked(failed)
    return forgotten_among(repository, holders_of(listed))


def forgotten_among(repository: Repository, tombstones: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return the hashes of the commits that these tombstones forget, and nothing counters.

    Args:
        tombstones: Their names, and the replicas that list each.
    """
    if not tombstones:
        return frozenset()
    listed, failed = repository.ask_all(lambda replica: _names_below(replica, names.UNFORGOTTEN))
    repository.note_unasked(failed)
    read = read_tombstones(repository, {**tombstones, **holders_of(listed)}, repository.replicas)
    countered = {
        one for counter in read.values() if isinstance(counter, CounterTombstone) for one in counter.tombstones
    }
    return frozenset(
        stone.commit
        for name, stone in read.items()
        if isinstance(stone, Tombstone) and name.rpartition("-")[2] not in countered
    )


def read_tombstones(
    repository: Repository, holders: Mapping[str, Iterable[str]], replicas: Mapping[str, Replica]
) -> dict[str, Tombstone | CounterTombstone]:
    """Return by name those that a maintainer signed, among names and the replicas that list each."""
    head = repository.trust.head
    memory = f"void-tombstones/{head.hash if head else ''}"
    void = remembered(repository.cache, memory)
    checker = SignatureChecker.of(repository)
    found: dict[str, Tombstone | CounterTombstone] = {}
    refused: set[str] = set()
    for name in sorted(holders.keys() - void):
        if len(refused) > max(limits.UNKNOWN_TOMBSTONES_MAX, 2 * len(found)):
            break  # the others are read by the next command
        data = _get(repository, name, holders[name], replicas)
        stone = None if data is None else _judge(checker, name, data)
        if stone is not None:
            found[name] = stone
        elif data is not None:
            refused.add(name)
    if refused:
        remember(repository.cache, memory, refused)
    return found


def holders_of(listed: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the replicas that list each name, from the names that each replica lists."""
    holders: dict[str, tuple[str, ...]] = {}
    for replica, found in listed.items():
        for name in found:
            holders[name] = (*holders.get(name, ()), replica)
    return holders


def _names_below(replica: Replica, prefix: str) -> list[str]:
    return [info.name for info in replica.store.list(prefix) if names.parse_tombstone(info.name)]


def _get(repository: Repository, name: str, holders: Iterable[str], replicas: Mapping[str, Replica]) -> bytes | None:
    """Return the bytes that hash to the name, from the cache or the first replica that has them."""
    data = repository.cache.get(name)
    if data is not None and names.hash_of(data) == name[-64:]:
        return data
    for holder in holders:
        if holder not in replicas:
            continue
        try:
            data = replicas[holder].store.get(name, bytes_max=object_bytes_max(name))
        except READ_ERRORS:
            continue
        if names.hash_of(data) == name[-64:]:
            repository.cache.put(name, data)
            return data
    return None


def _judge(checker: SignatureChecker, name: str, data: bytes) -> Tombstone | CounterTombstone | None:
    parsed = names.parse_tombstone(name)
    if parsed is None:
        return None
    kind = SignedKind.UNTOMBSTONE if parsed.counters else SignedKind.TOMBSTONE
    text = checker.check(kind, name, data, parsed.subject)
    if text is None or not checker.trust().may(text.signer, Right.MAINTAIN):
        return None
    try:
        stone = (decode_counter if parsed.counters else decode_tombstone)(text.value, name)
    except (ObjectCorrupt, FormatTooNew):
        return None
    return stone if stone.snapshot == parsed.snapshot else None
