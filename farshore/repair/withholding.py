"""Objects that a pruned replica lacks and is not given by a heal: they would be garbage there once more."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from farshore.catalog.fragments import open_cached
from farshore.catalog.pack_trust import is_made_here
from farshore.errors import CACHED_READ_ERRORS
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.fragments import SUBJECT, Fragment, decode_fragment
from farshore.format.object_kinds import Kind
from farshore.index import ABSENT, IdRows
from farshore.repair.object_kinds import kind_of
from farshore.repair.replica_listing import Union
from farshore.replicas.repository import Replica, Repository
from farshore.signing import SignedKind


class Withholding:
    """The judgment of one heal. One thread.

    Args:
        needed: For each pack of `union.packs` whether an accepted commit needs it.
    """

    def __init__(
        self,
        repository: Repository,
        replicas: Mapping[str, Replica],
        union: Union,
        needed: npt.NDArray[np.bool_],
    ) -> None:
        self._repository = repository
        self._replicas = replicas
        self._union = union
        self._needed = needed

    def from_replica(self, replica: str) -> set[str]:
        """Return the packs that nothing needs, fragments with such packs, and fragments that have a fold there."""
        packs = self._union.packs
        there = packs.sizes_at(replica, np.arange(len(packs))) != ABSENT
        found = {names.pack(packs.pack_id(int(row))) for row in np.flatnonzero(~there & ~self._needed)}
        others = self._union.others
        fragments = {name: sizes for name, sizes in others.items() if kind_of(name) is Kind.FRAGMENT}
        lacked = {name: sizes for name, sizes in fragments.items() if replica not in sizes}
        folds = self._folds_at(replica, fragments.keys() - lacked.keys()) if lacked else {}
        for name, sizes in lacked.items():
            ids = self._packs_of(name, sizes)
            rows = packs.find(ids)
            folded = any(
                (IdRows(self._packs_of(fold, [replica])).find(ids) != ABSENT).all() for fold in folds.get(name, ())
            )
            if folded or (rows == ABSENT).any() or not (there[rows] | self._needed[rows]).all():
                found.add(name)
        return found

    def _folds_at(self, replica: str, fragments: Iterable[str]) -> Mapping[str, Collection[str]]:
        """Return for each fragment that is superseded at a replica the signed folds there that name it."""
        folds: dict[str, list[str]] = {}
        for name in fragments:
            fragment = self._fragment(name, [replica])
            if fragment is None or not is_made_here(
                self._repository, SignedKind.FRAGMENT, fragment.signature, SUBJECT, fragment.digest
            ):
                continue
            for one in fragment.superseded:
                folds.setdefault(names.fragment(one.hex()), []).append(name)
        return folds

    def _packs_of(self, name: str, holders: Iterable[str]) -> npt.NDArray[np.void]:
        """Return the packs that a fragment names; none where it cannot be read."""
        fragment = self._fragment(name, holders)
        entries = fragment.entries if fragment is not None else ()
        return np.frombuffer(b"".join(one.pack_id for one in entries), PACK_ID_DTYPE)

    def _fragment(self, name: str, holders: Iterable[str]) -> Fragment | None:
        for holder in holders:
            with contextlib.suppress(*CACHED_READ_ERRORS):
                return open_cached(self._repository, self._replicas[holder], name, decode_fragment)
        return None
