"""One page-structured file, block by block: hash its pages, splice changed ones into its earlier extents.

Chunks leave through `emit` as they are cut, so memory does not grow with a file's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from farshore import limits
from farshore.chunking import pages
from farshore.chunking.gaps import Gap, Part, cut_block, largest
from farshore.chunking.page_hashes import HASH_BYTES, hash_pages
from farshore.format.manifest import WHOLE
from farshore.format.page_maps import PageCursor, PageRow
from farshore.model import HOLE, ChunkId, Entry, Extent
from farshore.ops.backup.pages.page_rows import PageRows, RowSpool
from farshore.sealed import KeySet
from farshore.sealed.content_hash import ContentHash

Emit = Callable[[ChunkId, bytes | memoryview], None]


@dataclass(frozen=True, slots=True)
class PreviousPages:
    """The pages of one file in the snapshot before, and its extents: none where chunks of them are not stored."""

    extents: Sequence[Extent]
    pages: PageCursor


@dataclass(slots=True)
class FileRead:
    """One file as it was read.

    `pages` are the rows by which its page map differs from that of the snapshot before, and `added_pages` how many more
    it has. A file that is not `paged` was cut by content, and has none.
    """

    entry: Entry
    content_hash: bytes
    extents: list[Extent]
    bytes_read: int
    state: str = WHOLE
    pages: RowSpool | Sequence[PageRow] = ()
    paged: bool = False
    added_pages: int = 0


class PagedFile:
    """Builds the extents of one page-structured file, block by block. One thread; one use.

    Changed pages of all blocks are gathered into shared chunks, so a thousand scattered pages are a few chunks.
    """

    def __init__(
        self,
        *,
        entry: Entry,
        keys: KeySet,
        block_bytes: int,
        emit: Emit,
        previous_pages: PreviousPages | None,
        spool: Path | None = None,
    ) -> None:
        self._entry = entry
        self._page = entry.page_bytes
        self._block = block_bytes
        self._keys = keys
        self._emit = emit
        self._cursor = pages.ExtentCursor(previous_pages.extents) if previous_pages and previous_pages.extents else None
        self._whole = ContentHash()
        self._pending = bytearray()  # with zeros where a hole is
        self._gaps: list[Gap] = []  # those holes
        self._at = 0  # file offset of the next block
        self._parts: list[
            Extent | tuple[int, int, int]
        ] = []  # extents, or (gathered chunk, offset, length) not yet sealed
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._chunk_ids: list[ChunkId] = []
        self._rows = PageRows(
            path=entry.path, page_bytes=self._page, before=previous_pages.pages if previous_pages else None,
            spool=spool,
        )  # fmt: skip
        self._bytes_read = 0

    def feed(self, data: bytes | memoryview, hashes: bytes = b"") -> None:
        """Add the next bytes. Memory that can be written is used only until this returns.

        Args:
            hashes: Those of the pages of `data` from its start on; without them they are made here.
        """
        self._bytes_read += len(data)
        view = memoryview(data)
        start = 0
        if self._pending:
            start = min(self._block - len(self._pending), len(view))
            self._pending += view[:start]
            if len(self._pending) == self._block:
                self._add_pending()
        if start % self._page or self._block % self._page:
            hashes = b""  # they are not of the pages that blocks have
        while len(view) - start >= self._block:
            first, end = start // self._page, (start + self._block) // self._page
            self._add_block(view[start : start + self._block], hashes[first * HASH_BYTES : end * HASH_BYTES])
            start += self._block
        self._pending += view[start:]

    def feed_hole(self, length: int) -> None:
        """Add a hole. It stays one, unless a block has too many: then the smallest count as zeros."""
        while length:
            if not self._pending and length >= self._block:
                whole_blocks = length - length % self._block
                self._add_hole(whole_blocks)
                length -= whole_blocks
                continue
            part = min(length, self._block - len(self._pending))
            start = len(self._pending)
            if self._gaps and self._gaps[-1][1] == start:
                start = self._gaps.pop()[0]
            self._pending += bytes(part)
            self._gaps.append((start, len(self._pending)))
            length -= part
            if len(self._pending) == self._block:
                self._add_pending()

    def finish(self) -> FileRead:
        """Return the file."""
        if self._pending:
            self._add_pending()
        self._flush_gathered()
        rows = self._rows.finish()
        extents: list[Extent] = []
        for part in self._parts:
            extent = part if isinstance(part, Extent) else Extent(self._chunk_ids[part[0]], part[1], part[2])
            pages.append_extent(extents, extent)
        return FileRead(
            self._entry, self._whole.digest(), extents, self._bytes_read, pages=rows, paged=True,
            added_pages=self._rows.added_pages,
        )  # fmt: skip

    def _add_pending(self) -> None:
        block, gaps = bytes(self._pending), largest(self._gaps, limits.PAGE_HOLES_PER_BLOCK_MAX)
        self._pending.clear()
        self._gaps = []
        if gaps:
            self._add_sparse_block(memoryview(block), gaps)
        else:
            self._add_block(memoryview(block))

    def _add_block(self, block: memoryview, hashes: bytes = b"") -> None:
        self._whole.update(block)
        hashes = hashes or hash_pages(block, self._page, self._keys.page_key)
        start, end = self._at, self._at + len(block)
        first = start // self._page
        before = self._rows.add(first, hashes)
        self._at = end
        if self._cursor:
            old = self._cursor.read(start, end)
            spliced = self._splice(block, pages.changed_runs(before, hashes), old)
            if spliced is not None:
                self._parts += spliced
                return
        self._parts.append(Extent(self._name(block if block.readonly else bytes(block)), 0, len(block)))

    def _add_sparse_block(self, block: memoryview, gaps: list[Gap]) -> None:
        """Add a block with holes in it: they stay, and its new data goes to gathered chunks."""
        first_byte = self._at
        for part, start, end in cut_block(len(block), self._page, gaps):
            if part is Part.HOLE:
                self._whole.skip(end - start)
                self._parts.append(Extent(HOLE, 0, end - start))
                continue
            data = block[start:end]
            self._whole.update(data)
            self._parts += (part is Part.PAGES and self._add_pages(first_byte + start, data)) or [self._gather(data)]
        self._at += len(block)

    def _add_pages(self, start: int, data: memoryview) -> list[Extent | tuple[int, int, int]] | None:
        """Add whole pages from a byte of the file on; return parts for them, or None where all are new."""
        hashes = hash_pages(data, self._page, self._keys.page_key)
        first = start // self._page
        before = self._rows.add(first, hashes)
        if not self._cursor:
            return None
        return self._splice(data, pages.changed_runs(before, hashes), self._cursor.read(start, start + len(data)))

    def _splice(
        self, block: memoryview, runs: list[tuple[int, int, bool]], old: list[Extent]
    ) -> list[Extent | tuple[int, int, int]] | None:
        """Return parts that join unchanged ranges of `old` with gathered pages, or None to store the block whole."""
        if all(changed for _, _, changed in runs):
            return None
        cursor = pages.ExtentCursor(old)
        plan: list[Extent | tuple[int, int]] = []
        for first, last, changed in runs:
            start, end = first * self._page, min(last * self._page, len(block))
            if changed:
                plan.append((start, end))
                continue
            kept = cursor.read(start, end)
            if sum(extent.length for extent in kept) != end - start:
                return None  # the earlier extents do not cover what its page map claims
            plan += kept
        if len(plan) > limits.PAGE_EXTENTS_PER_BLOCK_MAX:
            return None
        return [part if isinstance(part, Extent) else self._gather(block[part[0] : part[1]]) for part in plan]

    def _gather(self, data: memoryview) -> tuple[int, int, int]:
        if self._gathered_bytes + len(data) > self._block:
            self._flush_gathered()
        place = (len(self._chunk_ids), self._gathered_bytes, len(data))
        self._gathered.append(bytes(data))
        self._gathered_bytes += len(data)
        return place

    def _flush_gathered(self) -> None:
        if self._gathered:
            self._chunk_ids.append(self._name(b"".join(self._gathered)))
        self._gathered, self._gathered_bytes = [], 0

    def _name(self, data: bytes | memoryview) -> ChunkId:
        chunk_id = blake3(data, key=self._keys.chunk_key).digest()
        self._emit(chunk_id, data)
        return chunk_id

    def _add_hole(self, length: int) -> None:
        """Keep whole blocks of a hole. They leave a gap in the page map: data there next time is new."""
        self._whole.skip(length)
        self._at += length
        self._parts.append(Extent(HOLE, 0, length))
