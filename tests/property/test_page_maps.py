"""Page maps in runs: whatever the history, and whichever are merged, they say exactly what a full map would."""

from __future__ import annotations

import io
import random
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.catalog.next_runs import merge_page_maps
from farshore.errors import ObjectCorrupt
from farshore.format.page_maps import SLOT_PAGES, PageMap, PageRow, PagesWriter, known_pages, make_row, overlay
from farshore.model import Entry, EntryKind, Extent
from farshore.ops.backup.pages.page_map_builder import PageMapBuilder
from farshore.ops.backup.pages.page_rows import PageRows
from farshore.ops.backup.pages.paged_file import FileRead, PreviousPages
from tests.doubles.page_maps import in_order

PATHS = (b"a", b"b", b"c/d", b"c.d", b"\xff")
STEP = 5  # pages added at once
State = dict[bytes, tuple[int, dict[int, bytes]]]  # path -> page size, and hash by page; a hole has none


def fresh(chance: random.Random) -> bytes:
    return chance.choice([bytes(16), chance.randbytes(16), chance.randbytes(16)])


def hashes_of(pages: dict[int, bytes]) -> list[tuple[int, list[bytes]]]:
    """Return the runs of consecutive pages."""
    runs = groupby(enumerate(sorted(pages)), lambda item: item[1] - item[0])
    return [(run[0][1], [pages[page] for _, page in run]) for run in (list(found) for _, found in runs)]


def next_night(chance: random.Random, state: State) -> tuple[State, set[bytes]]:
    """Return the next state of all files, and which of them did not change. Some pages are around the end of a slot."""
    after: State = {path: (size, dict(pages)) for path, (size, pages) in state.items()}
    for path in chance.sample(PATHS, chance.randrange(len(PATHS) + 1)):
        size, pages = after.get(path, (512, {}))
        end = max(pages, default=chance.choice([-1, SLOT_PAGES - 9, 3 * SLOT_PAGES - 9])) + 1
        match chance.choice(["change", "grow", "shrink", "hole", "resize", "vanish", "empty", "rewrite", "far"]):
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
            case "far":
                far = chance.randrange(5) * SLOT_PAGES
                pages.update({far + page: fresh(chance) for page in range(chance.randrange(9))})
        after[path] = (size, pages)
    return after, {path for path, (size, pages) in after.items() if state.get(path) == (size, pages)}


def read(path: bytes, size: int, pages: dict[int, bytes], previous: PreviousPages | None) -> FileRead:
    rows = PageRows(path=path, page_bytes=size, before=previous.pages if previous else None)
    for first, run in hashes_of(pages):
        for start in range(0, len(run), STEP):
            part = b"".join(run[start : start + STEP])
            before = rows.add(first + start, part)
            assert len(before) == (len(part) if previous else 0)
    found = rows.finish()
    return FileRead(
        Entry(path, EntryKind.FILE, page_bytes=size), b"", [], 0, pages=found, paged=True, added_pages=rows.added_pages
    )


def state_of(pages: PageMap) -> State:
    """Return everything a page map says, row by row; and by cursor, which must be the same."""
    state: State = {}
    for path in PATHS:
        found: dict[int, bytes] = {}
        for row in pages.rows(path):
            assert row.whole
            assert not row.gone
            words, known = known_pages(row)
            found.update({row.slot * SLOT_PAGES + at: words[at].tobytes() for at in np.flatnonzero(known).tolist()})
            state[path] = (row.page_bytes, found)
        for size in (512, 4096):
            cursor = pages.cursor(path, size)
            if state.get(path, (0, {}))[0] != size:
                assert cursor is None
                continue
            assert cursor is not None
            for first, run in hashes_of(found):
                assert cursor.read(first, len(run) + 3) == b"".join(run)
    return state


@settings(max_examples=100)
@given(st.integers(0, 1 << 32), st.integers(2, 9), st.booleans(), st.booleans())
def test_any_history_of_runs_says_what_full_maps_would(seed: int, nights: int, unread: bool, ordered: bool) -> None:
    chance = random.Random(seed)
    state: State = {}
    runs: list[io.BytesIO] = []
    count = 0
    for _ in range(nights):
        state, same = next_night(chance, state)
        sink = io.BytesIO()
        writer = PagesWriter(sink)
        builder = PageMapBuilder(writer=writer, previous=PageMap(*runs) if runs else None)
        builder.ordered = ordered
        for path in in_order(state) if ordered else chance.sample(sorted(state), len(state)):
            size, pages = state[path]
            if unread and path in same:
                builder.keep(path)
            else:
                previous = builder.previous_pages(Entry(path, EntryKind.FILE), [Extent(b"c" * 32, 0, 1)])
                builder.add(read(path, size, pages, previous))
        builder.finish()
        writer.close()
        count += builder.added_pages
        if unread and len(same) == len(state) and not runs:
            assert not writer.rows
        runs.append(sink)
        expected = {path: (size, pages) for path, (size, pages) in state.items() if pages}
        assert state_of(PageMap(*runs)) == expected
        assert count == sum(len(pages) for _, pages in state.values())
        if chance.random() < 0.5:
            kept = chance.randrange(len(runs))
            merged = io.BytesIO()
            pages_count = merge_page_maps(runs[kept:], merged, all_runs=not kept)
            assert kept or pages_count == count
            runs = [*runs[:kept], merged]
            assert state_of(PageMap(*runs)) == expected


def of_rows(*rows: PageRow) -> io.BytesIO:
    sink = io.BytesIO()
    writer = PagesWriter(sink)
    for row in rows:
        writer.add(row)
    writer.close()
    return sink


def row(**fields: object) -> PageRow:
    values = {"path": b"a", "slot": 0, "page_bytes": 512, "whole": True, "positions": b"", "hashes": b"", "gone": b""}
    return PageRow(**{**values, **fields})  # type: ignore[arg-type]  # each of its type


DAMAGED = {
    "half a hash": row(hashes=bytes(15)),
    "more than a slot": row(hashes=bytes(16 * SLOT_PAGES + 16)),
    "too few positions": row(hashes=bytes(32), positions=b"\0\0"),
    "not ascending": row(hashes=bytes(32), positions=b"\1\0\0\0"),
    "twice": row(hashes=bytes(32), positions=b"\1\0\1\0"),
    "beyond the slot": row(hashes=bytes(16), positions=b"\0\x10"),
    "half a position": row(hashes=bytes(16), positions=b"\0"),
    "negative page size": row(slot=-1 & 0x7FFF_FFFF, page_bytes=-1, hashes=bytes(16)),
    "hashes of no pages": row(page_bytes=0, hashes=bytes(16)),
    "changes of no pages": row(page_bytes=0, whole=False),
    "whole with gone": row(gone=b"\1\0"),
    "gone twice": row(whole=False, gone=b"\1\0\1\0"),
    "gone beyond the slot": row(whole=False, gone=b"\0\x10"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_row_that_breaks_a_rule_is_damaged(kind: str) -> None:
    pages = PageMap(of_rows(DAMAGED[kind]))
    with pytest.raises(ObjectCorrupt, match="breaks the rules"):
        list(pages.rows(b"a"))
    assert pages.broken


@st.composite
def rows_of_one_slot(draw: st.DrawFn) -> PageRow:
    """Any row: of the first few pages of a slot, some changed and, unless it is whole, some gone."""
    state = st.sampled_from(["changed", "gone", "as it was"])
    states = dict(enumerate(draw(st.lists(state, max_size=6))))
    stored, gone = np.zeros(SLOT_PAGES, dtype=bool), np.zeros(SLOT_PAGES, dtype=bool)
    for at, one in states.items():
        stored[at], gone[at] = one == "changed", one == "gone"
    words = np.frombuffer(random.Random(draw(st.integers(0, 99))).randbytes(16 * SLOT_PAGES), "<u8").reshape(-1, 2)
    return make_row(b"a", 0, 512, words, stored, None if draw(st.booleans()) else gone)


@settings(max_examples=150)
@given(rows_of_one_slot(), rows_of_one_slot(), rows_of_one_slot())
def test_newer_runs_may_be_merged_before_or_with_older_ones(first: PageRow, second: PageRow, third: PageRow) -> None:
    merged = overlay(second, third)
    assert merged.whole == (second.whole or third.whole), "what is below would be seen again"
    one, other = overlay(overlay(first, second), third), overlay(first, merged)
    assert (one.whole, one.positions, one.hashes) == (other.whole, other.positions, other.hashes)
    assert set(positions(one.gone)) - set(positions(other.gone)) == set()


def positions(packed: bytes) -> list[int]:
    return list(np.frombuffer(packed, "<u2"))


def test_pages_of_two_sizes_in_one_slot_are_damaged() -> None:
    pages = PageMap(of_rows(row(hashes=bytes(32))), of_rows(row(whole=False, page_bytes=4096, hashes=bytes(16))))
    with pytest.raises(ObjectCorrupt, match="other sizes"):
        list(pages.rows(b"a"))


class Breaking(io.BytesIO):
    """A file that cannot be read from some moment on."""

    broken: Exception | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.broken:
            raise self.broken
        return super().read(size)


@pytest.mark.parametrize("error", [ObjectCorrupt("damaged"), OSError(5, "Input/output error")], ids=str)
@pytest.mark.parametrize("when", ["paths", "read", "gone"])
def test_a_map_that_cannot_be_read_on_is_known_to_be_broken_and_what_is_written_is_right(
    error: Exception, when: str
) -> None:
    """Nothing that it says of a file that was read is wrong, and the caller knows not to add to its runs."""
    noise = random.Random(1)
    slots = [*((b"a", slot) for slot in range(9)), (b"b", 0), *((b"c", slot) for slot in range(9))]  # in three blocks
    full = [row(path=path, slot=slot, hashes=noise.randbytes(16 * SLOT_PAGES)) for path, slot in slots]
    file = Breaking(of_rows(*full).getvalue())
    previous = PageMap(file)
    sink = io.BytesIO()
    writer = PagesWriter(sink)
    if when == "paths":
        file.broken = error
    builder = PageMapBuilder(writer=writer, previous=previous)
    if when == "read":
        file.broken = error
    found = builder.previous_pages(Entry(b"a", EntryKind.FILE), [Extent(b"c" * 32, 0, 1)])
    builder.add(read(b"a", 512, {0: bytes(16), 1: full[0].hashes[16:32]}, found))
    builder.keep(b"b")
    file.broken = error
    builder.finish()
    writer.close()
    after = state_of(PageMap(sink))
    assert after[b"a"][1].items() <= {0: bytes(16), 1: full[0].hashes[16:32]}.items()
    assert set(after) == {b"a"}
    assert previous.broken
