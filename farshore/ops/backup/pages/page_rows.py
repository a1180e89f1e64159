"""The rows of one file's page map, made while it is read: of a full map, or as they differ from a base.

They wait until the file is known to have held still: a terabyte has four gigabytes of them.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.errors import READ_ERRORS
from farshore.format.page_maps import PageCursor, PageRow, positions_to_bytes, words_of
from farshore.handles import Handle

_HEAD = struct.Struct("<qIII")  # first page, pages kept, length of the hashes, length of the positions


class PageRows:
    """Makes rows from the hashes of consecutive pages, added in steps of at most `step_pages`. One thread; one use.

    Args:
        base: This file's hashes in the base map; without it every hash is written.
        spool: Directory for rows that are too many for memory.
    """

    def __init__(
        self, *, path: bytes, page_bytes: int, step_pages: int, base: PageCursor | None, spool: Path | None = None
    ) -> None:
        self._path = path
        self._page_bytes = page_bytes
        self._row_pages_max = limits.PAGES_PER_ROW_MAX - step_pages
        self._base = base
        self._rows = RowSpool(spool)
        self._first = 0
        self._pages = 0  # of the row at work
        self._hashes: list[bytes] = []
        self._stored: list[npt.NDArray[np.int64]] = []
        self._pages_kept = self._pages_stored = 0  # of the file

    def add(self, first_page: int, hashes: bytes) -> None:
        """Add hashes of pages that follow the last ones, unless `end_row` was called between."""
        if not self._pages:
            self._first = first_page
        words = words_of(hashes)
        changed = np.arange(len(words))
        if self._base is not None:
            try:
                before, known = self._base.fill(first_page, len(words))
            except READ_ERRORS:
                self._base = None  # the pages compared so far stay right; from here on every hash is written
            else:
                changed = np.flatnonzero(~known | (before != words).any(axis=1))
                hashes = hashes if len(changed) == len(words) else words[changed].tobytes()
        self._hashes.append(hashes)
        self._stored.append(changed + self._pages)
        self._pages_stored += len(changed)
        self._pages_kept += len(words) - len(changed)
        self._pages += len(words)
        if self._pages > self._row_pages_max:
            self.end_row()

    def end_row(self) -> None:
        """End the current row: the next page does not follow it, or it is full."""
        if self._pages:
            stored = np.concatenate(self._stored)
            kept = self._pages - len(stored)
            self._rows.add(
                PageRow(
                    self._path, self._page_bytes, self._first, b"".join(self._hashes), kept,
                    positions_to_bytes(stored) if kept else b"",
                )
            )  # fmt: skip
        self._hashes, self._stored, self._pages = [], [], 0

    def finish(self) -> tuple[RowSpool, bool]:
        """Return the rows, and whether the file has the pages of the base and no others, which needs no rows."""
        self.end_row()
        as_base = (
            self._base is not None
            and not self._pages_stored
            and self._base.pages_seen == self._pages_kept
            and self._base.ended()
        )
        return (RowSpool(None), True) if as_base else (self._rows, False)


class RowSpool:
    """Rows of one path and page size, in the order added: in memory, and past a limit in an unnamed file.

    One thread. Its disk space is free again once nobody holds it.

    Args:
        place: Where the file is made; None to hold all in memory, as is done where the disk is full.
    """

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._unwritten: deque[PageRow] = deque()  # of the file, the rows that are not in it yet
        self._unwritten_bytes = 0
        self._file: Handle | None = None
        self._file_bytes = 0
        self._count = 0
        self._like: PageRow | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PageRow]:
        at = 0
        while self._file is not None and self._like is not None and at < self._file_bytes:
            first, kept, hashes, positions = _HEAD.unpack(os.pread(self._file.fd, _HEAD.size, at))
            body = os.pread(self._file.fd, hashes + positions, at + _HEAD.size)
            yield PageRow(self._like.path, self._like.page_bytes, first, body[:hashes], kept, body[hashes:])
            at += _HEAD.size + hashes + positions
        yield from self._unwritten

    def add(self, row: PageRow) -> None:
        """Add one row."""
        self._like = self._like or row
        self._count += 1
        self._unwritten.append(row)
        self._unwritten_bytes += len(row.hashes) + len(row.stored_positions)
        if self._unwritten_bytes >= limits.SPOOL_MEMORY_BYTES and self._place is not None:
            try:
                self._flush(self._place)
            except OSError:
                self._place = None  # an error here would look like one of the file that is read

    def _flush(self, place: Path) -> None:
        if self._file is None:
            descriptor, name = tempfile.mkstemp(prefix="page-rows-", dir=place)
            self._file = Handle(descriptor)
            Path(name).unlink()
        while self._unwritten:
            row = self._unwritten[0]
            data = (
                _HEAD.pack(row.first_page, row.kept, len(row.hashes), len(row.stored_positions))
                + row.hashes
                + row.stored_positions
            )
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fd, data[written:], self._file_bytes + written)
            self._file_bytes += len(data)  # of whole rows alone
            self._unwritten_bytes -= len(row.hashes) + len(row.stored_positions)
            self._unwritten.popleft()
