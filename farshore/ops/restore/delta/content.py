"""Which of a file's content is right already: by its hash, by the names of its chunks, or by the hashes of its pages.

Everything is read once. A hole of the snapshot is right where the target has a hole or zeros.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
from blake3 import blake3

from farshore import limits
from farshore.chunking.page_hashes import HASH_BYTES, hash_pages
from farshore.chunking.pages import ExtentCursor, changed_runs
from farshore.errors import READ_ERRORS
from farshore.format.extents import EXTENT_BYTES, decode_extents, encode_extents, view_extents
from farshore.format.manifest import ManifestRow
from farshore.format.page_maps import PageCursor, PageMap
from farshore.handles import DirectoryHandles, Handle, open_unnoticed
from farshore.model import HOLE, Extent, dataclass
from farshore.sealed import KeySet
from farshore.sealed.content_hash import ContentHash
from farshore.targets.directory.patching import READ_FLAGS, Patch, Stamp, data_runs, stamp_of

PATCHED_BYTES_MIN = limits.PAGED_FILE_BYTES_MIN  # a smaller file is restored whole
_BLOCK_BYTES = limits.READ_BYTES
_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Compared:
    """The outcome of a comparison. `same`: nothing needs writing. No patch: nothing of the content can be kept."""

    same: bool
    patch: Patch | None = None
    row: ManifestRow | None = None  # that asks for the rest alone


DIFFERENT = Compared(same=False)


class ContentComparer:
    """Compares files of the target with rows of the snapshot. One thread.

    Args:
        pages: Returns the page map of the snapshot, or None where there is none that can be read; asked at most once.
        origins: Returns the paths that a file of the target may have in the snapshot.
    """

    def __init__(
        self,
        *,
        root: Handle,
        keys: KeySet,
        pages: Callable[[], PageMap | None],
        origins: Callable[[bytes], Sequence[bytes]],
    ) -> None:
        self._handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        self._keys = keys
        self._load_pages = pages
        self._origins = origins
        self._pages: PageMap | None = None
        self._pages_asked = False
        self.bytes_read = 0

    def compare(self, row: ManifestRow, *, alone: bool) -> Compared:
        """Compare one file; one that cannot be read is different.

        Args:
            row: Of the file as the snapshot has it.
            alone: Whether no other name of the file has to stay as it is.
        """
        above, _, name = row.entry.path.rpartition(b"/")
        try:
            directory = self._handles.get(above)
            file = Handle(open_unnoticed(name, READ_FLAGS, dir_fd=directory.fd))
            before = stamp_of(os.fstat(file.fd))
            if row.entry.size < PATCHED_BYTES_MIN:
                same = before[2] == row.entry.size and self._has_hash(row, file)
                return Compared(same=same)
            found = self._compare_parts(row, file, before, alone=alone)
            return found if stamp_of(os.fstat(file.fd)) == before else DIFFERENT
        except OSError:
            return DIFFERENT

    def _has_hash(self, row: ManifestRow, file: Handle) -> bool:
        whole = ContentHash()
        for start, end, hole in _runs(_Extents(row.extents)):
            if hole:
                if not self._is_zero(file, start, end):
                    return False
                whole.skip(end - start)
                continue
            data = self._read(file, start, end - start)
            if len(data) != end - start:
                return False
            whole.update(data)
        return whole.digest() == row.content_hash

    def _compare_parts(self, row: ManifestRow, file: Handle, seen: Stamp, *, alone: bool) -> Compared:
        """Compare a large file part by part; what is right need not be fetched."""
        extents = _Extents(row.extents)
        runs = list(_runs(extents))
        holes = tuple((start, end) for start, end, hole in runs if hole)
        kept = list(_joined(self._kept(row, extents, runs, file, seen[2])))
        wanted_bytes = data_bytes(row)
        kept_bytes = sum(end - start for start, end in kept)
        clean = all(self._is_zero(file, start, end) for start, end in holes)
        if seen[2] == row.entry.size and kept_bytes == wanted_bytes and clean:
            return Compared(same=True)
        if not kept_bytes:
            return DIFFERENT
        rest = ManifestRow(row.entry, b"", encode_extents(_without(extents, kept)), row.state)
        patch = Patch(seen, tuple(kept), holes, in_place=bool(row.entry.page_bytes) and alone)
        return Compared(same=False, patch=patch, row=rest)

    def _kept(
        self, row: ManifestRow, extents: Sequence[Extent], runs: list[tuple[int, int, bool]], file: Handle, size: int
    ) -> Iterator[_Range]:
        cursor = self._cursor(row)
        if cursor is not None:
            yield from self._kept_pages(row, cursor, runs, file, size)
            return
        start = 0
        for extent in extents:
            end = start + extent.length
            if extent.chunk != HOLE and not extent.offset and end <= size and extent.length <= limits.SEGMENT_BYTES:
                data = self._read(file, start, extent.length)
                if blake3(data, key=self._keys.chunk_key).digest() == extent.chunk:
                    yield start, end
            start = end

    def _kept_pages(
        self, row: ManifestRow, cursor: PageCursor, runs: list[tuple[int, int, bool]], file: Handle, size: int
    ) -> Iterator[_Range]:
        page, whole = row.entry.page_bytes, row.entry.size
        step = max(_BLOCK_BYTES - _BLOCK_BYTES % page, page)
        for first, last, hole in runs:
            if hole or first % page:
                continue
            for start in range(first, min(last, size), step):
                end = min(start + step, last)
                hashes = hash_pages(self._read(file, start, end - start), page, self._keys.page_key)
                known = _read_hashes(cursor, start // page, len(hashes) // HASH_BYTES)
                for low, high, changed in changed_runs(known, hashes):
                    if not changed:
                        yield start + low * page, min(start + high * page, end, whole)

    def _cursor(self, row: ManifestRow) -> PageCursor | None:
        origins = self._origins(row.entry.path) if row.entry.page_bytes else ()
        if not origins:
            return None
        if not self._pages_asked:
            self._pages, self._pages_asked = self._load_pages(), True
        try:
            cursors = (self._pages.cursor(path, row.entry.page_bytes) for path in origins if self._pages)
            return next((one for one in cursors if one is not None), None)
        except READ_ERRORS:
            return None  # its chunks show it as well, only more coarsely

    def _is_zero(self, file: Handle, start: int, end: int) -> bool:
        for low, high in data_runs(file, start, end):
            for at in range(low, high, _BLOCK_BYTES):
                data = self._read(file, at, min(_BLOCK_BYTES, high - at))
                if data.count(0) != len(data):
                    return False
        return True

    def _read(self, file: Handle, start: int, length: int) -> bytes:
        """Return bytes of a file, fewer at its end."""
        data = os.pread(file.fd, length, start)
        while len(data) < length and (more := os.pread(file.fd, length - len(data), start + len(data))):
            data += more
        self.bytes_read += len(data)
        return data


def data_bytes(row: ManifestRow) -> int:
    """Return how much content a row asks for; holes are none."""
    view = view_extents(row.extents)
    chunks = np.ascontiguousarray(view["chunk"]).view("<u8").reshape(len(view), 4)
    return int(view["length"][chunks.any(axis=1)].sum())


class _Extents(Sequence[Extent]):
    """Encoded extents, each decoded when it is asked for: an image has millions."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data) // EXTENT_BYTES

    @overload
    def __getitem__(self, at: int) -> Extent: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Extent]: ...
    def __getitem__(self, at: int | slice) -> Extent | Sequence[Extent]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return decode_extents(self._data[at * EXTENT_BYTES : (at + 1) * EXTENT_BYTES])[0]


def _runs(extents: Sequence[Extent]) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, is a hole) of what a file is to have, from first byte to last."""
    start = at = 0
    hole = False
    for extent in extents:
        if (extent.chunk == HOLE) != hole:
            if at > start:
                yield start, at, hole
            start, hole = at, extent.chunk == HOLE
        at += extent.length
    if at > start:
        yield start, at, hole


def _joined(ranges: Iterator[_Range]) -> Iterator[_Range]:
    last: _Range | None = None
    for start, end in ranges:
        if last is not None and last[1] == start:
            last = last[0], end
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def _without(extents: Sequence[Extent], kept: Sequence[_Range]) -> Iterator[Extent]:
    """Yield extents that have a hole, which nobody writes, in place of what is kept."""
    cursor = ExtentCursor(extents)
    at = 0
    for start, end in kept:
        if start > at:
            yield from cursor.read(at, start)
        cursor.read(start, end)
        yield Extent(HOLE, 0, end - start)
        at = end
    yield from cursor.read(at, 1 << 62)


def _read_hashes(cursor: PageCursor, first: int, count: int) -> bytes:
    """Return the hashes of `count` pages from the first on; none where they cannot be read."""
    try:
        return cursor.read(first, count)
    except READ_ERRORS:
        return b""
