"""Rows of page maps as tests make and compare them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from farshore.format.choosing import sort_key
from farshore.format.page_maps import SLOT_PAGES, PageCursor, PageRow, known_pages, merge_rows
from farshore.ops.backup.pages.paged_file import FileRead


def in_order(paths: Iterable[bytes]) -> list[bytes]:
    return sorted(paths, key=sort_key)


def cursor_of(before: FileRead) -> PageCursor:
    """Return the pages of a file as the next night compares with them."""
    return PageCursor(before.pages)


def with_all_pages(result: FileRead, before: FileRead | None) -> FileRead:
    """Return a file with the rows of its whole page map: those of the night before, and what changed since."""
    nights = [before.pages, result.pages] if before else [result.pages]
    pages = list(merge_rows([list(rows) for rows in nights], all_runs=True))
    known = sum(row.pages for row in before.pages) if before else 0
    assert result.added_pages == sum(row.pages for row in pages) - known
    result.pages = pages
    return result


def page_runs(row: PageRow) -> list[tuple[int, bytes]]:
    """Return the first page and the hashes of each run of consecutive pages."""
    words, known = known_pages(row)
    runs: list[tuple[int, bytes]] = []
    for at in np.flatnonzero(known).tolist():
        page = row.slot * SLOT_PAGES + at
        if runs and runs[-1][0] + len(runs[-1][1]) // 16 == page:
            runs[-1] = runs[-1][0], runs[-1][1] + words[at].tobytes()
        else:
            runs.append((page, words[at].tobytes()))
    return runs
