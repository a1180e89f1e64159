"""The rows of one file's page map until the file is known to have held still: a terabyte has four gigabytes of them."""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from farshore import limits
from farshore.format.page_maps import PageRow
from farshore.handles import Handle

_HEAD = struct.Struct("<qIII")  # first page, pages kept, length of the hashes, length of the positions


class RowSpool:
    """Rows of one path and page size, in the order added: in memory, and past a limit in an unnamed file.

    One thread. Its disk space is free again once nobody holds it.

    Args:
        place: Where the file is made; None to hold all in memory, as is done where the disk is full.
    """

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._held: deque[PageRow] = deque()  # of the file, the rows that are not in it yet
        self._held_bytes = 0
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
        yield from self._held

    def add(self, row: PageRow) -> None:
        """Add one row."""
        self._like = self._like or row
        self._count += 1
        self._held.append(row)
        self._held_bytes += len(row.hashes) + len(row.stored_positions)
        if self._held_bytes >= limits.SPOOL_MEMORY_BYTES and self._place is not None:
            try:
                self._flush(self._place)
            except OSError:
                self._place = None  # an error here would look like one of the file that is read

    def _flush(self, place: Path) -> None:
        if self._file is None:
            descriptor, name = tempfile.mkstemp(prefix="page-rows-", dir=place)
            self._file = Handle(descriptor)
            Path(name).unlink()
        while self._held:
            row = self._held[0]
            data = (
                _HEAD.pack(row.first_page, row.kept, len(row.hashes), len(row.stored_positions))
                + row.hashes
                + row.stored_positions
            )
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fd, data[written:], self._file_bytes + written)
            self._file_bytes += len(data)  # of whole rows alone
            self._held_bytes -= len(row.hashes) + len(row.stored_positions)
            self._held.popleft()
