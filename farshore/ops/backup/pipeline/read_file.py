"""Read one file of a source: cut it, name its chunks, hash the whole, and never mistake a torn read for a good one.

Chunks leave through `emit` as they are cut, so memory does not grow with a file's size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

from blake3 import blake3

from farshore import limits
from farshore.chunking import pages
from farshore.chunking.content import ContentCutter, CutSizes
from farshore.errors import SourceChanged
from farshore.format.manifest import CHANGING
from farshore.host_resources import check_host
from farshore.model import HOLE, ChunkId, Entry, EntryKind, Extent, Problem, ProblemCode
from farshore.ops.backup.pages.hashers import HashedData, PageHashers
from farshore.ops.backup.pages.paged_file import Emit, FileRead, PagedFile, PreviousPages
from farshore.sealed import KeySet
from farshore.sealed.content_hash import ContentHash
from farshore.sources.base import Content, Data, Hole, Item, Piece

ReportBytes = Callable[[int], None]  # called with the number of bytes just read
_log = logging.getLogger(__name__)


class ContentReader:
    """Reads files with one repository's keys and sizes. Holds no state between files; safe from many threads.

    Args:
        hashers: For large page-structured files that may be read ahead; those are read by one thread only.
    """

    def __init__(
        self, *, keys: KeySet, sizes: CutSizes, spool: Path | None = None, hashers: PageHashers | None = None
    ) -> None:
        self._keys = keys
        self._hashers = hashers
        self._spool = spool
        self._sizes = sizes

    def read(
        self,
        item: Item,
        emit: Emit,
        *,
        previous_pages: Callable[[], PreviousPages | None] = lambda: None,
        attempts: int,
        report_bytes: ReportBytes = lambda _: None,
        ahead: bool = False,
    ) -> FileRead | Problem:
        """Read one file, again when it changes meanwhile; return its row, or the problem.

        `previous_pages` is asked once an attempt, because what it returns is used up by reading.

        `ahead`: other threads may read a page-structured file while pieces that were read are hashed.

        A file that changes during every attempt is kept as last read, marked `changing`, so that a log that never
        rests is neither lost nor passed off as whole.

        Raises:
            SourceUnavailable, SourceCorrupt: The source as a whole failed.
            HostExhausted: This process lacks something, which is no fault of the file.
        """
        entry = item.stat_entry
        if entry.size >= limits.PAGED_FILE_BYTES_MIN:
            entry = item.entry  # with the page size, if it is page-structured
        entry = _as_file(entry)
        path = entry.path
        result: FileRead | None = None
        for attempt in range(attempts):
            try:
                with item.open() as content:
                    if entry.page_bytes:
                        with closing(self._page_pieces(entry, content, ahead=ahead)) as pieces:
                            result = self._read_pages(entry, pieces, emit, previous_pages(), report_bytes)
                    else:
                        result = self._read_content(entry, content, emit, report_bytes)
                    result.entry = _as_file(content.settled())
                return result
            except SourceChanged as error:
                _log.info("attempt %d: %s", attempt + 1, error)
            except FileNotFoundError:
                said = "it was there when the directory was listed and gone when it was opened"
                return Problem(
                    path, ProblemCode.VANISHED, said, matters=False
                )  # as if the backup had begun a moment later
            except OSError as error:
                check_host(error, reading=True)
                return Problem(path, ProblemCode.UNREADABLE, error.strerror or str(error))
        if result is None:
            return Problem(path, ProblemCode.CHANGING, f"it was replaced during each of {attempts} attempts to open it")
        size = sum(extent.length for extent in result.extents)
        result.entry = _as_file(item.entry)._replace(size=size)
        result.state = CHANGING
        return result

    def chunk_id(self, data: bytes | memoryview) -> ChunkId:
        """Return a chunk's name."""
        return blake3(data, key=self._keys.chunk_key).digest()

    def _read_content(self, entry: Entry, content: Content, emit: Emit, report_bytes: ReportBytes) -> FileRead:
        pieces = content.pieces()
        start = list(islice(pieces, 2))
        if len(start) == 1 and isinstance(start[0], Data) and len(start[0].data) <= self._sizes.minimum:
            data = start[0].data  # the common small file: one read, one chunk, no cutter
            chunk_id = self.chunk_id(data)
            emit(chunk_id, data)
            report_bytes(len(data))
            return FileRead(entry, blake3(data).digest(), [Extent(chunk_id, 0, len(data))], len(data))
        pieces = chain(start, pieces)
        del start  # or the first pieces of a large file would be held until its end
        whole = ContentHash()
        extents: list[Extent] = []
        cutter: ContentCutter | None = None
        bytes_read = 0

        def keep(chunk: bytes | memoryview) -> None:
            chunk_id = self.chunk_id(chunk)
            emit(chunk_id, chunk)
            extents.append(Extent(chunk_id, 0, len(chunk)))

        for piece in pieces:
            if isinstance(piece, Hole):
                for chunk in cutter.finish() if cutter else ():
                    keep(chunk)
                whole.skip(piece.length)
                pages.append_extent(extents, Extent(HOLE, 0, piece.length))
                continue
            whole.update(piece.data)
            bytes_read += len(piece.data)
            report_bytes(len(piece.data))
            cutter = cutter or ContentCutter(sizes=self._sizes, seed=self._keys.cut_seed)
            for chunk in cutter.feed(piece.data):
                keep(chunk)
        for chunk in cutter.finish() if cutter else ():
            keep(chunk)
        return FileRead(entry, whole.digest(), extents, bytes_read)

    def _page_pieces(self, entry: Entry, content: Content, *, ahead: bool) -> Generator[Piece | HashedData, None, None]:
        """Yield the pieces of a page-structured file. To be closed before the content."""
        if not ahead:
            yield from content.pieces()
        elif self._hashers is not None and self._hashers.reads(content, entry):
            yield from self._hashers.read(content, entry.page_bytes)
        else:
            yield from read_ahead(content.pieces())

    def _read_pages(
        self,
        entry: Entry,
        pieces: Iterable[Piece | HashedData],
        emit: Emit,
        previous_pages: PreviousPages | None,
        report_bytes: ReportBytes,
    ) -> FileRead:
        paged = PagedFile(
            entry=entry,
            keys=self._keys,
            block_bytes=self._sizes.block,
            emit=emit,
            previous_pages=previous_pages,
            spool=self._spool,
        )
        for piece in pieces:
            if isinstance(piece, Hole):
                paged.feed_hole(piece.length)
                continue
            paged.feed(piece.data, piece.hashes if isinstance(piece, HashedData) else b"")
            report_bytes(len(piece.data))
        return paged.finish()


def read_ahead(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield the pieces, each read by another thread while the one before it is worked on. Holds two of them."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        pending = pool.submit(next, pieces, None)
        while (piece := pending.result()) is not None:
            pending = pool.submit(next, pieces, None)
            yield piece


def _as_file(entry: Entry) -> Entry:
    """Return the entry as a file: a hard link that replaces its lost first name is stored as one."""
    return entry._replace(kind=EntryKind.FILE, target=b"") if entry.kind is EntryKind.HARDLINK else entry
