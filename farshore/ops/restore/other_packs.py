"""Chunks that a snapshot's own packs do not give, from any other pack of the repository.

A pack says itself which chunks it has, and any holder of a key of the domain can make one that is wrong. Each chunk is
hashed, so that costs nothing as long as some other pack has it: it is looked for in all of them before a file is given
up. Used seldom, so one lock serves all threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy.typing as npt
from blake3 import blake3

from farshore.catalog.data_keys import RunKeys
from farshore.catalog.index_loader import load_other_packs
from farshore.errors import READ_ERRORS, ObjectCorrupt
from farshore.format import names
from farshore.format.pack import PackedFooter
from farshore.index import ChunkIndex
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey
from farshore.sealed.open_segment import open_segment_at

Chunks = npt.NDArray[Any]
_COPIES_MAX = 16  # of one chunk that are tried: more would be of somebody who plants them
_SEGMENTS_KEPT = 2  # that were opened here: neighbors of a lost chunk are mostly lost with it


class OtherPacks:
    """Finds chunks anywhere in the repository. Safe from many threads, which wait for each other.

    Args:
        known: The index that the restore goes by; other copies in it are tried too.
        data_keys: Returns the keys of a run by the id of its data key.
    """

    def __init__(
        self, *, repository: Repository, reader: ReplicaReader, keys: KeySet, known: ChunkIndex,
        data_keys: Callable[[bytes], RunKeys],
    ) -> None:  # fmt: skip
        self._repository = repository
        self._reader = reader
        self._keys = keys
        self._known = known
        self._data_keys = data_keys
        self._others: ChunkIndex | None = None
        self._opened: OrderedDict[tuple[bytes, int], memoryview] = OrderedDict()
        self._lock = threading.Lock()

    def fill(self, raw: memoryview, chunks: Chunks, without: bytes) -> None:
        """Write chunks to their places in a segment.

        Args:
            chunks: Rows of `CHUNK_DTYPE`.
            without: The pack that does not have them.

        Raises:
            ObjectCorrupt: No other pack has one of them.
        """
        with self._lock:
            for chunk_id, _, offset, length in chunks.tolist():
                raw[offset : offset + length] = self._find(chunk_id, length, without)

    def _find(self, chunk_id: bytes, length: int, without: bytes) -> memoryview:
        for index in self._indexes():
            for row in index.rows_of(chunk_id)[:_COPIES_MAX]:
                found = index.location(row)
                packed = index.packs[found.pack]
                if packed.pack_id == without or found.length != length:
                    continue
                try:
                    chunk = self._segment(packed, found.segment)[found.offset : found.offset + length]
                except READ_ERRORS:
                    continue
                if blake3(chunk, key=self._keys.chunk_key).digest() == chunk_id:
                    return chunk
        raise ObjectCorrupt("a chunk is in no pack of the repository that can be read")

    def _indexes(self) -> Iterator[ChunkIndex]:
        yield self._known
        if self._others is None:
            chunk_ids = self._known.packs.chunks["id"].copy()
            self._others = load_other_packs(self._repository, self._reader, self._known, chunk_ids)
        yield self._others

    def _segment(self, packed: PackedFooter, number: int) -> memoryview:
        """Return the plain bytes of a segment, none of its chunks checked."""
        key = packed.pack_id, number
        if key not in self._opened:
            while len(self._opened) >= _SEGMENTS_KEPT:
                self._opened.popitem(last=False)
            self._opened[key] = self._read(packed, number)
        self._opened.move_to_end(key)
        return self._opened[key]

    def _read(self, packed: PackedFooter, number: int) -> memoryview:
        row = packed.footer.segments[number]
        start, length = int(row["offset"]), int(row["stored"])
        data_keys = self._data_keys(packed.footer.origins[int(row["origin"])].key_id).require()

        def open_with(data: bytes, data_key: DataKey) -> memoryview:
            return open_segment_at(
                packed.footer, number, memoryview(data), lambda length: memoryview(bytearray(length)),
                keys=self._keys, data_key=data_key, start=start, chunks=packed.footer.chunks[:0],
            )  # fmt: skip

        def opened(data: bytes) -> memoryview:
            return data_keys.open(partial(open_with, data))

        return self._reader.get(names.pack(packed.pack_id.hex()), opened, size=length, offset=start, length=length)
