"""Folds: one index fragment in place of many, so that a host without a cache asks few times.

docs/reference/format.md, section 5. As in a log-structured merge tree: fragments of a like size are folded once there
are `FOLD_FRAGMENTS_MIN`, into one that is of the next level, so a footer is written once on each of a few levels.
A fold deletes nothing: the pruner does, once it has seen that the fold has all packs that stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from farshore import limits
from farshore.catalog.fragments import decode_named, open_cached
from farshore.catalog.inventory import Inventory
from farshore.errors import READ_ERRORS
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.fragments import Fragment, FragmentEntry
from farshore.index import ABSENT
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository
from farshore.sealed.fragments import make_fragment


@dataclass(frozen=True, slots=True)
class Fold:
    """A new fragment, and the replicas that list every pack of it."""

    name: str
    body: bytes
    replicas: frozenset[str]


def fold_own(repository: Repository, inventory: Inventory, condemned: Collection[str]) -> Fold | None:
    """Return the fragments of this party folded into one, where enough of a like size are listed; else None.

    Nothing is put. A fragment that cannot be read now, or names a condemned pack, is left for a later run.
    """
    sizes = {one: size for listed in inventory.fragments.values() for one, size in listed.items()}
    gone = {one for superseded in inventory.own_fragments.values() for one in superseded}
    chosen = choose({one: sizes[one] for one in inventory.own_fragments if one not in gone})
    read = {one: fragment for one in chosen if (fragment := _read(repository, one)) is not None}
    doomed = set(condemned)
    members = {
        one: fragment.entries
        for one, fragment in read.items()
        if not doomed or doomed.isdisjoint(names.pack(entry.pack_id.hex()) for entry in fragment.entries)
    }
    if len(members) < 2:
        return None
    entries = join_entries(members.values())
    listed = {one for one in sizes if one in gone or one in members}
    superseded = sorted({one for member in members for one in (member, *inventory.own_fragments[member])} & listed)
    superseded = superseded[: limits.FRAGMENT_SUPERSEDED_MAX]
    body = make_fragment(entries, repository.writing_keys(), [bytes.fromhex(one) for one in superseded])
    return Fold(names.fragment(names.hash_of(body)), body, frozenset(_holders(inventory, entries)))


def choose(sizes: Mapping[str, int]) -> list[str]:
    """Return the fragments (id -> bytes) to fold into one, smallest first; none where too few are alike. Pure.

    Those are the ones of the highest level that is full, and all of lower ones, as far as they fit into one object.
    """
    order = sorted(sizes, key=lambda one: (sizes[one], one))
    start, least, most = 0, 0, limits.FOLD_LEVEL_BYTES
    chosen = 0
    while least < limits.FOLD_BYTES_MAX // 2:
        most = min(most, limits.FOLD_BYTES_MAX // 2)
        end = start + sum(least <= sizes[one] < most for one in order)
        if end - start >= limits.FOLD_FRAGMENTS_MIN:
            chosen = end
        start, least, most = end, most, most * limits.FOLD_FRAGMENTS_MIN
    total = np.cumsum([sizes[one] for one in order[:chosen]])
    return order[: int(np.searchsorted(total, limits.FOLD_BYTES_MAX, side="right"))]


def join_entries(parts: Iterable[Iterable[FragmentEntry]]) -> list[FragmentEntry]:
    """Return the entries of several fragments, each pack once, sorted by pack: equal packs give equal bytes."""
    found = {entry.pack_id: entry for part in parts for entry in part}
    return [found[pack_id] for pack_id in sorted(found)]


def _read(repository: Repository, fragment_id: str) -> Fragment | None:
    try:
        return open_cached(
            repository, open_reader(repository), names.fragment(fragment_id), partial(decode_named, fragment_id)
        )
    except READ_ERRORS:
        return None


def _holders(inventory: Inventory, entries: Collection[FragmentEntry]) -> list[str]:
    """Return the replicas that list every pack of a fold: a listed fragment promises its packs."""
    rows = inventory.listed.find(np.frombuffer(b"".join(one.pack_id for one in entries), PACK_ID_DTYPE))
    if (rows == ABSENT).any():
        return []
    return [name for name in inventory.fragments if bool(inventory.listed.lists(rows, name).all())]
