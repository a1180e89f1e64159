"""Packs and index fragments as one replica lists them.

An empty or shrunken listing is not evidence (design, invariant 9): an object it does not show is treated as missing,
which at worst stores or copies something twice, and never as permission to delete or to call a snapshot complete.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.model import dataclass
from farshore.replicas.repository import Replica

Table = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PackListing:
    """The packs that one replica lists (ids as `V32`, and the bytes of each), and its index fragments (id -> bytes)."""

    pack_ids: Table
    pack_bytes: Table
    fragments: Mapping[str, int]


def list_packs(replica: Replica) -> PackListing:
    """List fragments and packs of one replica; foreign objects are passed over.

    Fragments first: each is put after the packs that it names. So no pack of another run at work seems to be lacking.
    """
    fragments = list_fragments(replica)
    ids, sizes = bytearray(), array("q")  # 40 bytes a pack: a repository has millions
    for info in replica.store.list(names.PACKS):
        pack_id = names.parse_pack(info.name)
        if pack_id is not None:
            ids += bytes.fromhex(pack_id)
            sizes.append(info.size)
    return PackListing(np.frombuffer(ids, PACK_ID_DTYPE), np.frombuffer(sizes, np.int64), fragments)


def list_fragments(replica: Replica) -> dict[str, int]:
    """List the index fragments of one replica (id -> bytes)."""
    listed = ((names.parse_fragment(info.name), info.size) for info in replica.store.list(names.FRAGMENTS))
    return {fragment: size for fragment, size in listed if fragment}
