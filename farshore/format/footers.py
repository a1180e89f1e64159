"""The footers of many packs as joined tables: those of an index fragment, and of the chunk index.

A pack costs 60 bytes here besides its rows, where an object of its own with its arrays would cost a kilobyte: of 50
million chunks that is as much again as the chunks. Pure; docs/reference/format.md, section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, overload

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.origin import KEY_ID_BYTES, SALT_BYTES, Origin
from farshore.format.pack import CHUNK_DTYPE, HEADER_BYTES, SEGMENT_DTYPE, Footer, PackedFooter

PACK_ID_DTYPE = np.dtype("V32")
Table = npt.NDArray[Any]
_ORIGIN_BYTES = KEY_ID_BYTES + SALT_BYTES
_COUNT = struct.Struct("<I")
_COUNT_SHORT = struct.Struct("<H")
_SPARE = 16  # a growing column gets a sixteenth more than it needs, so it moves seldom and wastes little


class Footers(Sequence[PackedFooter]):
    """Footers by number; each is made when it is asked for, as views. Read-only, and safe from many threads.

    The rows of pack `n` are those from `starts[n]` to `starts[n + 1]` of a table. An origin of `origins` may serve many
    packs; `origin_rows` says which are whose.
    """

    def __init__(
        self,
        *,
        pack_ids: Table,
        pack_bytes: Table,
        origins: Sequence[Origin],
        origin_rows: Table,
        origin_starts: Table,
        segments: Table,
        segment_starts: Table,
        chunks: Table,
        chunk_starts: Table,
    ) -> None:
        self.pack_ids = pack_ids
        self.pack_bytes = pack_bytes
        self.origins = origins
        self.origin_rows = origin_rows
        self.origin_starts = origin_starts
        self.segments = segments
        self.segment_starts = segment_starts
        self.chunks = chunks
        self.chunk_starts = chunk_starts

    def __len__(self) -> int:
        return len(self.pack_ids)

    @overload
    def __getitem__(self, number: int) -> PackedFooter: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[PackedFooter]: ...

    def __getitem__(self, number: int | slice) -> PackedFooter | Sequence[PackedFooter]:
        if isinstance(number, slice):
            return [self[at] for at in range(*number.indices(len(self)))]
        at = range(len(self))[number]
        origins = self.origin_rows[self.origin_starts[at] : self.origin_starts[at + 1]]
        footer = Footer(
            tuple(self.origins[row] for row in origins),
            self.segments[self.segment_starts[at] : self.segment_starts[at + 1]],
            self.chunks[self.chunk_starts[at] : self.chunk_starts[at + 1]],
        )
        return PackedFooter(self.pack_ids[at].tobytes(), int(self.pack_bytes[at]), footer)

    def __iter__(self) -> Iterator[PackedFooter]:
        return (self[number] for number in range(len(self)))

    @property
    def nbytes(self) -> int:
        """The memory of its tables, in bytes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))


class FootersJoin:
    """Joins footers into one set of tables, holding little more than the result meanwhile. One use; one thread.

    Args:
        open_file: Opens an empty, unbuffered file for the chunks once they exceed `memory_bytes`; the result then maps
            it, so that the kernel keeps of it as much as memory is free for. It may have no name. Where it cannot be
            written, chunks stay in memory.
    """

    def __init__(
        self, open_file: Callable[[], IO[bytes]] | None = None, *, memory_bytes: int = limits.INDEX_MEMORY_BYTES
    ) -> None:
        self._pack_ids = _Column(PACK_ID_DTYPE)
        self._pack_bytes = _Column(np.dtype("<u8"))
        self._origins: dict[Origin, int] = {}
        self._origin_rows = _Column(np.dtype("<u4"))
        self._origin_ends = _Column(np.dtype("<u4"))
        self._segments = _Column(SEGMENT_DTYPE)
        self._segment_ends = _Column(np.dtype("<u4"))
        self._chunks = _SpillingColumn(CHUNK_DTYPE, open_file, memory_bytes)
        self._chunk_ends = _Column(np.dtype("<u4"))
        for ends in (self._origin_ends, self._segment_ends, self._chunk_ends):
            ends.extend(np.zeros(1, "<u4"))

    def add(self, footers: Footers, packs: Table, chunks: Table | None = None) -> None:
        """Append some packs.

        Args:
            packs: For each pack of `footers`, whether to append it.
            chunks: For each chunk of `footers`, whether to append it if its pack is; all if not given.
        """
        self._pack_ids.extend(footers.pack_ids[packs])
        self._pack_bytes.extend(footers.pack_bytes[packs])
        numbers = np.array([self._origins.setdefault(one, len(self._origins)) for one in footers.origins], "<u4")
        _extend(
            self._origin_rows, self._origin_ends, numbers[footers.origin_rows], footers.origin_starts, packs, None
        )  # fmt: skip
        _extend(self._segments, self._segment_ends, footers.segments, footers.segment_starts, packs, None)
        _extend(self._chunks, self._chunk_ends, footers.chunks, footers.chunk_starts, packs, chunks)

    def finish(self) -> Footers:
        """Return the joined footers."""
        return Footers(
            pack_ids=self._pack_ids.finish(),
            pack_bytes=self._pack_bytes.finish(),
            origins=tuple(self._origins),
            origin_rows=self._origin_rows.finish(),
            origin_starts=self._origin_ends.finish(),
            segments=self._segments.finish(),
            segment_starts=self._segment_ends.finish(),
            chunks=self._chunks.finish(),
            chunk_starts=self._chunk_ends.finish(),
        )


class _Column:
    """A table that grows in place: the allocator moves its pages and copies nothing once it is large."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._table: Table = np.zeros(0, dtype)
        self.count = 0

    def extend(self, rows: Table) -> None:
        end = self.count + len(rows)
        if end > len(self._table):
            self._table.resize(end + end // _SPARE, refcheck=False)  # nobody else sees it before `finish`
        self._table[self.count : end] = rows
        self.count = end

    def finish(self) -> Table:
        self._table.resize(self.count, refcheck=False)
        self._table.flags.writeable = False
        return self._table


class _SpillingColumn(_Column):
    """A table that goes on in a file from a size on."""

    def __init__(self, dtype: np.dtype[Any], open_file: Callable[[], IO[bytes]] | None, memory_bytes: int) -> None:
        super().__init__(dtype)
        self._open_file = open_file
        self._memory_bytes = memory_bytes
        self._file: IO[bytes] | None = None

    def extend(self, rows: Table) -> None:
        if self._open_file and (self.count + len(rows)) * self._table.dtype.itemsize > self._memory_bytes:
            try:
                self._write(rows, self._open_file)
            except OSError:  # the disk is full, or is none: what is written is read again
                self._open_file = None
                self._read_back()
            else:
                self.count += len(rows)
                return
        super().extend(rows)

    def finish(self) -> Table:
        return super().finish() if self._file is None else self._mapped(self._file)

    def _write(self, rows: Table, open_file: Callable[[], IO[bytes]]) -> None:
        if self._file is None:
            file = open_file()
            _write_all(file, self._table[: self.count])
            self._file, self._table = file, np.zeros(0, self._table.dtype)
        _write_all(self._file, rows)

    def _read_back(self) -> None:
        if self._file is not None and self.count:
            self._table = np.array(self._mapped(self._file))
        self._file = None

    def _mapped(self, file: IO[bytes]) -> Table:
        return np.memmap(file, self._table.dtype, "r", shape=(self.count,)).view(np.ndarray)


def _write_all(file: IO[bytes], rows: Table) -> None:
    """Write rows. `ndarray.tofile` would hide errors in a buffer of its own."""
    left = np.ascontiguousarray(rows).view(np.uint8).data
    while left:
        left = left[file.write(left) :]


def _extend(rows: _Column, ends: _Column, new: Table, starts: Table, packs: Table, some: Table | None) -> None:
    """Append the rows of the chosen packs, and the end of each pack's."""
    counts = _counts(starts)
    if some is not None:
        before = np.concatenate(([0], np.cumsum(some)))
        kept_rows = some & np.repeat(packs, counts)
        counts = before[starts[1:]] - before[starts[:-1]]
        new = new[kept_rows]
    elif not packs.all():
        new = new[np.repeat(packs, counts)]
    if rows.count + len(new) >= 1 << 32:
        raise ObjectCorrupt("an index of more than four billion chunks is not supported")
    ends.extend((rows.count + np.cumsum(counts[packs])).astype("<u4"))
    rows.extend(new)


def join_footers(packs: Sequence[PackedFooter]) -> Footers:
    """Return the footers of single packs, joined."""
    origins = tuple(dict.fromkeys(origin for pack in packs for origin in pack.footer.origins))
    numbers = {origin: number for number, origin in enumerate(origins)}
    return Footers(
        pack_ids=np.frombuffer(b"".join(pack.pack_id for pack in packs), PACK_ID_DTYPE),
        pack_bytes=np.array([pack.pack_bytes for pack in packs], "<u8"),
        origins=origins,
        origin_rows=np.array([numbers[origin] for pack in packs for origin in pack.footer.origins], "<u4"),
        origin_starts=_starts([len(pack.footer.origins) for pack in packs]),
        segments=np.concatenate([np.zeros(0, SEGMENT_DTYPE), *(pack.footer.segments for pack in packs)]),
        segment_starts=_starts([len(pack.footer.segments) for pack in packs]),
        chunks=np.concatenate([np.zeros(0, CHUNK_DTYPE), *(pack.footer.chunks for pack in packs)]),
        chunk_starts=_starts([len(pack.footer.chunks) for pack in packs]),
    )


# --- plain footers ---------------------------------------------------------------------------------------------------


def decode_footers(packs: Sequence[tuple[bytes, int, bytes]]) -> Footers:
    """Return the footers of packs from (pack id, pack bytes, plain footer) of each, with every reference checked.

    Raises:
        ObjectCorrupt: One of them is not sound.
    """
    parts: tuple[list[memoryview], list[memoryview], list[memoryview]] = ([], [], [])
    counts: list[tuple[int, int, int]] = []
    try:
        for _, _, plain in packs:
            counts.append(_split_footer(memoryview(plain), parts))
    except struct.error as error:
        raise ObjectCorrupt("a pack's footer is cut short") from error
    raw_origins = b"".join(parts[0])
    every = [raw_origins[start : start + _ORIGIN_BYTES] for start in range(0, len(raw_origins), _ORIGIN_BYTES)]
    numbers = {raw: number for number, raw in enumerate(dict.fromkeys(every))}
    footers = Footers(
        pack_ids=np.frombuffer(b"".join(pack_id for pack_id, _, _ in packs), PACK_ID_DTYPE),
        pack_bytes=np.array([size for _, size, _ in packs], "<u8"),
        origins=tuple(Origin(raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:]) for raw in numbers),
        origin_rows=np.array([numbers[raw] for raw in every], "<u4"),
        origin_starts=_starts([count[0] for count in counts]),
        segments=np.frombuffer(b"".join(parts[1]), SEGMENT_DTYPE),
        segment_starts=_starts([count[1] for count in counts]),
        chunks=np.frombuffer(b"".join(parts[2]), CHUNK_DTYPE),
        chunk_starts=_starts([count[2] for count in counts]),
    )
    _check(footers)
    return footers


def _split_footer(
    view: memoryview, parts: tuple[list[memoryview], list[memoryview], list[memoryview]]
) -> tuple[int, int, int]:
    """Add one plain footer's three tables to `parts`; return their numbers of rows."""
    at = 0
    counts: list[int] = []
    rows = ((_COUNT_SHORT, _ORIGIN_BYTES), (_COUNT, SEGMENT_DTYPE.itemsize), (_COUNT, CHUNK_DTYPE.itemsize))
    for (count_struct, row_bytes), into in zip(rows, parts, strict=True):
        (count,) = count_struct.unpack_from(view, at)
        at += count_struct.size
        if at + count * row_bytes > len(view):
            raise ObjectCorrupt("a pack's footer is cut short")
        into.append(view[at : at + count * row_bytes])
        counts.append(count)
        at += count * row_bytes
    if at != len(view):
        raise ObjectCorrupt("a pack's footer has the wrong length")
    return counts[0], counts[1], counts[2]


def _check(footers: Footers) -> None:
    """Check what `farshore.format.pack.decode_footer` checks, of all packs at once."""
    segments, chunks = footers.segments, footers.chunks
    segment_counts, chunk_counts = _counts(footers.segment_starts), _counts(footers.chunk_starts)
    if (segments["origin"] >= np.repeat(_counts(footers.origin_starts), segment_counts)).any():
        raise ObjectCorrupt("a pack's footer names an origin it does not list")
    ends = segments["offset"].astype(np.int64) + segments["stored"]
    raw_max = limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX
    outside = (ends > limits.PACK_BYTES_MAX) | (segments["offset"] < HEADER_BYTES) | (segments["raw"] > raw_max)
    if outside.any():
        raise ObjectCorrupt("a pack's footer names a segment outside the pack")
    if (chunks["segment"] >= np.repeat(segment_counts, chunk_counts)).any():
        raise ObjectCorrupt("a pack's footer names a segment it does not list")
    rows = np.repeat(footers.segment_starts[:-1].astype(np.int64), chunk_counts) + chunks["segment"]
    if (chunks["offset"].astype(np.int64) + chunks["length"] > segments["raw"][rows]).any():
        raise ObjectCorrupt("a pack's footer names a chunk outside its segment")


def _counts(starts: Table) -> Table:
    return starts[1:].astype(np.int64) - starts[:-1]


def _starts(counts: Sequence[int]) -> Table:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype("<u4")
