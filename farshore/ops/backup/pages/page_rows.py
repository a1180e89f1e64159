"""The rows by which one file's page map differs from that of the snapshot before, made while it is read.

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

from farshore import limits
from farshore.errors import READ_ERRORS
from farshore.format.page_maps import SLOT_PAGES, PageCursor, PageRow, absent, key_of, known_pages, make_row, words_of
from farshore.handles import Handle

_HEAD = struct.Struct("<qI?IIII")  # slot, page bytes, whole, lengths of path, positions, hashes and gone positions


class PageRows:
    """Makes rows from the hashes of pages, added in ascending order. One thread; one use.

    Args:
        before: This file's rows in the snapshot before, of whatever page size; without it every hash is written.
        spool: Directory for rows that are too many for memory.
    """

    def __init__(
        self, *, path: bytes, page_bytes: int, before: PageCursor | None = None, spool: Path | None = None
    ) -> None:
        self._path = path
        self._page_bytes = page_bytes
        self._before = before
        self._rows = RowSpool(spool)
        self._slot = -1
        self._words, self._known = known_pages(absent(path, 0))
        self._old: PageRow | None = None  # the row of the slot in the snapshot before
        self._old_words, self._old_known = known_pages(absent(path, 0))
        self.added_pages = 0  # more than the snapshot before has of this file

    def add(self, first_page: int, hashes: bytes) -> bytes:
        """Add hashes of consecutive pages; return those that the pages had before, and others where none is known.

        Nothing is returned where there is nothing to compare with.
        """
        words = words_of(hashes)
        found = np.empty_like(words)
        done = 0
        while done < len(words):
            slot, at = divmod(first_page + done, SLOT_PAGES)
            if slot != self._slot:
                self._begin(slot)
            part = words[done : done + SLOT_PAGES - at]
            here = slice(at, at + len(part))
            self._words[here] = part
            self._known[here] = True
            found[done : done + len(part)] = np.where(self._old_known[here, None], self._old_words[here], ~part)
            done += len(part)
        return found.tobytes() if self._before is not None else b""

    def finish(self) -> RowSpool:
        """Return the rows; none of a file that has the pages that it had."""
        self._end()
        self._drop_before(None)
        return self._rows

    def _begin(self, slot: int) -> None:
        self._end()
        self._drop_before(slot)
        self._slot = slot
        self._known[:] = False
        self._old = self._pop(slot)
        usable = self._old is not None and self._old.page_bytes == self._page_bytes
        old = self._old if self._old is not None and usable else absent(self._path, slot)
        self._old_words, self._old_known = known_pages(old)

    def _end(self) -> None:
        """Write the row of the slot at work, where it differs."""
        if self._slot < 0:
            return
        known, old = self._known, self._old_known
        same = known & old & (self._words == self._old_words).all(axis=1)
        gone = old & ~known
        self.added_pages += int(known.sum()) - (self._old.pages if self._old is not None else 0)
        replaced = self._old is not None and self._old.page_bytes != self._page_bytes
        if (known & ~same).any() or gone.any() or replaced:
            self._rows.add(
                make_row(
                    self._path, self._slot, self._page_bytes, self._words, known & ~same, gone if same.any() else None
                )
            )

    def _drop_before(self, slot: int | None) -> None:
        """Write that all slots before one that the file had are gone."""
        try:
            for row in self._before.before(slot) if self._before is not None else ():
                self._rows.add(absent(self._path, row.slot))
                self.added_pages -= row.pages
        except READ_ERRORS:
            self._before = None  # the page map is known to be broken; from here on every hash is written

    def _pop(self, slot: int) -> PageRow | None:
        try:
            return self._before.pop(slot) if self._before is not None else None
        except READ_ERRORS:
            self._before = None
            return None


class RowSpool:
    """Rows, in the order added: in memory, and past a limit in an unnamed file.

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

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PageRow]:
        at = 0
        while self._file is not None and at < self._file_bytes:
            row, at = _read_row(self._file, at)
            yield row
        yield from self._unwritten

    def in_order(self) -> Iterator[PageRow]:
        """Yield the rows in the order of page maps. Memory: a path and a number for each."""
        places: list[tuple[tuple[bytes, int], int]] = []
        at = 0
        while self._file is not None and at < self._file_bytes:
            start = at
            row, at = _read_row(self._file, at)
            places.append((key_of(row), start))
        in_memory = {key_of(row): row for row in self._unwritten}
        places += [(key, -1) for key in in_memory]
        for key, start in sorted(places):
            yield _read_row(self._file, start)[0] if self._file is not None and start >= 0 else in_memory[key]

    def add(self, row: PageRow) -> None:
        """Add one row."""
        self._count += 1
        self._unwritten.append(row)
        self._unwritten_bytes += _bytes_of(row)
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
            parts = (row.path, row.positions, row.hashes, row.gone)
            data = _HEAD.pack(row.slot, row.page_bytes, row.whole, *map(len, parts)) + b"".join(parts)
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fd, data[written:], self._file_bytes + written)
            self._file_bytes += len(data)  # of whole rows alone
            self._unwritten_bytes -= _bytes_of(row)
            self._unwritten.popleft()


def _bytes_of(row: PageRow) -> int:
    return _HEAD.size + len(row.path) + len(row.positions) + len(row.hashes) + len(row.gone)


def _read_row(file: Handle, at: int) -> tuple[PageRow, int]:
    """Return the row at an offset, and the offset behind it."""
    slot, page_bytes, whole, *lengths = _HEAD.unpack(os.pread(file.fd, _HEAD.size, at))
    body = memoryview(os.pread(file.fd, sum(lengths), at + _HEAD.size))
    parts: list[bytes] = []
    for length in lengths:
        parts.append(bytes(body[:length]))
        body = body[length:]
    path, positions, hashes, gone = parts
    return PageRow(path, slot, page_bytes, whole, positions, hashes, gone), at + _HEAD.size + sum(lengths)
