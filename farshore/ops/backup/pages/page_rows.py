"""The rows of one file's page map, made while it is read: of a full map, or as they differ from a base."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.errors import READ_ERRORS
from farshore.format.page_maps import PageCursor, PageRow, positions_to_bytes, words_of
from farshore.ops.backup.pages.row_spool import RowSpool


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
