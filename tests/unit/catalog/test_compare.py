from __future__ import annotations

import io
import random
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from farshore.catalog.compare import PreviousManifest, RowRange, UnchangedRun, cut_paths
from farshore.catalog.previous_rows import Slice
from farshore.format.choosing import sort_key
from farshore.format.extents import encode_extents
from farshore.format.manifest import CHANGING, ManifestReader, ManifestRow, ManifestWriter, table_to_rows
from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, SEGMENT_DTYPE, Footer, PackedFooter
from farshore.index import ChunkIndex
from farshore.model import HOLE, Entry, EntryKind, Extent
from farshore.sources.base import Content, Item
from farshore.sources.directory.listing import PosixListing
from farshore.sources.directory.metadata import KINDS
from farshore.sources.directory.walking_protocol import encode_names
from farshore.sources.posix_status import KnownStatus

STARTED_NS = 1_000_000_000_000
OLD_NS = STARTED_NS - 10_000_000_000


def chunk(number: int) -> bytes:
    return random.Random(number).randbytes(32)


def index_of(numbers: Sequence[int]) -> ChunkIndex:
    table = np.array([(chunk(number), 0, 0, 1) for number in numbers], CHUNK_DTYPE)
    packed = PackedFooter(bytes(32), 1, Footer((Origin(bytes(16), bytes(32)),), np.zeros(1, SEGMENT_DTYPE), table))
    return ChunkIndex([packed] if len(table) else [])


def row(number: int, *, chunks: Sequence[int] = (), **more: object) -> ManifestRow:
    entry = Entry(
        f"{number:06}".encode(), EntryKind.FILE, size=number, mtime_ns=OLD_NS, ctime_ns=OLD_NS, inode=number, device=1
    )
    extents = encode_extents([Extent(HOLE if one < 0 else chunk(one), 0, 1) for one in chunks])
    return ManifestRow(entry._replace(**more), extents=extents)  # type: ignore[arg-type]


def previous(rows: Sequence[ManifestRow], index: ChunkIndex) -> PreviousManifest:
    file = io.BytesIO()
    writer = ManifestWriter(file)
    for one in rows:
        writer.add(one)
    writer.close()
    file.seek(0)
    return PreviousManifest(reader=ManifestReader(file), index=index, started_ns=STARTED_NS)


def compare(rows: Sequence[ManifestRow], now: Sequence[Entry], index: ChunkIndex) -> tuple[list[Slice], list[bytes]]:
    """Return the slices of what is unchanged, and the paths of what is not."""
    before, run = previous(rows, index), UnchangedRun()
    slices: list[Slice] = []
    changed: list[bytes] = []
    for entry in now:
        match = before.match(entry)
        if match is not None and match.unchanged:
            slices += run.add(RowRange(match.group, match.at, match.at + 1))
        else:
            slices += run.flush()
            changed.append(entry.path)
    found = slices + list(run.flush()), changed
    if all(entry.kind is EntryKind.SYMLINK or not entry.target for entry in now):
        listed = compare_listed(rows, now, index)
        assert [paths(part) for part in listed[0]] == [paths(part) for part in found[0]]
        assert listed[1] == changed
    return found


@dataclass(frozen=True)
class Found:
    """An item that is all known."""

    stat_entry: Entry

    @property
    def entry(self) -> Entry:
        return self.stat_entry

    def open(self) -> Content:
        raise NotImplementedError


def no_report(path: bytes, code: str, message: str) -> None:
    raise AssertionError(f"{path!r}: {code}: {message}")


def listing_of(now: Sequence[Entry]) -> PosixListing:
    """Return entries as a walking process reports them; those of one inode are names of one file."""
    types = {kind: bits for bits, kind in KINDS.items()}
    first: dict[tuple[int, int], bytes] = {}

    def make_item(path: bytes, status: KnownStatus, target: bytes) -> Item:
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        known = first.setdefault((status.st_dev, status.st_ino), path)
        if status.st_nlink > 1 and known != path:
            kind, target = EntryKind.HARDLINK, known
        return Found(
            Entry(
                path, kind, size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns,
                inode=status.st_ino, device=status.st_dev, links=status.st_nlink, target=target,
            )
        )  # fmt: skip

    parts = encode_names([
        (
            one.path, one.kind,
            KnownStatus(
                types[EntryKind.FILE if one.kind is EntryKind.HARDLINK else one.kind] | one.mode, 0, 0, one.links,
                one.size, one.mtime_ns, one.ctime_ns, one.inode, one.device, 0,
            ),
            b"" if one.kind is EntryKind.HARDLINK else one.target,
        )
        for one in now
    ], no_report)  # fmt: skip
    return PosixListing(b"".join(parts), make_item)


def compare_listed(
    rows: Sequence[ManifestRow], now: Sequence[Entry], index: ChunkIndex
) -> tuple[list[Slice], list[bytes]]:
    """Likewise, of what is reported as columns, some at a time."""
    before, run = previous(rows, index), UnchangedRun()
    slices: list[Slice] = []
    changed: list[bytes] = []
    for at in range(0, len(now), 1000):
        for part in before.compare(listing_of(now[at : at + 1000])):
            if isinstance(part, RowRange):
                slices += run.add(part)
                continue
            item, match = part
            if match is not None and match.unchanged:
                slices += run.add(RowRange(match.group, match.at, match.at + 1))
            else:
                slices += run.flush()
                changed.append(item.stat_entry.path)
    return slices + list(run.flush()), changed


def rows_of(part: Slice) -> list[ManifestRow]:
    return list(table_to_rows(part.group.slice(part.start, part.count)))


def paths(part: Slice) -> list[bytes]:
    return [one.entry.path for one in rows_of(part)]


def test_entries_that_stand_together_are_one_slice() -> None:
    rows = [row(number, chunks=[number]) for number in range(5)]
    (part,), changed = compare(rows, [one.entry for one in rows], index_of(range(5)))
    assert changed == []
    assert rows_of(part) == rows
    assert (part.count, part.files, part.bytes_total) == (5, 5, 10)
    assert len(part.rows) == 5


def test_what_is_new_or_changed_or_gone_parts_the_slices() -> None:
    rows = [row(number) for number in range(0, 20, 2)]
    now = [one.entry for one in rows]
    now[3] = now[3]._replace(mtime_ns=5)
    now.insert(5, row(9).entry)
    del now[7]
    slices, changed = compare(rows, now, index_of([]))
    assert changed == [b"000006", b"000009"]
    assert [paths(part) for part in slices] == [
        [b"000000", b"000002", b"000004"], [b"000008"], [b"000010"], [b"000014", b"000016", b"000018"]
    ]  # fmt: skip


def test_slices_do_not_span_row_groups() -> None:
    rows = [row(number) for number in range(40_000)]
    slices, changed = compare(rows, [one.entry for one in rows], index_of([]))
    assert changed == []
    assert [part.count for part in slices] == [16384, 16384, 7232]


def test_sizes_that_are_more_than_64_bits_together_are_added_up() -> None:
    """Trial F2: two files of seven exbibytes, all hole."""
    rows = [row(number, chunks=[-1], size=7 << 60) for number in range(3)]
    (part,), changed = compare(rows, [one.entry for one in rows], index_of([]))
    assert (changed, part.bytes_total) == ([], 21 << 60)


@pytest.mark.parametrize(
    "more",
    [
        {"size": 99}, {"mtime_ns": OLD_NS + 1}, {"ctime_ns": OLD_NS + 1}, {"inode": 99}, {"device": 99},
        {"kind": EntryKind.FIFO}, {"target": b"x"},
    ],
    ids=lambda more: next(iter(more)),
)  # fmt: skip
def test_any_difference_of_identity_is_a_change(more: dict[str, object]) -> None:
    rows = [row(1)]
    assert compare(rows, [rows[0].entry._replace(**more)], index_of([]))[1] == [b"000001"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more", [{"mode": 1}, {"uid": 5}, {"user": "x"}, {"xattrs": ((b"a", b"b"),)}, {"page_bytes": 512}]
)
def test_what_a_walk_may_not_know_is_no_difference(more: dict[str, object]) -> None:
    """A change of mode, owner or attributes moves the ctime, so it need not be compared."""
    rows = [row(1)]
    assert compare(rows, [rows[0].entry._replace(**more)], index_of([]))[1] == []  # type: ignore[arg-type]


def test_large_numbers_are_compared_as_they_are_stored() -> None:
    rows = [row(1, inode=(1 << 64) - 1, device=1 << 63)]
    assert compare(rows, [rows[0].entry], index_of([]))[1] == []
    assert compare(rows, [rows[0].entry._replace(inode=(1 << 64) - 2)], index_of([]))[1] == [b"000001"]


@pytest.mark.parametrize(
    ("ctime_ns", "trusted"),
    [(STARTED_NS - 2_000_000_001, True), (STARTED_NS - 2_000_000_000, False), (STARTED_NS + 5, False), (0, False)],
)
def test_times_that_were_too_young_prove_nothing(ctime_ns: int, trusted: bool) -> None:
    rows = [row(1, ctime_ns=ctime_ns)]
    assert compare(rows, [rows[0].entry], index_of([]))[1] == ([] if trusted else [b"000001"])


def test_what_was_changing_is_changed() -> None:
    rows = [replace(row(1), state=CHANGING)]
    assert compare(rows, [rows[0].entry], index_of([]))[1] == [b"000001"]


def test_an_entry_whose_chunk_is_gone_is_changed() -> None:
    rows = [
        row(1, chunks=[1, 2]),
        row(2, chunks=[3]),
        row(3, chunks=[]),
        row(4, chunks=[-1]),
        row(5, chunks=[2, -1, 1]),
    ]
    for held, gone in (([1, 2, 3], []), ([1, 2], [2]), ([1, 3], [1, 5]), ([], [1, 2, 5])):
        changed = compare(rows, [one.entry for one in rows], index_of(held))[1]
        assert changed == [f"{number:06}".encode() for number in gone]


def test_a_slice_knows_its_chunks_files_and_pages() -> None:
    rows = [
        row(1, chunks=[1, -1, 2], page_bytes=4096),
        row(2, kind=EntryKind.DIRECTORY),
        row(3, chunks=[3]),
        row(4, kind=EntryKind.HARDLINK, target=b"000003"),
    ]
    index = index_of([3, 2, 1])
    slices, changed = compare(rows, [one.entry for one in rows], index)
    assert changed == []
    (part,) = slices
    assert (part.count, part.files, part.bytes_total, part.paged) == (4, 2, 4, (b"000001",))
    assert sorted(part.rows.tolist()) == sorted(index.find([chunk(1), chunk(2), chunk(3)]).tolist())


def test_a_match_gives_its_row() -> None:
    rows = [row(number, chunks=[number]) for number in range(4)]
    before = previous(rows, index_of(range(4)))
    match = before.match(rows[2].entry._replace(size=77))
    assert match is not None
    assert not match.unchanged
    assert match.row() == rows[2]
    assert before.match(rows[1].entry) is None  # it never goes back
    assert before.match(rows[3].entry) is not None
    assert before.match(row(9).entry) is None


def test_order_is_that_of_a_walk() -> None:
    walk = [b"", b"a", b"a/b", b"a/b/c", b"a-b", b"b"]
    rows = [ManifestRow(row(0).entry._replace(path=path)) for path in walk]
    assert compare(rows, [one.entry for one in rows], index_of([]))[1] == []


def test_an_empty_manifest_matches_nothing() -> None:
    before = previous([], index_of([]))
    assert before.entries == 0
    assert before.match(row(1).entry) is None
    assert before.match(row(2).entry) is None


def test_a_symlink_that_leads_elsewhere_is_changed() -> None:
    rows = [row(number, kind=EntryKind.SYMLINK, target=b"to", size=0) for number in range(3)]
    now = [one.entry for one in rows]
    now[1] = now[1]._replace(target=b"TO")
    assert compare(rows, now, index_of([]))[1] == [b"000001"]


def test_which_of_several_names_is_the_file_is_compared() -> None:
    names = [row(1, links=2), row(2, links=2, inode=1, size=1, kind=EntryKind.HARDLINK, target=b"000001"), row(3)]
    now = [one.entry for one in names]
    assert compare_listed(names, now, index_of([]))[1] == []
    now[1:2] = []  # the second name is gone, and one before the first is there
    now[:0] = [row(0, links=2, inode=1, size=1).entry]
    assert compare_listed(names, now, index_of([]))[1] == [b"000000", b"000001"]


def test_a_walk_as_columns_is_compared_like_one_by_entries() -> None:
    """Many rows of several row groups, of which some are gone, new, or changed."""
    draw = random.Random(7)
    names = sorted({draw.randbytes(draw.randint(1, 9)).replace(b"/", b"").replace(b"\0", b"") for _ in range(21_000)})
    rows = [ManifestRow(row(at).entry._replace(path=name)) for at, name in enumerate(names) if name]
    for share in (0.0, 0.001, 0.3, 1.0):
        now = []
        for one in rows:
            entry, chance = one.entry, draw.random()
            if chance < share / 3:
                continue
            if chance < share * 2 / 3:
                entry = entry._replace(ctime_ns=OLD_NS + 1)
            elif chance < share:
                now.append(entry)
                entry = entry._replace(path=entry.path + b"+")
            now.append(entry)
        now.sort(key=lambda entry: sort_key(entry.path))
        compare(rows, now, index_of([]))


def test_cuts_lie_evenly_between_paths() -> None:
    file = io.BytesIO()
    writer = ManifestWriter(file)
    for number in range(40_000):
        writer.add(ManifestRow(row(number).entry._replace(path=b"%06d" % number if number else b"")))
    writer.close()
    file.seek(0)
    assert list(cut_paths(ManifestReader(file), 9_000)) == [b"009000", b"018000", b"027000", b"036000"]
