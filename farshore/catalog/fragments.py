"""Packs and index fragments as one replica lists them, and how to open a fragment or a pack's footer.

An empty or shrunken listing is not evidence (design, invariant 9): an object it does not show is treated as missing,
which at worst stores or copies something twice, and never as permission to delete or to call a snapshot complete.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from farshore.errors import Corrupt, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format import pack as layout
from farshore.format.footers import PACK_ID_DTYPE, Footers, decode_fragment
from farshore.format.pack import PackedFooter
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.sealed.keys import KeySet
from farshore.sealed.packs import open_footer
from farshore.sealed.sealed_object import FRAGMENT_NAME, SealedKind, open_object

Decoded = TypeVar("Decoded")
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


def open_cached(
    repository: Repository, source: ObjectSource, name: str, decode: Callable[[bytes], Decoded], size: int = 0
) -> Decoded:
    """Return a decoded immutable object; a damaged cache entry is dropped and the source asked again."""
    data = repository.cache.get(name)
    if data is not None:
        try:
            return decode(data)
        except (Corrupt, Unsupported):
            repository.cache.drop(name)
    value, data = source.get(name, lambda data: (decode(data), data), size=size)
    repository.cache.put(name, data)
    return value


def open_fragment(keys: KeySet, fragment_id: str, data: bytes) -> Footers:
    """Return the footers of an index fragment, its id checked against its bytes."""
    if blake3(data).hexdigest() != fragment_id:
        raise ObjectCorrupt(f"{names.fragment(fragment_id)} is altered: its bytes do not hash to its name")
    payload = open_object(
        data, secret=keys.index_key, kind=SealedKind.FRAGMENT, name=FRAGMENT_NAME, repository_id=keys.repository_id
    )
    return decode_fragment(payload)


def read_fragment(repository: Repository, source: ObjectSource, fragment_id: str, size: int = 0) -> Footers:
    """Return the footers of an index fragment, from the cache or a replica."""
    keys = repository.writing_keys()
    name = names.fragment(fragment_id)
    return open_cached(repository, source, name, lambda data: open_fragment(keys, fragment_id, data), size)


def read_footer(keys: KeySet, replica: Replica, pack_id: str, pack_bytes: int) -> PackedFooter:
    """Return a pack's footer from the pack itself: three small ranged reads. Rebuilds the index without fragments."""
    name = names.pack(pack_id)
    if pack_bytes < layout.HEADER_BYTES + layout.TAIL_BYTES:
        raise ObjectCorrupt(f"{name} has {pack_bytes} bytes, fewer than any pack")
    tail = replica.store.get(name, pack_bytes - layout.TAIL_BYTES, layout.TAIL_BYTES)
    length = layout.decode_tail(tail, pack_bytes)
    header = replica.store.get(name, 0, layout.HEADER_BYTES)
    start = pack_bytes - layout.TAIL_BYTES - length
    plain = open_footer(keys, header, replica.store.get(name, start, length))
    return PackedFooter(bytes.fromhex(pack_id), pack_bytes, layout.decode_footer(plain, start))
