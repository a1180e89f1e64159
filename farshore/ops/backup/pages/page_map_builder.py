"""The changes of a run's page map: rows of files that were read, and that the pages of files that are gone are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from farshore.errors import READ_ERRORS
from farshore.format.choosing import sort_key
from farshore.format.page_maps import PageCursor, PageMap, PageRow, PagesWriter, absent
from farshore.model import Entry, Extent
from farshore.ops.backup.pages.page_rows import RowSpool
from farshore.ops.backup.pages.paged_file import FileRead, PreviousPages


class PageMapBuilder:
    """Writes how a page map differs from that of the snapshot before. One use; one thread.

    Losing the earlier map, even half way, costs comparison and nothing else. Then it is `broken`, and what was written
    is a page map by itself: pages that it lacks count as new.

    Args:
        writer: Gets the rows, in order.
        previous: The page map of the snapshot that is compared with.
        spool: Directory for rows of a capture whose files are in any order.
    """

    def __init__(self, *, writer: PagesWriter, previous: PageMap | None, spool: Path | None = None) -> None:
        self._writer = writer
        self._previous = previous
        self._waiting = RowSpool(spool)
        self._unseen: set[bytes] = set()
        try:
            self._unseen = previous.paths() if previous is not None else set()
        except READ_ERRORS:
            self._previous = None
        self._gone = sorted(self._unseen, key=sort_key, reverse=True)  # the next one last; seen ones among them
        self.ordered = True  # whether files are added in the order of the manifest
        self.added_pages = 0  # more than the page map before has

    def previous_pages(self, entry: Entry, extents: Sequence[Extent]) -> PreviousPages | None:
        """Return a file's pages in the snapshot before, and its earlier extents where they can be used."""
        if self._previous is None:
            return None
        try:
            return PreviousPages(extents, PageCursor(self._previous.rows(entry.path)))
        except READ_ERRORS:
            return None

    def add(self, file: FileRead) -> None:
        """Add a file that was read."""
        if not file.paged:
            return
        path = file.entry.path
        self._unseen.discard(path)
        self.added_pages += file.added_pages
        if self.ordered:
            self._add_gone(path)
        for row in file.pages:
            self._add(row)

    def keep(self, path: bytes) -> None:
        """Note a file that did not change."""
        self._unseen.discard(path)

    def finish(self) -> None:
        """Write that the pages of all files are gone that the snapshot does not have."""
        self._add_gone(None)
        for row in self._waiting.in_order():
            self._writer.add(row)

    def _add_gone(self, until: bytes | None) -> None:
        while self._gone and (until is None or sort_key(self._gone[-1]) < sort_key(until)):
            path = self._gone.pop()
            if path not in self._unseen or self._previous is None:
                continue
            try:
                for row in self._previous.rows(path):
                    self._add(absent(path, row.slot))
                    self.added_pages -= row.pages
            except READ_ERRORS:
                self._previous = None

    def _add(self, row: PageRow) -> None:
        if self.ordered:
            self._writer.add(row)
        else:
            self._waiting.add(row)
