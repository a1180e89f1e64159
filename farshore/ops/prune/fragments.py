"""Index fragments that name packs which go: a fragment with the others supersedes each, and is put before it goes.

A listed fragment promises its packs, so none may name one that is gone. A fragment that a fold supersedes goes as well,
once it was seen that the fold has every pack of it that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from farshore.catalog.fragments import check_named, open_cached
from farshore.catalog.pack_trust import is_made_here
from farshore.catalog.refused import RefusedObjects
from farshore.errors import Corrupt, PruneRefused, StateUnknown, Unsupported
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
    """The fragments of a replica that go. `naming`: those that name packs which go; `folded`: those of a fold.

    `locked`: those that their locks keep, with the packs among `unneeded` that they name.
    """

    naming: list[ObjectInfo] = field(default_factory=list)
    folded: list[ObjectInfo] = field(default_factory=list)
    locked: list[ObjectInfo] = field(default_factory=list)
    unneeded: Table = field(default_factory=lambda: np.zeros(0, PACK_ID_DTYPE))

    @property
    def going(self) -> list[ObjectInfo]:
        """All of them."""
        return [*self.naming, *self.folded]


class FragmentReader:
    """Reads the fragments of one replica that certified signers made; one in memory at a time.

    All of them have to be read, because one that names a pack must go before it. So where more than the bounds of a run
    are of nobody, the replica waits: each was read once, and the next run reads others.
    """

    def __init__(self, repository: Repository, replica: Replica) -> None:
        self._repository = repository
        self._replica = replica
        head = repository.trust.head
        self._refused = RefusedObjects(repository.cache, head.hash if head is not None else "", "not-made-here")
        self._counted: dict[str, int] = {}  # name -> bytes

    def listed(self) -> list[ObjectInfo]:
        """List the fragments."""
        return [info for info in self._replica.store.list(names.FRAGMENTS) if names.parse_fragment(info.name)]

    def read(self, info: ObjectInfo) -> Fragment | None:
        """Return a fragment; None where it is damaged, or nobody certified made it: such a one promises nothing.

        Raises:
            PruneRefused: Too many were read that nobody certified made.
        """
        if self._refused.remembers(info.name):
            return None
        if self._refused.exhausted(len(self._counted), sum(self._counted.values())):
            raise PruneRefused(
                f"{self._replica.name} holds more objects below {names.FRAGMENTS} that nobody certified made than one "
                "run reads",
                "Run the prune again: each run reads others. Find out who may write to that replica.",
            )

        is_named = False

        def decode(data: bytes) -> Fragment:
            nonlocal is_named
            check_named(names.parse_fragment(info.name) or "", data)
            is_named = True
            return decode_fragment(data)

        def is_made(fragment: Fragment) -> bool:
            return is_made_here(
                self._repository, SignedKind.FRAGMENT, fragment.signature, SUBJECT, fragment.digest
            )  # fmt: skip

        try:
            fragment = open_cached(self._repository, self._replica, info.name, decode, info.size, is_made)
        except (Corrupt, Unsupported) as error:
            if is_named and isinstance(error, Corrupt):  # whatever has this name is no fragment
                self._refused.note(info.name, info.size)
            else:  # a good copy may get the name, and a later program may read it
                self._refused.note_unreadable(info.name, info.size)
            return None
        if not is_made(fragment):
            self._refused.note(info.name, info.size)
            return None
        self._counted[info.name] = info.size
        return fragment


def plan_fragments(repository: Repository, replica: Replica, garbage: Garbage) -> FragmentPlan:
    """Return the fragments that go with these packs. Packs that a locked fragment names are let stay."""
    reader = FragmentReader(repository, replica)
    plan = FragmentPlan(unneeded=garbage.packs.ids)
    listed = reader.listed()
    unneeded = IdSet([plan.unneeded.tobytes()])
    naming = [info for info in listed if (one := reader.read(info)) is not None and _names_any(one, unneeded)]
    plan.locked = [info for info, locked in zip(naming, are_locked(replica, naming), strict=True) if locked]
    for info in plan.locked:
        if (fragment := reader.read(info)) is not None:
            garbage.keep(IdSet([_ids(fragment).tobytes()]).among(garbage.packs.ids))
    going = IdSet([garbage.packs.ids.tobytes()])
    plan.naming = [one for one in naming if (found := reader.read(one)) is not None and _names_any(found, going)]
    named = {one.name for one in plan.naming}
    folded = list(_folded(reader, [one for one in listed if one.name not in named], plan.naming))
    plan.folded = [one for one, is_locked in zip(folded, are_locked(replica, folded), strict=True) if not is_locked]
    return plan


def supersede_locked(repository: Repository, replica: Replica, plan: FragmentPlan) -> None:
    """Put for each fragment that its lock keeps one without the packs that nothing needs.

    Then no writer extends that lock any more, so fragment and packs go once it ends.
    """
    unneeded = IdSet([plan.unneeded.tobytes()])
    for info in plan.locked:
        fragment = FragmentReader(repository, replica).read(info)
        if fragment is not None:
            _put_without(repository, replica, info, fragment, unneeded)


def supersede(
    repository: Repository, replica: Replica, condemned: Iterable[ObjectInfo], going: Table, unneeded: Table
) -> Iterator[ObjectInfo]:
    """Put for each of these fragments that names packs which go one with those in use; yield those that may go then.

    The new one is read back before its predecessor is yielded. So are those yielded that a fold has; those whose packs
    were all rescued are not. Repeatable: the same packs give the same fragment.
    """
    reader, gone = FragmentReader(repository, replica), IdSet([going.tobytes()])
    unused = IdSet([going.tobytes(), unneeded.tobytes()])
    whole: list[ObjectInfo] = []
    for info in condemned:
        fragment = reader.read(info)
        if fragment is not None and not _names_any(fragment, gone):
            whole.append(info)
        elif fragment is not None:
            _put_without(repository, replica, info, fragment, unused)
            yield info
    yield from _folded(reader, whole, ())


def _folded(
    reader: FragmentReader, candidates: Sequence[ObjectInfo], leaving: Iterable[ObjectInfo]
) -> Iterator[ObjectInfo]:
    """Yield the fragments whose packs are all in one fold that stays: it is neither yielded nor leaves."""
    superseded: dict[bytes, list[ObjectInfo]] = {}
    for info in reader.listed() if candidates else ():
        for one in fragment.superseded if (fragment := reader.read(info)) is not None else ():
            superseded.setdefault(one, []).append(info)
    gone = {one.name for one in leaving}
    for info in candidates:
        fragment = reader.read(info) if _digest(info) in superseded else None
        for fold in superseded[_digest(info)] if fragment is not None else ():
            there = reader.read(fold) if fold.name not in gone else None
            if there is not None and fragment and IdSet([_ids(there).tobytes()]).among(_ids(fragment)).all():
                gone.add(info.name)
                yield info
                break


def _put_without(repository: Repository, replica: Replica, info: ObjectInfo, fragment: Fragment, gone: IdSet) -> None:
    """Put a fragment with the packs of another one that stay, if there are any, and read it back."""
    stays = [one for one in fragment.entries if one.pack_id not in gone]
    if not stays:
        return
    body = make_fragment(stays, repository.writing_keys(), sorted({_digest(info), *fragment.superseded}))
    name = names.fragment(names.hash_of(body))
    replica.store.put(name, body)
    if replica.store.get(name, bytes_max=len(body)) != body:
        raise StateUnknown(f"{replica.name} does not return {name} as it was written")


def _names_any(fragment: Fragment, packs: IdSet) -> bool:
    return bool(packs.among(_ids(fragment)).any())


def _ids(fragment: Fragment) -> Table:
    return np.frombuffer(b"".join(one.pack_id for one in fragment.entries), PACK_ID_DTYPE)


def _digest(info: ObjectInfo) -> bytes:
    return bytes.fromhex(names.parse_fragment(info.name) or "")
