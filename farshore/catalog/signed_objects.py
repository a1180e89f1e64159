"""Small signed objects named by their hash, of all replicas together: whichever replica gives one serves for all.

One that counts for nothing is read once for each state of the owner log, and within a bound, by anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from farshore import limits
from farshore.errors import (
    READ_ERRORS,
    Corrupt,
    FarshoreError,
    NotFound,
    ObjectCorrupt,
    StateUnknown,
    StoreUnavailable,
)
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
    unknown_max: int = limits.UNKNOWN_SIGNED_MAX,
    unread: dict[str, FarshoreError] | None = None,
) -> dict[str, Judged]:
    """Return by name the objects that count; those that were read before are first, so that none can crowd them out.

    Args:
        holders: Names, and the replicas that list each. Those that no replica gives are read last the next time.
        judge: Returns an object by its name and bytes, or None where it counts for nothing.
        memory: Where the cache keeps the names of those.
        unknown_max: How many of those are read at once, or twice those that count.
        unread: Filled with the reason why others were not read, by name: `NotFound` where no replica has one any more,
            and `StateUnknown` where too many before it counted for nothing.
    """
    head = repository.trust.head
    memory = f"{memory}/{head.hash if head else ''}"
    void, unreadable = remembered(repository.cache, memory), remembered(repository.cache, f"{memory}-unreadable")
    found: dict[str, Judged] = {}
    refused: set[str] = set()
    unread = {} if unread is None else unread
    nothing: set[str] = set()  # no replica gives what the name says
    counted_bytes = refused_bytes = 0

    def turn(name: str) -> tuple[bool, bool, str]:
        return repository.cache.path(name) is None, name in unreadable, name

    for name in sorted(holders.keys() - void, key=turn):
        many = len(refused) + len(nothing) > max(unknown_max, 2 * len(found))
        if many or refused_bytes >= max(limits.UNKNOWN_BYTES_MAX, counted_bytes):  # the next command reads others
            unread[name] = StateUnknown(f"{name} was not read yet: too many others count for nothing")
            continue
        data = _get(repository, name, holders[name], replicas)
        if not isinstance(data, bytes):
            unread[name] = data
            nothing.add(name)
            continue
        judged = judge(name, data)
        if judged is None:
            refused.add(name)
            refused_bytes += len(data)
            continue
        found[name] = judged
        counted_bytes += len(data)
        if repository.cache.path(name) is None:
            repository.cache.put(name, data)
    for entry, words in ((memory, refused), (f"{memory}-unreadable", nothing)):
        if words:
            remember(repository.cache, entry, words)
    return found


def holders_of(listed: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the replicas that list each name, from the names that each replica lists."""
    holders: dict[str, tuple[str, ...]] = {}
    for replica, found in listed.items():
        for name in found:
            holders[name] = (*holders.get(name, ()), replica)
    return holders


def _get(
    repository: Repository, name: str, holders: Iterable[str], replicas: Mapping[str, Replica]
) -> bytes | FarshoreError:
    """Return the bytes that hash to the name, from the cache or the first replica that has them; else why not.

    An error that may pass is returned before one that may not.
    """
    data = repository.cache.get(name)
    if data is not None and names.hash_of(data) == name[-_HASH_DIGITS:]:
        return data
    errors: list[FarshoreError] = []
    for holder in holders:
        if holder not in replicas:
            continue
        try:
            data = replicas[holder].store.get(name, bytes_max=object_bytes_max(name))
        except READ_ERRORS as error:
            errors.append(error)
            continue
        if names.hash_of(data) == name[-_HASH_DIGITS:]:
            return data
        errors.append(ObjectCorrupt(f"the bytes of {name} at {holder} do not hash to its name"))
    passing = [one for one in errors if not isinstance(one, (Corrupt, NotFound))]
    gone = [one for one in errors if isinstance(one, NotFound)]
    return next(iter([*passing, *gone, *errors]), StoreUnavailable(f"no replica can be asked for {name}"))
