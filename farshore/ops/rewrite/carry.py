"""Store anew the chunks that share packs with content that is removed, so that these packs can go whole.

A pack is deleted whole or not at all, so as long as anything in it is needed, so is what was removed. Chunks keep
their names: manifests stay as they are, and only needs change.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from blake3 import blake3

from farshore import limits
from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.data_keys import RunKeys
from farshore.errors import Corrupt, KeyMissing, NotFound, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.fragments import FragmentEntry
from farshore.format.needs import NeededFragment, NeededPack
from farshore.format.pack import Footer, PackedFooter
from farshore.format.pack_id import hash_object
from farshore.index import ChunkIndex
from farshore.ops.rewrite.publish import Publisher
from farshore.ops.rewrite.scan import rows_of_packs
from farshore.page_pool import make_pages
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.results import Progress
from farshore.run import Run
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey
from farshore.sealed.fragments import make_fragment
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import PackBuilder, SealedPack
from farshore.sealed.segments import SegmentNumbers, SegmentParts, seal_segment

_NOT_HERE = (Corrupt, NotFound, Unsupported, KeyMissing)


class ChunkCarrier:
    """Reads packs, and packs the chunks of them that are wanted under the data key of this run. One use, one thread.

    Args:
        keys: A reader's, of the domain and epoch of the packs, that sign.
    """

    def __init__(
        self, *, repository: Repository, reader: ReplicaReader, keys: KeySet, data_key: DataKey, publisher: Publisher
    ) -> None:
        self._repository = repository
        self._reader = reader
        self._keys = keys
        self._data_key = data_key
        self._publisher = publisher
        clock, sizes = repository.clock, repository.backup_sizes
        self._numbers = SegmentNumbers(data_key=data_key, clock=clock)
        self._parts = SegmentParts(kept_max=1, segment_bytes=sizes.segment_bytes)
        self._builder = PackBuilder(keys=keys, key_id=data_key.key_id, clock=clock, pack_bytes=sizes.pack_bytes)
        self._unindexed: list[FragmentEntry] = []
        self._run_keys: dict[bytes, RunKeys] = {}
        self.packs: list[NeededPack] = []
        self.fragments: list[NeededFragment] = []

    def carry(self, index: ChunkIndex, first: Iterable[str], wanted: Iterable[bytes], run: Run) -> None:
        """Store these chunks in packs of this run.

        Args:
            first: Packs to read them from; where one does not give what its footer says, any other pack that has it.

        Raises:
            ObjectCorrupt: One can be had from nowhere, so nothing may go: a heal may bring it back.
            FarshoreError: Replicas cannot be asked now.
        """
        left = set(wanted)
        rows = {packed.pack_id.hex(): packed for packed in (index.packs[row] for row in range(len(index.packs)))}
        done = 0
        for pack_id in sorted(first):
            done += rows[pack_id].pack_bytes
            self._from_pack(rows[pack_id], left)
            run.progress(Progress("move", bytes_done=done))
        for row in rows_of_packs(index, frozenset(left)):
            self._from_pack(index.packs[row], left)
        if left:
            raise ObjectCorrupt(
                f"chunk {min(left).hex()}, which shares a pack with what is to be removed, can be read nowhere",
                "Nothing was forgotten. 'farshore verify --read-data' says what is damaged, and 'farshore heal' mends.",
            )
        self._close_segment()
        if not self._builder.empty:
            self._deliver(self._builder.build())
        self._send_fragment()

    def _from_pack(self, packed: PackedFooter, left: set[bytes]) -> None:
        """Find the wanted chunks of one pack, as far as they are what they are called."""
        footer = packed.footer
        segments: dict[int, list[tuple[bytes, int, int]]] = {}
        for chunk_id, segment, offset, length in footer.chunks.tolist():
            if chunk_id in left:
                segments.setdefault(segment, []).append((chunk_id, offset, length))
        if not segments:
            return
        name = names.pack(packed.pack_id.hex())
        try:
            data = self._reader.get(name, partial(_checked, name), size=packed.pack_bytes)
        except _NOT_HERE:
            return
        for number, chunks in sorted(segments.items()):
            try:
                raw = self._open(footer, number, memoryview(data))
            except _NOT_HERE:
                continue
            for chunk_id, offset, length in chunks:
                plain = raw[offset : offset + length]
                if chunk_id in left and blake3(plain, key=self._keys.chunk_key).digest() == chunk_id:
                    left.discard(chunk_id)
                    self._add(chunk_id, plain)

    def _open(self, footer: Footer, number: int, data: memoryview) -> memoryview:
        key_id = footer.origins[int(footer.segments[number]["origin"])].key_id
        if key_id not in self._run_keys:
            self._run_keys[key_id] = RunKeys(self._repository, self._reader, key_id.hex())
        no_chunks = footer.chunks[:0]  # each that is wanted is hashed by itself
        return self._run_keys[key_id].open(
            lambda key: open_segment_at(
                footer, number, data, make_pages, keys=self._keys, data_key=key, chunks=no_chunks
            )
        )

    def _add(self, chunk_id: bytes, plain: memoryview) -> None:
        if not self._parts.has_room(len(plain)):
            self._close_segment()
        self._parts.add(chunk_id, plain)

    def _close_segment(self) -> None:
        if self._parts.empty:
            return
        segment = self._parts.build(*self._numbers.next_number())
        self._builder.add(seal_segment(segment, self._data_key, self._keys.repository_id))
        if self._builder.full:
            self._deliver(self._builder.build())

    def _deliver(self, pack: SealedPack) -> None:
        pack_id, body = pack.pack_id.hex(), bytes(pack.body)
        self._publisher.put(WrittenObject(names.pack(pack_id), ObjectKind.PACK, len(body), pack_id), body)
        self.packs.append(NeededPack(pack_id, len(body)))
        self._unindexed.append(pack.entry)
        footers_bytes = sum(len(one.sealed_footer) for one in self._unindexed)
        if len(self._unindexed) >= limits.FRAGMENT_PACKS_MAX or footers_bytes >= limits.FRAGMENT_FOOTERS_BYTES:
            self._send_fragment()

    def _send_fragment(self) -> None:
        if not self._unindexed:
            return
        body = make_fragment(self._unindexed, self._keys)
        digest = names.hash_of(body)
        self._publisher.put_small(names.fragment(digest), ObjectKind.INDEX, body, digest)
        self.fragments.append(NeededFragment(digest, len(body)))
        self._unindexed = []


def _checked(name: str, data: bytes) -> bytes:
    if hash_object(name, data) != name.rpartition("/")[2]:
        raise ObjectCorrupt(f"{name} is altered: its bytes do not hash to its name")
    return data


def chunks_in(index: ChunkIndex, packs: frozenset[str], wanted: frozenset[bytes]) -> frozenset[bytes]:
    """Return those of some chunks that are in some packs."""
    found: set[bytes] = set()
    for row, one in enumerate(index.packs.pack_ids):
        if one.tobytes().hex() in packs:
            ids = np.ascontiguousarray(index.packs[row].footer.chunks["id"]).tobytes()
            found.update(ids[at : at + 32] for at in range(0, len(ids), 32))
    return wanted & found
