"""Read ranges of packs from any replica that has a good copy, and open the segments in them. Safe from many threads."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from farshore import limits
from farshore.catalog.data_keys import RunKeys
from farshore.errors import READ_ERRORS, Corrupt, FarshoreError, KeyMissing, NotFound, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.pack import PackedFooter
from farshore.ops.restore.content_plan import ContentPlan, PackRange
from farshore.ops.restore.other_packs import OtherPacks
from farshore.page_pool import PagePool
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey
from farshore.sealed.open_segment import decompress_segment_at, decrypt_segment_at, open_segment_at

_NOT_HERE = (Corrupt, NotFound, Unsupported, KeyMissing)  # unlike a replica that is away, this does not pass


@dataclass(slots=True)
class RangeContent:
    """Segments of one range, by row: those that were opened, those only decrypted, and why others could not be."""

    opened: dict[int, memoryview] = field(default_factory=dict)
    packed: dict[int, bytes] = field(default_factory=dict)
    errors: dict[int, FarshoreError] = field(default_factory=dict)


class SegmentReader:
    """Reads and opens segments. Every chunk that the plan needs is hashed when its segment is opened."""

    def __init__(self, *, repository: Repository, plan: ContentPlan, reader: ReplicaReader, keys: KeySet) -> None:
        self._repository = repository
        self._keys = keys
        self._plan = plan
        self._packs = plan.index.packs
        self._reader = reader
        self._data_keys: dict[bytes, RunKeys] = {}
        self._lock = threading.Lock()
        self._others = OtherPacks(
            repository=repository, reader=reader, keys=self._keys, known=plan.index, data_keys=self._run_keys
        )
        self._pages = PagePool(page_bytes=limits.SEGMENT_BYTES, kept_max=limits.SEGMENT_PAGES_KEPT)

    def read(self, one: PackRange, opened_now: Collection[int]) -> RangeContent:
        """Read a range in one request; a copy with a bad segment is read from the next replica, too.

        Args:
            opened_now: Rows of segments to open; the others are only decrypted, which proves them whole.
        """
        packed = self._packs[one.pack]
        found = RangeContent()
        data_keys = self._data_keys_of(packed, one.segments, found)

        def open_missing(data: bytes) -> None:
            """Open the segments that no copy before had good; one bad segment spoils no other."""
            bad: FarshoreError | None = None
            for segment in one.segments:
                if segment in found.opened or segment in found.packed or segment not in data_keys:
                    continue
                try:
                    if segment in opened_now:
                        found.opened[segment] = data_keys[segment].open(partial(self._open, one, segment, data))
                    else:
                        found.packed[segment] = data_keys[segment].open(partial(self._decrypt, one, segment, data))
                except FarshoreError as error:
                    found.errors[segment] = bad = error
            if bad is not None:
                raise bad

        if data_keys:
            length = one.end - one.start
            try:
                name = names.pack(packed.pack_id.hex())
                self._reader.get(name, open_missing, size=length, offset=one.start, length=length)
            except FarshoreError as error:
                for segment in one.segments:
                    found.errors.setdefault(segment, error)
        for segment in opened_now:
            trouble = found.errors.get(segment)
            if segment not in found.opened and isinstance(trouble, _NOT_HERE):
                self._gather(one.pack, segment, found)
        return found

    def _open(self, one: PackRange, segment: int, data: bytes, data_key: DataKey) -> memoryview:
        return open_segment_at(
            self._packs[one.pack].footer, segment, memoryview(data), self._pages.take, keys=self._keys,
            data_key=data_key, start=one.start, chunks=self._plan.chunks_of(one.pack, segment),
        )  # fmt: skip

    def _decrypt(self, one: PackRange, segment: int, data: bytes, data_key: DataKey) -> bytes:
        footer = self._packs[one.pack].footer
        return decrypt_segment_at(
            footer, segment, memoryview(data), keys=self._keys, data_key=data_key, start=one.start
        )

    def _gather(self, pack: int, segment: int, found: RangeContent) -> None:
        """Fill in what is needed of a segment from other packs; leave it missing where they do not have it."""
        packed = self._packs[pack]
        raw = self._pages.take(int(packed.footer.segments[segment]["raw"]))
        try:
            self._others.fill(raw, self._plan.chunks_of(pack, segment), packed.pack_id)
        except READ_ERRORS:
            return  # what was wrong with the segment itself says more
        found.opened[segment] = raw

    def memory_of(self, raw_bytes: int) -> int:
        """Return the memory of an opened segment."""
        return self._pages.memory_of(raw_bytes)

    def unpack(self, pack: int, segment: int, stored: bytes) -> memoryview:
        """Return the plain bytes of a segment that was only decrypted.

        Raises:
            FarshoreError: No replica has it so that every chunk hashes to its name.
        """
        chunks = self._plan.chunks_of(pack, segment)
        try:
            return decompress_segment_at(
                self._packs[pack].footer, segment, stored, self._pages.take, keys=self._keys, chunks=chunks
            )
        except ObjectCorrupt:  # a replica may have another copy
            found = self.read(self._plan.range_of_one(pack, segment), (segment,))
            if segment not in found.opened:
                raise found.errors.get(segment) or ObjectCorrupt("a segment could not be read") from None
            return found.opened[segment]

    def _data_keys_of(self, packed: PackedFooter, segments: Iterable[int], found: RangeContent) -> dict[int, RunKeys]:
        """Return the keys that segments are sealed with; note why one cannot be had."""
        data_keys: dict[int, RunKeys] = {}
        trouble: dict[bytes, FarshoreError] = {}
        for segment in segments:
            key_id = packed.footer.origins[int(packed.footer.segments[segment]["origin"])].key_id
            if key_id not in trouble:
                try:
                    data_keys[segment] = self._run_keys(key_id).require()
                    continue
                except FarshoreError as error:
                    trouble[key_id] = error
            found.errors[segment] = trouble[key_id]
        return data_keys

    def _run_keys(self, key_id: bytes) -> RunKeys:
        with self._lock:
            if key_id not in self._data_keys:
                self._data_keys[key_id] = RunKeys(self._repository, self._reader, key_id.hex())
            return self._data_keys[key_id]
