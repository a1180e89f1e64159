"""What is read of a manifest by row group and by column is what a plain walk over all its rows finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from farshore.catalog.selection import Selection
from farshore.errors import SnapshotUnknown
from farshore.format.choosing import HardLinks, Subtree, sort_key
from farshore.format.differing import diff_manifests
from farshore.format.extents import decode_extents, encode_extents
from farshore.format.manifest import ManifestReader, ManifestRow, table_to_rows
from farshore.model import Change, ChangeKind, Entry, EntryKind, Extent
from farshore.ops.restore.options import RestoreOptions
from farshore.sources.directory.globs import Globs
from tests.doubles.manifests import in_runs

NAMES = st.sampled_from([b"a", b"b", b"a-", b"a.txt", b"b.txt", b"\xff", b"ab", b"[a]"])
PATHS = st.lists(NAMES, max_size=4).map(b"/".join)
KINDS = st.sampled_from([EntryKind.FILE, EntryKind.FILE, EntryKind.SYMLINK, EntryKind.HARDLINK])
PATTERNS = st.lists(
    st.sampled_from([
        "a", "/a", "/a/b", "*.txt", "a/", "/a/*", "**/b", "/a/**", "!a.txt", "/a/a.txt", "?", "[ab]", "[!a]*",
        "\\[a\\]", "[[]a]", "/b/**/a", "a*", "!/b", "/a-", "nowhere", "ab/", "/*/b/",
    ]),
    min_size=1,
    max_size=3,
)  # fmt: skip


@st.composite
def trees(draw: st.DrawFn) -> list[ManifestRow]:
    """Rows in manifest order, with the directories above each; hard links to files before them."""
    paths = {b""}
    for path in draw(st.lists(PATHS, max_size=14)):
        parts = path.split(b"/")
        paths.update(b"/".join(parts[:end]) for end in range(len(parts) + 1))
    ordered = sorted(paths, key=sort_key)
    rows: list[ManifestRow] = []
    files: list[bytes] = []
    for path in ordered:
        below = any(other.startswith(path + b"/") for other in paths) or not path
        kind = EntryKind.DIRECTORY if below else draw(KINDS)
        if kind is EntryKind.HARDLINK and not files:
            kind = EntryKind.FILE
        target = draw(st.sampled_from(files)) if kind is EntryKind.HARDLINK else b""
        size, mode, moment = draw(st.integers(0, 2)), draw(st.integers(0, 1)), draw(st.integers(1, 2))
        xattrs = ((b"user.a", b"1"),) if draw(st.integers(0, 5)) == 0 else ()
        entry = Entry(path, kind, mode=mode, size=size, mtime_ns=moment, target=target, xattrs=xattrs)
        extents = encode_extents([Extent(bytes([size, *path[:31].ljust(31)]), 0, 1)])
        is_file = kind is EntryKind.FILE
        rows.append(ManifestRow(entry, bytes([size] * 32) if is_file else b"", extents if is_file else b""))
        if is_file:
            files.append(path)
    return rows


def manifest(rows: Sequence[ManifestRow], group: int) -> ManifestReader:
    """Return a manifest in so many runs, with blocks of three times so many rows."""
    return in_runs(rows, group, 3 * group)


@given(trees(), st.integers(1, 4), PATHS)
def test_a_subtree(rows: list[ManifestRow], group: int, path: bytes) -> None:
    reader = manifest(rows, group)
    prefix = path + b"/" if path else b""
    below = [row for row in rows if row.entry.path == path or row.entry.path.startswith(prefix)]
    found = [row for table in reader.tables(choice=Subtree(path)) for row in table_to_rows(table)]
    assert found == below
    beside = [row for row in below if row.entry.path == path or b"/" not in row.entry.path[len(prefix) :]]
    found = [row for table in reader.tables(choice=Subtree(path, recursive=False)) for row in table_to_rows(table)]
    assert found == beside
    links = [row for row in below if row.entry.kind is EntryKind.HARDLINK]
    assert [one for table in reader.tables(choice=HardLinks(Subtree(path))) for one in table_to_rows(table)] == links


@given(trees(), st.integers(1, 4), PATTERNS)
def test_a_selection(rows: list[ManifestRow], group: int, patterns: list[str]) -> None:
    """Selected is what matches, or lies below what does; directories above come along, and lost links become files."""
    globs = Globs(patterns)

    def is_selected(path: bytes, kind: EntryKind) -> bool:
        above = any(globs.match(path[:at], directory=True) for at in slashes(path))
        return bool(path) and (above or globs.match(path, directory=kind is EntryKind.DIRECTORY))

    by_path = {row.entry.path: row for row in rows}
    chosen = [row.entry.path for row in rows if is_selected(row.entry.path, row.entry.kind)]
    needed = {path[:at] for path in chosen for at in (0, *slashes(path))}
    first: dict[bytes, bytes] = {}

    def stand_in(row: ManifestRow) -> ManifestRow:
        entry = row.entry
        if entry.kind is not EntryKind.HARDLINK or is_selected(entry.target, EntryKind.FILE):
            return row
        if entry.target in first:
            return replace(row, entry=entry._replace(target=first[entry.target]))
        first[entry.target] = entry.path
        file = by_path[entry.target]
        return replace(file, entry=file.entry._replace(path=entry.path))

    expected = [
        stand_in(row) for row in rows if row.entry.path in needed or is_selected(row.entry.path, row.entry.kind)
    ]  # fmt: skip
    reader = manifest(rows, group)
    try:
        found = list(Selection(RestoreOptions(include=patterns)).rows(reader))
    except SnapshotUnknown:
        found = []
    assert found == expected
    if found:
        ids = Selection(RestoreOptions(include=patterns)).chunk_ids(reader)
        assert ids is not None
        wanted = [extent.chunk for row in expected for extent in decode_extents(row.extents)]
        assert [one.tobytes() for one in ids] == wanted


@given(trees(), trees(), st.integers(1, 4), st.integers(1, 4))
def test_a_diff(before: list[ManifestRow], after: list[ManifestRow], group: int, other_group: int) -> None:
    old, new = ({row.entry.path: row for row in rows} for rows in (before, after))
    expected: list[Change] = []
    for path in sorted({*old, *new}, key=sort_key):
        if path not in new:
            expected.append(Change(path, ChangeKind.REMOVED, old[path].entry.kind, old[path].entry.size, 0))
        elif path not in old:
            expected.append(Change(path, ChangeKind.ADDED, new[path].entry.kind, 0, new[path].entry.size))
        elif reported := how(old[path], new[path]):
            sizes = (old[path].entry.size, new[path].entry.size)
            expected.append(Change(path, reported, new[path].entry.kind, *sizes))
    assert list(diff_manifests(manifest(before, group), manifest(after, other_group))) == expected
    assert list(diff_manifests(manifest(before, group), manifest(before, other_group))) == []


def slashes(path: bytes) -> list[int]:
    return [at for at, byte in enumerate(path) if byte == ord("/")]


def how(left: ManifestRow, right: ManifestRow) -> ChangeKind | None:
    a, b = left.entry, right.entry
    content: Callable[[ManifestRow], object] = lambda row: (row.entry.kind, row.content_hash, row.entry.target)  # noqa: E731
    if content(left) != content(right):
        return ChangeKind.MODIFIED
    times = a.mtime_ns != b.mtime_ns and a.kind is not EntryKind.DIRECTORY
    return ChangeKind.METADATA if times or (a.mode, a.xattrs) != (b.mode, b.xattrs) else None
