"""A page map and the differences from it: whatever the history, two objects tell exactly what a full map would tell."""

from __future__ import annotations

import io
import random
from itertools import groupby

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.page_maps import PageMap, PageRow, PagesWriter
from farshore.model import Entry, EntryKind, Extent
from farshore.ops.backup.pages.page_map_builder import PageMapBuilder
from farshore.ops.backup.pages.page_rows import PageRows
from farshore.ops.backup.pages.paged_file import FileRead, PreviousPages

PATHS = (b"a", b"b", b"c/d", b"\xff")
STEP = 5  # pages told at once
ROW = 16  # pages of a row, so that rows end often
State = dict[bytes, tuple[int, dict[int, bytes]]]  # path -> page size, and hash by page; a hole has none


def fresh(chance: random.Random) -> bytes:
    return chance.choice([bytes(16), chance.randbytes(16), chance.randbytes(16)])


def hashes_of(pages: dict[int, bytes]) -> list[tuple[int, list[bytes]]]:
    """Return the runs of consecutive pages."""
    runs = groupby(enumerate(sorted(pages)), lambda item: item[1] - item[0])
    return [(run[0][1], [pages[page] for _, page in run]) for run in (list(found) for _, found in runs)]


def next_night(chance: random.Random, state: State) -> tuple[State, set[bytes]]:
    """Return the next state of all files, and which of them did not change."""
    after: State = {path: (size, dict(pages)) for path, (size, pages) in state.items()}
    for path in chance.sample(PATHS, chance.randrange(len(PATHS) + 1)):
        size, pages = after.get(path, (512, {}))
        end = max(pages, default=-1) + 1
        match chance.choice(["change", "grow", "shrink", "hole", "resize", "vanish", "empty", "rewrite"]):
            case "change":
                pages.update({page: fresh(chance) for page in pages if chance.random() < 0.2})
            case "grow":
                pages.update({page: fresh(chance) for page in range(end, end + chance.randrange(40))})
            case "shrink":
                pages = {page: one for page, one in pages.items() if page < end // 2}
            case "hole":
                start = chance.randrange(end + 1)
                pages = {page: one for page, one in pages.items() if not start <= page < start + chance.randrange(20)}
            case "resize":
                size = chance.choice([512, 4096])
            case "vanish":
                after.pop(path, None)
                continue
            case "empty":
                pages = {}
            case "rewrite":
                pages = {page: fresh(chance) for page in range(chance.randrange(60))}
        after[path] = (size, pages)
    return after, {path for path, (size, pages) in after.items() if state.get(path) == (size, pages)}


def read(path: bytes, size: int, pages: dict[int, bytes], previous_pages: PreviousPages | None) -> FileRead:
    rows = PageRows(
        path=path,
        page_bytes=size,
        step_pages=limits.PAGES_PER_ROW_MAX - ROW,
        base=previous_pages.base if previous_pages else None,
    )
    for first, run in hashes_of(pages):
        for start in range(0, len(run), STEP):
            rows.add(first + start, b"".join(run[start : start + STEP]))
        rows.end_row()
    reported, as_base = rows.finish()
    return FileRead(Entry(path, EntryKind.FILE, page_bytes=size), b"", [], 0, pages=reported, as_base=as_base)


def state_of(pages: PageMap) -> State:
    """Return everything a page map reports, row by row; and by cursor, which must be the same."""
    state: State = {}
    for path in PATHS:
        found: dict[int, bytes] = {}
        for row in pages.rows(path):
            assert (row.kept, row.stored_positions) == (0, b"")
            run = [row.hashes[at : at + 16] for at in range(0, len(row.hashes), 16)]
            found.update({row.first_page + at: one for at, one in enumerate(run)})
            state[path] = (row.page_bytes, found)
        for size in (512, 4096):
            cursor = pages.cursor(path, size)
            if state.get(path, (0, {}))[0] != size:
                assert cursor is None
                continue
            assert cursor is not None
            words, known = cursor.fill(0, max(found) + 3)
            assert {page: words[page].tobytes() for page in range(len(known)) if known[page]} == found
    return state


@settings(max_examples=150)
@given(st.integers(0, 1 << 32), st.integers(2, 9), st.booleans())
def test_any_history_of_differences_tells_what_full_maps_would(seed: int, nights: int, unread: bool) -> None:
    chance = random.Random(seed)
    state: State = {}
    previous: PageMap | None = None
    base: PageMap | None = None
    for _ in range(nights):
        state, same = next_night(chance, state)
        base = base if chance.random() < 0.8 else None
        sink = io.BytesIO()
        writer = PagesWriter(sink, base="ba5e" if base else "", spent=previous.spent_with_it if previous else 0)
        keeper = PageMapBuilder(writer=writer, previous=previous, base=base)
        for path, (size, pages) in state.items():
            if unread and path in same:
                keeper.keep(path)
            else:
                previous_pages = keeper.previous_pages(
                    Entry(path, EntryKind.FILE, page_bytes=size), [Extent(b"c" * 32, 0, 1)]
                )
                keeper.add(read(path, size, pages, previous_pages))
        keeper.finish()
        writer.close()
        previous = PageMap(sink, base=(base, "ba5e") if base else None)
        base = base or previous
        assert state_of(previous) == {path: (size, pages) for path, (size, pages) in state.items() if pages}


def of_rows(rows: list[PageRow], base: tuple[PageMap, str] | None = None) -> PageMap:
    sink = io.BytesIO()
    writer = PagesWriter(sink, base=base[1] if base else "")
    for row in rows:
        writer.add(row)
    writer.close()
    return PageMap(sink, base=base)


FULL = [PageRow(b"a", 512, 10, blake3(b"a").digest(10 * 16)), PageRow(b"b", 512, 0, bytes(32))]


@pytest.mark.parametrize(
    "row",
    [
        PageRow(b"a", 512, 10, bytes(16), 1, b"\0\0\0"),
        PageRow(b"a", 512, 10, bytes(15), 1, b"\0\0"),
        PageRow(b"a", 512, 10, bytes(16), 1, b"\2\0"),
        PageRow(b"a", 512, 10, bytes(32), 1, b"\1\0\0\0"),
        PageRow(b"a", 512, 10, bytes(32), 1, b"\1\0\1\0"),
        PageRow(b"a", 512, 10, bytes(16), 0, b"\0\0"),
        PageRow(b"a", 512, 10, bytes(16), -1, b"\0\0"),
        PageRow(b"a", 512, 10, bytes(16), 65_536, b"\0\0"),
        PageRow(b"a", 512, 9, b"", 2),
        PageRow(b"a", 512, 15, b"", 6),
        PageRow(b"a", 4096, 10, b"", 2),
        PageRow(b"c", 512, 0, b"", 1),
    ],
    ids=str,
)
def test_a_difference_that_breaks_a_rule_or_keeps_what_is_not_there_is_damaged(row: PageRow) -> None:
    with pytest.raises(ObjectCorrupt):
        list(of_rows([row], (of_rows(FULL), "ba5e")).rows(row.path))


def test_a_difference_is_read_with_its_own_base_alone() -> None:
    sink = io.BytesIO()
    writer = PagesWriter(sink, base="ba5e")
    writer.close()
    for base in ((of_rows(FULL), "0the4"), None):
        with pytest.raises(ObjectCorrupt, match="another base"):
            PageMap(sink, base=base)
    with pytest.raises(ObjectCorrupt, match="another base"):
        PageMap(io.BytesIO(_full_bytes()), base=(of_rows(FULL), "ba5e"))


def _full_bytes() -> bytes:
    sink = io.BytesIO()
    writer = PagesWriter(sink)
    writer.add(FULL[0])
    writer.close()
    return sink.getvalue()


def test_a_map_that_cannot_be_read_on_tells_less_and_nothing_wrong() -> None:
    """A path whose rows cannot be copied is reported as gone, or the base would speak for it."""

    class Breaking(io.BytesIO):
        broken = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.broken:
                raise ObjectCorrupt("damaged")
            return super().read(size)

    base = of_rows(FULL)
    file = Breaking()
    writer = PagesWriter(file, base="ba5e")
    writer.add(PageRow(b"a", 512, 10, bytes(16), 9, b"\3\0"))
    writer.close()
    previous = PageMap(file, base=(base, "ba5e"))
    file.broken = True
    sink = io.BytesIO()
    writer = PagesWriter(sink, base="ba5e")
    keeper = PageMapBuilder(writer=writer, previous=previous, base=base)
    assert keeper.previous_pages(Entry(b"a", EntryKind.FILE, page_bytes=512), [Extent(b"c" * 32, 0, 1)]) is not None
    for path in (b"a", b"b"):
        keeper.keep(path)
    keeper.finish()
    writer.close()
    after = PageMap(sink, base=(base, "ba5e"))
    assert list(after.rows(b"a")) == []
    assert list(after.rows(b"b")) == FULL[1:]
