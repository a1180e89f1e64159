"""The chunk index of one snapshot: of the packs it needs, and of the chunks asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.catalog.fragments import list_fragments, read_footer, read_fragment
from farshore.errors import READ_ERRORS, Corrupt, NotFound, Unsupported
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE, Footers, FootersJoin, join_footers
from farshore.format.pack import PackedFooter
from farshore.format.records import Needs
from farshore.index import ABSENT, ChunkIndex, IdRows, first_seen
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository


def load_index(
    repository: Repository, reader: ReplicaReader, needs: Needs, chunk_ids: npt.NDArray[Any] | None = None
) -> ChunkIndex:
    """Return an index of the packs a snapshot needs: from fragments, and from the packs themselves where those lack.

    A pack whose footer can be read nowhere is left out. Holds one fragment at a time besides the result.

    Args:
        chunk_ids: Where given (`V32`), the index has only these chunks, and is no larger.

    Raises:
        FarshoreError: No replica answers for a pack.
    """
    packs = IdRows(np.frombuffer(bytes.fromhex("".join(pack_id for pack_id, _ in needs.packs)), PACK_ID_DTYPE))
    wanted = None if chunk_ids is None else IdRows(chunk_ids)
    found = np.zeros(len(packs), dtype=bool)
    join = FootersJoin()

    def add(footers: Footers, rows: npt.NDArray[Any]) -> None:
        new = first_seen(rows, found)
        if new.any():
            join.add(footers, new, None if wanted is None else wanted.find(footers.chunks["id"]) != ABSENT)

    for footers in _fragments(repository, reader) if len(packs) else ():
        add(footers, packs.find(footers.pack_ids))
        if found.all():
            break
    for row in np.flatnonzero(~found):
        try:
            packed = _read_footer(repository, reader, *needs.packs[row])
        except (Corrupt, NotFound, Unsupported):
            continue  # its chunks are lost, and no others
        add(join_footers([packed]), np.array([row]))
    return ChunkIndex(join.finish())


def load_nothing() -> ChunkIndex:
    """Return an index without packs, for restores without content."""
    return ChunkIndex(FootersJoin().finish())


def _fragments(repository: Repository, reader: ReplicaReader) -> Iterator[Footers]:
    """Yield the fragments that can be read: first those the first replica lists, then any that only others list.

    A listing that shows nothing, or too little, is no evidence, so the others are asked as long as packs are wanted.
    """
    seen: set[str] = set()
    asked: set[str] = set()
    while left := reader.healthy() - asked:
        try:
            replica, fragments = reader.among(left).ask(names.FRAGMENTS, lambda one: (one, list_fragments(one)))
        except READ_ERRORS:
            return
        asked.add(replica.name)
        for fragment_id in sorted(fragments.keys() - seen):
            seen.add(fragment_id)
            try:
                yield read_fragment(repository, reader, fragment_id, fragments[fragment_id])
            except READ_ERRORS:
                continue


def _read_footer(repository: Repository, reader: ReplicaReader, pack_id: str, size: int) -> PackedFooter:
    keys = repository.writing_keys()
    return reader.ask(names.pack(pack_id), lambda replica: read_footer(keys, replica, pack_id, size))
