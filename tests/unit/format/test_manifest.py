from __future__ import annotations

import io
import os
import random
from collections.abc import Sequence

import pyarrow as pa
import pytest

from farshore import limits
from farshore.errors import FarshoreError, ObjectCorrupt
from farshore.format.choosing import sort_key
from farshore.format.entries import ENTRY_COLUMNS
from farshore.format.manifest import (
    CHANGING,
    SCHEMA,
    ManifestReader,
    ManifestRow,
    ManifestWriter,
    display_path,
    rows_to_table,
    table_to_rows,
)
from farshore.format.run_blocks import BlockReader
from farshore.model import Entry, EntryKind
from tests.doubles.manifests import run_of

FULL = Entry(
    path=b"caf\xe9/\xff\xfe name\n",
    kind=EntryKind.FILE,
    mode=0o6755,
    uid=(1 << 32) - 2,
    gid=65534,
    user="root",
    group="staff",
    size=1 << 50,
    mtime_ns=-1,
    ctime_ns=4_102_444_800_123_456_789,
    inode=(1 << 64) - 1,
    device=(1 << 64) - 2,
    rdev=1 << 63,
    links=7,
    target=b"",
    xattrs=((b"security.capability", bytes(range(256))), (b"user.\xff", b"")),
    page_bytes=65536,
)
KINDS = [
    Entry(b"", EntryKind.DIRECTORY, mode=0o1777),
    Entry(b"a", EntryKind.SYMLINK, target=b"\xff/../x"),
    Entry(b"b", EntryKind.HARDLINK, target=b"caf\xe9"),
    Entry(b"c", EntryKind.FIFO),
    Entry(b"d", EntryKind.SOCKET),
    Entry(b"e", EntryKind.CHARACTER_DEVICE, rdev=os.makedev(5, 1)),
    Entry(b"f", EntryKind.BLOCK_DEVICE, rdev=os.makedev(259, 1 << 19)),
]


def written(rows: Sequence[ManifestRow], *, group_bytes_max: int = limits.MANIFEST_GROUP_BYTES_MAX) -> io.BytesIO:
    file = io.BytesIO()
    writer = ManifestWriter(file, group_bytes_max=group_bytes_max)
    for row in rows:
        writer.add(row)
    writer.close()
    assert writer.entries == len(rows)
    file.seek(0)
    return file


def numbered(count: int) -> list[ManifestRow]:
    return [ManifestRow(Entry(f"{number:09}".encode(), EntryKind.FILE, size=number)) for number in range(count)]


def test_rows_are_read_as_they_were_written() -> None:
    rows = [ManifestRow(entry) for entry in KINDS]
    rows.append(ManifestRow(FULL, b"h" * 32, b"e" * 88, CHANGING))
    reader = ManifestReader(written(rows))
    assert reader.entries == len(rows)
    assert list(reader.rows()) == rows


def test_an_empty_manifest_is_one() -> None:
    reader = ManifestReader(written([]))
    assert (reader.entries, list(reader.rows())) == (0, [])


def test_the_columns_are_those_of_the_format() -> None:
    schema = BlockReader(written([ManifestRow(FULL)]), SCHEMA).schema
    listed = "path display kind mode uid gid user group size mtime_ns ctime_ns inode device rdev links target xattrs"
    assert schema.names == [*listed.split(), "page_bytes", "content_hash", "extents", "state"]
    assert [str(schema.field(name).type) for name in ("path", "display", "mode", "uid", "inode", "page_bytes")] == [
        "binary", "string", "int32", "int64", "int64", "int32"
    ]  # fmt: skip
    assert pa.types.is_list(schema.field("xattrs").type)


def test_names_are_bytes_with_a_display_form_beside_them() -> None:
    (table,) = ManifestReader(written([ManifestRow(FULL)])).tables()
    assert table.column("path").to_pylist() == [b"caf\xe9/\xff\xfe name\n"]
    assert table.column("display").to_pylist() == ["caf\\xe9/\\xff\\xfe name\n"]
    assert display_path("grüße".encode()) == "grüße"


def test_the_order_is_a_walk_of_the_tree() -> None:
    walk = [b"", b"a", b"a/b", b"a/b/c", b"a/b-c", b"a\x01", b"a-b", b"a.txt", b"ab", b"b"]
    shuffled = random.Random(3).sample(walk, len(walk))
    assert sorted(shuffled, key=sort_key) == walk
    assert sorted(shuffled) != walk


@pytest.mark.parametrize("number", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_unsigned_numbers_survive_the_signed_column(number: int) -> None:
    row = ManifestRow(Entry(b"a", EntryKind.FILE, inode=number, device=number, rdev=number))
    table = rows_to_table([row])
    for name in ("inode", "device", "rdev"):
        (stored,) = table.column(name).to_pylist()
        assert stored % (1 << 64) == number
        assert -(1 << 63) <= stored < 1 << 63
    assert list(table_to_rows(table)) == [row]


def test_more_rows_than_a_group_holds() -> None:
    count = 2 * limits.MANIFEST_ROWS_PER_GROUP + 5
    rows = numbered(count)
    file = written(rows)
    assert [block.rows for block in BlockReader(file, SCHEMA).blocks] == [2048] * 16 + [5]
    assert [table.num_rows for table in ManifestReader(file).tables()] == [16384, 16384, 5]
    assert list(ManifestReader(file).rows()) == rows


def test_a_group_of_long_rows_ends_before_its_columns_are_full() -> None:
    """Trial F2: paths may have 64 KiB, but a column of a group no more than 2 GiB, nor has memory."""
    long = [ManifestRow(Entry(b"%05d/" % number + b"x" * 10_000, EntryKind.FILE)) for number in range(250)]
    wide = [
        ManifestRow(Entry(b"w%05d" % number, EntryKind.FILE, xattrs=((b"user.a", b"v" * 20_000),)), extents=bytes(440))
        for number in range(150)
    ]
    rows = [*long, *numbered(3_000), *wide]
    file = written(rows, group_bytes_max=1_000_000)
    blocks = BlockReader(file, SCHEMA).blocks
    assert max(block.rows for block in blocks[:4]) <= 100
    assert max(block.plain_bytes for block in blocks) < 1_500_000
    reader = ManifestReader(file)
    assert list(reader.rows()) == rows
    again = io.BytesIO()
    writer = ManifestWriter(again, group_bytes_max=1_000_000)
    for table in reader.tables():
        writer.add_slice(table)
    writer.close()
    assert list(ManifestReader(again).rows()) == rows
    assert max(block.plain_bytes for block in BlockReader(again, SCHEMA).blocks) < 1_500_000


def test_slices_of_an_earlier_manifest_stand_among_new_rows() -> None:
    earlier = ManifestReader(written(numbered(40_000)))
    tables = list(earlier.tables())
    file = io.BytesIO()
    writer = ManifestWriter(file)
    writer.add(ManifestRow(Entry(b"", EntryKind.DIRECTORY)))
    writer.add_slice(tables[0].slice(5, 16_000).select(SCHEMA.names))
    writer.add_slice(tables[1].slice(0, 16_384).select(SCHEMA.names))
    writer.add(ManifestRow(FULL, b"h" * 32))
    writer.add_slice(tables[2].slice(7, 1).select(SCHEMA.names))
    writer.close()
    assert writer.entries == 32_387
    file.seek(0)
    reader = ManifestReader(file)
    rows = list(reader.rows())
    assert reader.entries == len(rows) == 32_387
    assert rows[0].entry.path == b""
    assert [int(row.entry.path) for row in rows[1:-2]] == [*range(5, 16_005), *range(16_384, 32_768)]
    assert rows[-2] == ManifestRow(FULL, b"h" * 32)
    assert int(rows[-1].entry.path) == 32_775
    assert [table.num_rows for table in reader.tables()] == [16_384, 16_003]


def test_a_slice_without_xattrs_of_a_file_with_none_equals_its_rows() -> None:
    rows = [ManifestRow(entry) for entry in KINDS]
    table = next(ManifestReader(written(rows)).tables())
    assert list(table_to_rows(table.slice(2, 3))) == rows[2:5]
    assert list(table_to_rows(rows_to_table(rows))) == rows


def test_only_the_columns_asked_for_are_read() -> None:
    tables = list(ManifestReader(written(numbered(3))).tables(ENTRY_COLUMNS))
    assert [table.column_names for table in tables] == [list(ENTRY_COLUMNS)]


def test_what_is_no_parquet_is_corrupt() -> None:
    good = written(numbered(10)).getvalue()
    for data in (b"", b"PAR1", good[:-1], good[:100], b"x" * 500):
        with pytest.raises(ObjectCorrupt):
            ManifestReader(io.BytesIO(data))


def test_a_manifest_that_lacks_a_column_is_corrupt() -> None:
    with pytest.raises(ObjectCorrupt, match="lacks the column"):
        list(ManifestReader(run_of(pa.table({"path": [b"a"]}))).rows())


def test_a_column_of_a_later_version_is_ignored() -> None:
    table = rows_to_table([ManifestRow(FULL)]).append_column("color", pa.array(["red"]))
    assert list(ManifestReader(run_of(table)).rows()) == [ManifestRow(FULL)]


def test_a_kind_of_a_later_version_is_reported_and_not_guessed() -> None:
    table = rows_to_table([ManifestRow(FULL)])
    at = table.column_names.index("kind")
    run = run_of(table.set_column(at, SCHEMA.field("kind"), pa.array(["door"])))
    with pytest.raises(FarshoreError, match="door"):
        list(ManifestReader(run).rows())


def test_an_error_of_the_file_below_comes_through() -> None:
    class Damaged(io.BytesIO):
        broken = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.broken:
                raise ObjectCorrupt("frame 3 is damaged")
            return super().read(size)

    file = Damaged(written(numbered(20_000)).getvalue())
    reader = ManifestReader(file)
    file.broken = True
    with pytest.raises(ObjectCorrupt, match="frame 3"):
        list(reader.rows())
