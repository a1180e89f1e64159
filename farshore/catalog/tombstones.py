"""Tombstones: which commits a maintainer has forgotten. A forgotten snapshot is neither listed nor healed.

Tombstones of all replicas unite, and so do the objects that counter them; in any order the result is the same. Their
names carry their hashes, so whichever replica gives one serves for all. One that no maintainer signed counts for
nothing, and is read once. A maintainer that was revoked forgets nothing any more, so a thief with its key hides
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from farshore.catalog.signed_objects import holders_of, read_counting
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.format.tombstone import CounterTombstone, Tombstone, decode_counter, decode_tombstone
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
    return frozenset(_active(repository, {**tombstones, **holders_of(listed)}))


def active_tombstones(repository: Repository) -> dict[str, dict[str, Tombstone]]:
    """Return the tombstones that nothing counters, by the commit that they forget, each by its hash."""
    return active_among(read_every_tombstone(repository)[0])


def read_every_tombstone(
    repository: Repository, *, required: str = ""
) -> tuple[dict[str, Tombstone | CounterTombstone], dict[str, tuple[str, ...]]]:
    """Return by name the tombstones and counter-objects that count, and the replicas that list each name.

    Args:
        required: A replica that must answer; its error is raised.
    """
    listed, failed = repository.ask_all(
        lambda replica: [*_names_below(replica, names.FORGOTTEN), *_names_below(replica, names.UNFORGOTTEN)]
    )
    if required in failed:
        raise failed[required]
    repository.note_unasked(failed)
    holders = holders_of(listed)
    return read_tombstones(repository, holders, repository.replicas), holders


def _active(repository: Repository, holders: Mapping[str, Iterable[str]]) -> dict[str, dict[str, Tombstone]]:
    return active_among(read_tombstones(repository, holders, repository.replicas))


def active_among(read: Mapping[str, Tombstone | CounterTombstone]) -> dict[str, dict[str, Tombstone]]:
    """Return the tombstones among these that none of them counters, by the commit that they forget. Pure."""
    countered = {
        one for counter in read.values() if isinstance(counter, CounterTombstone) for one in counter.tombstones
    }
    active: dict[str, dict[str, Tombstone]] = {}
    for name, stone in read.items():
        stone_hash = name.rpartition("-")[2]
        if isinstance(stone, Tombstone) and stone_hash not in countered:
            active.setdefault(stone.commit, {})[stone_hash] = stone
    return active


def read_tombstones(
    repository: Repository, holders: Mapping[str, Iterable[str]], replicas: Mapping[str, Replica]
) -> dict[str, Tombstone | CounterTombstone]:
    """Return by name those that a maintainer signed, among names and the replicas that list each."""
    checker = SignatureChecker.of(repository)
    return read_counting(
        repository, holders, replicas, lambda name, data: _judge(checker, name, data), memory="void-tombstones"
    )


def _names_below(replica: Replica, prefix: str) -> list[str]:
    return [info.name for info in replica.store.list(prefix) if names.parse_tombstone(info.name)]


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
