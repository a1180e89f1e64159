"""The chunk index of one snapshot: of the packs it needs, and of the chunks asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.catalog.fragments import FragmentReader, read_footer
from farshore.catalog.listings import list_fragments, list_packs
from farshore.catalog.pack_trust import PackTrust
from farshore.errors import READ_ERRORS, Corrupt, KeyMissing, NotFound, Unsupported
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE, Footers, FootersJoin, join_footers
from farshore.format.needs import Needs
from farshore.format.pack import PackedFooter
from farshore.index import ABSENT, ChunkIndex, IdRows, first_seen
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository


def load_index(
    repository: Repository, reader: ReplicaReader, needs: Needs, chunk_ids: npt.NDArray[Any] | None = None
) -> ChunkIndex:
    """Return an index of the packs a snapshot needs: from fragments, and from the packs themselves where those lack.

    Where the footer of one can be read nowhere, or none of them has a chunk that is wanted, the other packs of the
    repository are in the index, too. Holds one fragment at a time besides the result.

    Args:
        chunk_ids: Where given (`V32`), the index has only these chunks, and is no larger.

    Raises:
        FarshoreError: No replica answers for a pack.
    """
    wanted = None if chunk_ids is None else IdRows(chunk_ids)
    packs = IdRows(np.frombuffer(bytes.fromhex("".join(pack.pack_id for pack in needs.packs)), PACK_ID_DTYPE))
    loading = _Loading(repository, packs, wanted)
    for footers in _fragments(repository, reader) if len(packs) else ():
        loading.add(footers)
        if loading.found.all():
            break
    for row in np.flatnonzero(~loading.found):
        try:
            packed = _read_footer(repository, reader, needs.packs[row].pack_id, needs.packs[row].bytes)
        except (Corrupt, NotFound, Unsupported, KeyMissing):
            continue  # its chunks are lost, unless another pack has them
        loading.add(join_footers([packed]))
    index = ChunkIndex(loading.join.finish())
    lacking = chunk_ids is not None and bool((index.find(chunk_ids) == ABSENT).any())
    if not len(packs) or (loading.found.all() and not lacking):
        return index
    return _joined(repository, index, load_other_packs(repository, reader, index, chunk_ids))


def load_other_packs(
    repository: Repository, reader: ReplicaReader, known: ChunkIndex, chunk_ids: npt.NDArray[Any] | None
) -> ChunkIndex:
    """Return an index of the packs that replicas list and another index does not have, as far as they can be read.

    Nobody has to be believed here: a chunk that a restore reads is hashed. Packs that no fragment names are read within
    a bound.
    """
    wanted = None if chunk_ids is None else IdRows(chunk_ids)
    loading = _Loading(repository, IdRows(np.zeros(0, PACK_ID_DTYPE)), wanted)
    seen: dict[bytes, None] = {one.tobytes(): None for one in known.packs.pack_ids}
    named = len(seen)

    def add(footers: Footers) -> None:
        new = np.array([one.tobytes() not in seen for one in footers.pack_ids], bool)
        seen.update((one.tobytes(), None) for one in footers.pack_ids)
        loading.join_rows(footers, new)

    for footers in _fragments(repository, reader):
        add(footers)
    left = max(limits.UNKNOWN_OBJECTS_MAX, 2 * max(named, len(seen)))
    for pack_id, size in _listed_packs(reader, seen):
        if not left:
            break
        left -= 1
        with contextlib.suppress(*READ_ERRORS):
            add(join_footers([_read_footer(repository, reader, pack_id, size)]))
    return ChunkIndex(loading.join.finish())


class _Loading:
    """Joins footers, each pack once. Some packs are looked for, and all of their chunks, or some, are kept."""

    def __init__(self, repository: Repository, packs: IdRows, wanted: IdRows | None) -> None:
        self._packs = packs
        self._wanted = wanted
        self.found = np.zeros(len(packs), dtype=bool)
        self.join = FootersJoin(repository.cache.open_unnamed)

    def add(self, footers: Footers) -> None:
        """Join the packs that are looked for and were not found yet."""
        self.join_rows(footers, first_seen(self._packs.find(footers.pack_ids), self.found))

    def join_rows(self, footers: Footers, chosen: npt.NDArray[Any]) -> None:
        """Join chosen packs."""
        if chosen.any():
            kept = None if self._wanted is None else self._wanted.find(footers.chunks["id"]) != ABSENT
            self.join.add(footers, chosen, kept)


def _joined(repository: Repository, first: ChunkIndex, second: ChunkIndex) -> ChunkIndex:
    join = FootersJoin(repository.cache.open_unnamed)
    for one in (first, second):
        join.add(one.packs, np.ones(len(one.packs), dtype=bool))
    return ChunkIndex(join.finish())


def _listed_packs(reader: ReplicaReader, seen: Collection[bytes]) -> Iterator[tuple[str, int]]:
    """Yield the packs (id, bytes) that any replica lists and that were not seen."""
    asked: set[str] = set()
    while left := reader.healthy() - asked:
        try:
            replica, listing = reader.among(left).ask(names.PACKS, lambda one: (one, list_packs(one)))
        except READ_ERRORS:
            return
        asked.add(replica.name)
        for pack_id, size in zip(listing.pack_ids, listing.pack_bytes.tolist(), strict=True):
            if pack_id.tobytes() not in seen:
                yield pack_id.tobytes().hex(), size


def load_nothing() -> ChunkIndex:
    """Return an index without packs, for restores without content."""
    return ChunkIndex(FootersJoin().finish())


def _fragments(repository: Repository, reader: ReplicaReader) -> Iterator[Footers]:
    """Yield the fragments that can be read: first those the first replica lists, then any that only others list.

    A listing that shows nothing, or too little, is no evidence, so the others are asked as long as packs are wanted.
    """
    fragment_reader = FragmentReader(repository, PackTrust(repository), any_fold=True)
    seen: set[str] = set()
    asked: set[str] = set()
    superseded: dict[str, int] = {}

    def opened(fragment_id: str, size: int) -> Iterator[Footers]:
        with contextlib.suppress(*READ_ERRORS):
            found = fragment_reader.read(reader, fragment_id, size)
            if found is not None:
                yield found.footers

    while left := reader.healthy() - asked:
        try:
            replica, fragments = reader.among(left).ask(names.FRAGMENTS, lambda one: (one, list_fragments(one)))
        except READ_ERRORS:
            break
        asked.add(replica.name)
        for fragment_id in fragment_reader.in_order({one: fragments[one] for one in fragments.keys() - seen}):
            seen.add(fragment_id)
            if fragment_reader.folds_of(fragment_id):
                superseded[fragment_id] = fragments[fragment_id]
            else:
                yield from opened(fragment_id, fragments[fragment_id])
    for fragment_id, size in superseded.items():  # a fold may lack what it says to have
        yield from opened(fragment_id, size)


def _read_footer(repository: Repository, reader: ReplicaReader, pack_id: str, size: int) -> PackedFooter:
    keys = repository.writing_keys()
    return reader.ask(names.pack(pack_id), lambda replica: read_footer(keys, replica, pack_id, size))
