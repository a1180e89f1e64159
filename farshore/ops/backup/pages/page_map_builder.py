"""The page map of a run: rows of files that were read and of those that did not change, and the paths that are gone."""

from __future__ import annotations

from collections.abc import Sequence

from farshore.errors import READ_ERRORS
from farshore.format.page_maps import PageCursor, PageMap, PagesWriter
from farshore.model import Entry, Extent
from farshore.ops.backup.pages.paged_file import FileRead, PreviousPages


class PageMapBuilder:
    """Writes one page map. One use; one thread.

    Losing an earlier map, even half way, costs comparison and nothing else: pages that it lacks count as new.

    Args:
        previous: The page map of the snapshot that is compared with.
        base: The full map that the one being written is a difference from: `previous` or its base. None: it is full.
    """

    def __init__(self, *, writer: PagesWriter, previous: PageMap | None, base: PageMap | None) -> None:
        self._writer = writer
        self._previous = previous
        self._base = base
        self._unseen = set(base.own_paths) if base else set()  # a difference must say that they are gone

    def previous_pages(self, entry: Entry, extents: Sequence[Extent]) -> PreviousPages | None:
        """Return a file's pages in earlier snapshots, given its earlier extents; None if there are none to compare."""
        pages = _cursor(self._previous, entry) if extents else None
        base = _cursor(self._base, entry)
        if pages is None:
            return PreviousPages((), PageCursor(()), base) if base else None
        return PreviousPages(extents, pages, base)

    def add(self, file: FileRead) -> None:
        """Add a file that was read."""
        for row in file.pages:
            self._writer.add(row)
        if file.pages or file.as_base:
            self._unseen.discard(file.entry.path)

    def keep(self, path: bytes) -> None:
        """Add a file that did not change. A difference repeats only its rows of the earlier difference."""
        if self._previous is None:
            return
        has_rows = self._base is None or (self._previous is not self._base and path in self._previous.own_paths)
        if not has_rows:
            self._unseen.discard(path)
            return
        rows = self._previous.rows(path) if self._base is None else self._previous.own_rows(path)
        try:
            for row in rows:
                self._writer.add(row)
                self._unseen.discard(path)
        except READ_ERRORS:
            return  # a path without all its rows has fewer pages to compare with; one without any is written as gone

    def finish(self) -> None:
        """Write the paths that the base has and this snapshot has not."""
        for path in sorted(self._unseen):
            self._writer.add_absent(path)


def _cursor(pages: PageMap | None, entry: Entry) -> PageCursor | None:
    try:
        return pages.cursor(entry.path, entry.page_bytes) if pages else None
    except READ_ERRORS:
        return None
