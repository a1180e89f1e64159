"""Fetch and open the segments a restore needs: in parallel, in few requests, from any replica that has a good copy."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from blake3 import blake3

from farshore import limits
from farshore.errors import Corrupt, FarshoreError, NotFound, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.pack import PackedFooter
from farshore.format.records import Needs
from farshore.index import ChunkIndex, Location
from farshore.model import ChunkId, DamagedObject
from farshore.ops.base_snapshot import read_data_key
from farshore.repository.holdings import list_holdings, read_footer, read_fragment
from farshore.repository.keys import DataKey
from farshore.repository.packs import SegmentRef, open_segment
from farshore.repository.repository import Replica, Repository

SegmentKey = tuple[int, int]  # pack number in the index, segment row
_GAP_BYTES = 256 * limits.KIB  # reading this much for nothing is cheaper than another request
_RANGE_BYTES_MAX = 16 * limits.MIB


def load_index(repository: Repository, replicas: Sequence[Replica], needs: Needs) -> ChunkIndex:
    """Return an index of the packs a snapshot needs: from fragments, and from the packs themselves where those lack.

    A pack whose footer can be read nowhere is left out.

    Raises:
        FarshoreError: No replica answers for a pack.
    """
    sizes = dict(needs.packs)
    found: dict[str, PackedFooter] = {}
    for replica in replicas:
        if len(found) == len(sizes):
            break
        try:
            fragments = sorted(list_holdings(replica).fragments)
        except FarshoreError:
            continue
        for fragment_id in fragments:
            try:
                packs = read_fragment(repository, replica, fragment_id)
            except (Corrupt, NotFound, Unsupported):
                continue
            found.update({one.pack_id.hex(): one for one in packs if one.pack_id.hex() in sizes})
            if len(found) == len(sizes):
                break
    for pack_id in sorted(sizes.keys() - found.keys()):
        try:
            found[pack_id] = _footer_anywhere(repository, replicas, pack_id, sizes[pack_id])
        except (Corrupt, NotFound, Unsupported):
            continue  # what lies in it is lost, and nothing else is
    return ChunkIndex(found.values())


def _footer_anywhere(repository: Repository, replicas: Sequence[Replica], pack_id: str, size: int) -> PackedFooter:
    last: FarshoreError = ObjectCorrupt(f"no replica holds pack {pack_id}")
    for replica in replicas:
        try:
            return read_footer(repository.writing_keys(), replica, pack_id, size)
        except FarshoreError as error:
            last = error
    raise last


@dataclass(frozen=True, slots=True)
class _Range:
    """Neighboring segments of one pack, read by one request."""

    pack: int
    start: int
    end: int
    segments: tuple[int, ...]


class SegmentFetcher:
    """Opens segments, checking the name of every chunk that is wanted. Safe from many threads.

    Replicas are asked in order; an object that is missing or wrong at one is remembered and read from the next.
    """

    def __init__(self, *, repository: Repository, index: ChunkIndex, replicas: Sequence[Replica]) -> None:
        self._repository = repository
        self._keys = repository.reading_keys()
        self._index = index
        self._replicas = replicas
        self._data_keys: dict[bytes, DataKey] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(limits.FETCH_THREADS, thread_name_prefix="fetch")
        self.damaged: dict[tuple[str, str], DamagedObject] = {}
        self.used: set[str] = set()

    def close(self) -> None:
        """Stop the pool."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def fetch(self, wanted: dict[SegmentKey, set[tuple[ChunkId, int, int]]]) -> list[Future[dict[SegmentKey, bytes]]]:
        """Start fetching segments; each future gives some of them, or raises when no replica has a good copy.

        Args:
            wanted: For each segment the chunks (id, offset, length) that will be used and must hash to their names.
        """
        return [self._pool.submit(self._fetch_range, one, wanted) for one in self._plan(wanted)]

    def _plan(self, wanted: Iterable[SegmentKey]) -> list[_Range]:
        ranges: list[_Range] = []
        for pack, segment in sorted(wanted):
            row = self._index.packs[pack].footer.segments[segment]
            start, end = int(row["offset"]), int(row["offset"]) + int(row["stored"])
            last = ranges[-1] if ranges else None
            near = last is not None and last.pack == pack and 0 <= start - last.end <= _GAP_BYTES
            if last is not None and near and end - last.start <= _RANGE_BYTES_MAX:
                ranges[-1] = _Range(pack, last.start, end, (*last.segments, segment))
            else:
                ranges.append(_Range(pack, start, end, (segment,)))
        return ranges

    def _fetch_range(
        self, one: _Range, wanted: dict[SegmentKey, set[tuple[ChunkId, int, int]]]
    ) -> dict[SegmentKey, bytes]:
        packed = self._index.packs[one.pack]
        name = names.pack(packed.pack_id.hex())
        opened: dict[SegmentKey, bytes] = {}
        last: FarshoreError = ObjectCorrupt(f"no replica holds {name}")
        for replica in self._replicas:
            try:
                data = memoryview(replica.store.get(name, one.start, one.end - one.start))
            except FarshoreError as error:
                last = error
                self._note(replica, name, error)
                continue
            for segment in one.segments:
                key = (one.pack, segment)
                if key in opened:
                    continue
                try:
                    opened[key] = self._open(packed, segment, data, one.start, wanted[key])
                except FarshoreError as error:
                    last = error
                    self._note(replica, name, error)
                else:
                    with self._lock:
                        self.used.add(replica.name)
            if len(opened) == len(one.segments):
                return opened
        if opened:
            return opened  # the files that need the others are told by name
        raise last

    def _open(
        self, packed: PackedFooter, segment: int, data: memoryview, start: int, chunks: set[tuple[ChunkId, int, int]]
    ) -> bytes:
        row = packed.footer.segments[segment]
        origin = packed.footer.origins[int(row["origin"])]
        ref = SegmentRef(origin, int(row["number"]), int(row["codec"]), int(row["raw"]))
        at = int(row["offset"]) - start
        sealed = data[at : at + int(row["stored"])]
        if len(sealed) != int(row["stored"]):
            raise ObjectCorrupt(f"pack {packed.pack_id.hex()} is cut short")
        raw = open_segment(sealed, ref, self._data_key(origin.key_id), self._keys.repository_id)
        view = memoryview(raw)
        for chunk_id, offset, length in chunks:
            if blake3(view[offset : offset + length], key=self._keys.chunk_key).digest() != chunk_id:
                raise ObjectCorrupt(f"a chunk of pack {packed.pack_id.hex()} does not hash to its name")
        return raw

    def _data_key(self, key_id: bytes) -> DataKey:
        with self._lock:
            if key_id in self._data_keys:
                return self._data_keys[key_id]
        last: FarshoreError = ObjectCorrupt(f"no replica holds data key {key_id.hex()}")
        for replica in self._replicas:
            try:
                data_key = read_data_key(self._repository, replica, key_id.hex())
            except FarshoreError as error:
                last = error
                name = names.data_key(key_id.hex(), self._keys.recipient_id.hex())
                self._note(replica, name, error)
                continue
            with self._lock:
                self._data_keys[key_id] = data_key
            return data_key
        raise last

    def _note(self, replica: Replica, name: str, error: FarshoreError) -> None:
        code = "missing" if isinstance(error, NotFound) else "altered" if isinstance(error, Corrupt) else error.code
        with self._lock:
            self.damaged.setdefault((replica.name, name), DamagedObject(replica.name, name, code, error.message))


def segment_of(location: Location) -> SegmentKey:
    """Return the key of the segment that holds a located chunk."""
    return (location.pack, location.segment)
