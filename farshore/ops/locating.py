"""The chunk index of one snapshot: of the packs it needs, and of the chunks asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.errors import Corrupt, FarshoreError, NotFound, ObjectCorrupt, Unsupported
from farshore.format.footers import PACK_ID_DTYPE, Footers, FootersJoin, join_footers
from farshore.format.pack import PackedFooter
from farshore.format.records import Needs
from farshore.index import ABSENT, ChunkIndex, IdRows, first_seen
from farshore.repository.holdings import list_fragments, read_footer, read_fragment
from farshore.repository.repository import Replica, Repository


def load_index(
    repository: Repository, replicas: Sequence[Replica], needs: Needs, chunk_ids: npt.NDArray[Any] | None = None
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

    for replica in replicas:
        for footers in _fragments(repository, replica) if not found.all() else ():
            add(footers, packs.find(footers.pack_ids))
            if found.all():
                break
    for row in np.flatnonzero(~found):
        try:
            packed = _footer_anywhere(repository, replicas, *needs.packs[row])
        except (Corrupt, NotFound, Unsupported):
            continue  # what lies in it is lost, and nothing else is
        add(join_footers([packed]), np.array([row]))
    return ChunkIndex(join.finish())


def _fragments(repository: Repository, replica: Replica) -> Iterator[Footers]:
    """Yield the fragments of a replica that can be read."""
    try:
        fragments = sorted(list_fragments(replica))
    except FarshoreError:
        return
    for fragment_id in fragments:
        try:
            yield read_fragment(repository, replica, fragment_id)
        except (Corrupt, NotFound, Unsupported):
            continue


def _footer_anywhere(repository: Repository, replicas: Sequence[Replica], pack_id: str, size: int) -> PackedFooter:
    last: FarshoreError = ObjectCorrupt(f"no replica holds pack {pack_id}")
    for replica in replicas:
        try:
            return read_footer(repository.writing_keys(), replica, pack_id, size)
        except FarshoreError as error:
            last = error
    raise last
