"""Small signed objects named by their hash, of all replicas together: whichever replica gives one serves for all.

One that counts for nothing is read once for each state of the owner log, and within a bound, by anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from farshore import limits
from farshore.errors import READ_ERRORS
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.replicas.remembered import remember, remembered
from farshore.replicas.repository import Replica, Repository

Judged = TypeVar("Judged")
_HASH_DIGITS = 64


def read_counting(
    repository: Repository,
    holders: Mapping[str, Iterable[str]],
    replicas: Mapping[str, Replica],
    judge: Callable[[str, bytes], Judged | None],
    *,
    memory: str,
) -> dict[str, Judged]:
    """Return by name the objects that count; those that were read before are first, so that none can crowd them out.

    Args:
        holders: Names, and the replicas that list each.
        judge: Returns an object by its name and bytes, or None where it counts for nothing.
        memory: Where the cache keeps the names of those.
    """
    head = repository.trust.head
    memory = f"{memory}/{head.hash if head else ''}"
    void = remembered(repository.cache, memory)
    found: dict[str, Judged] = {}
    refused: set[str] = set()
    for name in sorted(holders.keys() - void, key=lambda one: (repository.cache.path(one) is None, one)):
        if len(refused) > max(limits.UNKNOWN_SIGNED_MAX, 2 * len(found)):
            break  # the others are read by the next command
        data = _get(repository, name, holders[name], replicas)
        if data is None:
            continue
        judged = judge(name, data)
        if judged is None:
            refused.add(name)
            continue
        found[name] = judged
        if repository.cache.path(name) is None:
            repository.cache.put(name, data)
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


def _get(repository: Repository, name: str, holders: Iterable[str], replicas: Mapping[str, Replica]) -> bytes | None:
    """Return the bytes that hash to the name, from the cache or the first replica that has them."""
    data = repository.cache.get(name)
    if data is not None and names.hash_of(data) == name[-_HASH_DIGITS:]:
        return data
    for holder in holders:
        if holder not in replicas:
            continue
        try:
            data = replicas[holder].store.get(name, bytes_max=object_bytes_max(name))
        except READ_ERRORS:
            continue
        if names.hash_of(data) == name[-_HASH_DIGITS:]:
            return data
    return None
