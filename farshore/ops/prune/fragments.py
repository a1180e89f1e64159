"""Index fragments that name packs which go: a fragment with the others supersedes each, and is put before it goes.

A listed fragment promises its packs, so none may name one that is gone. A fragment that a fold supersedes goes as well,
once it was seen that the fold has every pack of it that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from farshore.catalog.fragments import open_cached
from farshore.catalog.pack_trust import is_made_here
from farshore.errors import Corrupt, ObjectCorrupt, StateUnknown, Unsupported
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.fragments import SUBJECT, Fragment, decode_fragment
from farshore.ops.prune.garbage import Garbage
from farshore.ops.prune.id_set import IdSet, Table
from farshore.ops.prune.locked import are_locked
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.fragments import make_fragment
from farshore.signing import SignedKind
from farshore.stores.base import ObjectInfo


@dataclass
class FragmentPlan:
    """The fragments of a replica that go. `naming`: those that name packs which go; `folded`: those of a fold."""

    naming: list[ObjectInfo] = field(default_factory=list)
    folded: list[ObjectInfo] = field(default_factory=list)

    @property
    def going(self) -> list[ObjectInfo]:
        """All of them."""
        return [*self.naming, *self.folded]


class FragmentReader:
    """Reads the fragments of one replica that certified signers made; one in memory at a time."""

    def __init__(self, repository: Repository, replica: Replica) -> None:
        self._repository = repository
        self._replica = replica

    def listed(self) -> list[ObjectInfo]:
        """List the fragments."""
        return [info for info in self._replica.store.list(names.FRAGMENTS) if names.parse_fragment(info.name)]

    def read(self, info: ObjectInfo) -> Fragment | None:
        """Return a fragment; None where it is damaged, or nobody certified made it: such a one promises nothing."""

        def decode(data: bytes) -> Fragment:
            if names.hash_of(data) != names.parse_fragment(info.name):
                raise ObjectCorrupt(f"{info.name} is altered: its bytes do not hash to its name")
            return decode_fragment(data)

        def is_made(fragment: Fragment) -> bool:
            return is_made_here(
                self._repository, SignedKind.FRAGMENT, fragment.signature, SUBJECT, fragment.digest
            )  # fmt: skip

        try:
            fragment = open_cached(self._repository, self._replica, info.name, decode, info.size, is_made)
        except (Corrupt, Unsupported):
            return None
        return fragment if is_made(fragment) else None


def plan_fragments(repository: Repository, replica: Replica, garbage: Garbage) -> FragmentPlan:
    """Return the fragments that go with these packs. Packs that a locked fragment names are let stay."""
    reader = FragmentReader(repository, replica)
    plan = FragmentPlan()
    superseded: dict[bytes, list[ObjectInfo]] = {}
    listed = reader.listed()
    for info in listed:
        fragment = reader.read(info)
        if fragment is None:
            continue
        for one in fragment.superseded:
            superseded.setdefault(one, []).append(info)
        if SortedIds(garbage.packs.ids).any_of(fragment):
            plan.naming.append(info)
    locked = are_locked(replica, plan.naming)
    for info, is_locked in zip(plan.naming, locked, strict=True):
        if is_locked and (fragment := reader.read(info)) is not None:
            garbage.keep(IdSet([_ids(fragment).tobytes()]).among(garbage.packs.ids))
    going = SortedIds(garbage.packs.ids)
    if any(locked):
        plan.naming = [one for one in plan.naming if (found := reader.read(one)) is not None and going.any_of(found)]
    named = {one.name for one in plan.naming}
    candidates = [one for one in listed if _digest(one) in superseded and one.name not in named]
    folded = list(_folded(reader, candidates, superseded, named))
    plan.folded = [one for one, is_locked in zip(folded, are_locked(replica, folded), strict=True) if not is_locked]
    return plan


def _folded(
    reader: FragmentReader, candidates: Iterable[ObjectInfo], superseded: dict[bytes, list[ObjectInfo]], named: set[str]
) -> Iterator[ObjectInfo]:
    """Yield the fragments whose packs are all in one fold that stays."""
    gone: set[str] = set()
    for info in candidates:
        fragment = reader.read(info)
        if fragment is None:
            continue
        for fold in superseded[_digest(info)]:
            there = reader.read(fold) if fold.name not in named and fold.name not in gone else None
            if there is not None and IdSet([_ids(there).tobytes()]).among(_ids(fragment)).all():
                gone.add(info.name)
                yield info
                break


def supersede(
    repository: Repository, replica: Replica, naming: Iterable[ObjectInfo], going: Table
) -> Iterator[ObjectInfo]:
    """Put for each of these fragments one with its packs that stay; yield those that may go then.

    The new one is read back before its predecessor is yielded. Repeatable: the same packs give the same fragment.
    """
    reader, keys = FragmentReader(repository, replica), repository.writing_keys()
    gone = SortedIds(going)
    for info in naming:
        fragment = reader.read(info)
        if fragment is None:
            continue
        stays = [one for one in fragment.entries if not gone.has(one.pack_id)]
        if len(stays) == len(fragment.entries):
            continue  # its packs were rescued
        if stays:
            body = make_fragment(stays, keys, sorted({_digest(info), *fragment.superseded}))
            name = names.fragment(names.hash_of(body))
            replica.store.put(name, body)
            if replica.store.get(name, bytes_max=len(body)) != body:
                raise StateUnknown(f"{replica.name} does not return {name} as it was written")
        yield info


class SortedIds:
    """Look-ups in ids that are sorted already."""

    def __init__(self, ids: Table) -> None:
        self._ids = ids

    def any_of(self, fragment: Fragment) -> bool:
        """Whether a fragment names one of them."""
        return bool(self._among(_ids(fragment)).any())

    def has(self, one: bytes) -> bool:
        """Whether one is among them."""
        return bool(self._among(np.frombuffer(one, PACK_ID_DTYPE))[0])

    def _among(self, wanted: Table) -> Table:
        if not len(self._ids):
            return np.zeros(len(wanted), dtype=bool)
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        found: Table = self._ids[at] == wanted
        return found


def _ids(fragment: Fragment) -> Table:
    return np.frombuffer(b"".join(one.pack_id for one in fragment.entries), PACK_ID_DTYPE)


def _digest(info: ObjectInfo) -> bytes:
    return bytes.fromhex(names.parse_fragment(info.name) or "")
