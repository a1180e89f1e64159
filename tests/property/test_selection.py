"""What a restore selects can always be put back: every parent comes first, and every link finds its file."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from farshore.catalog.selection import Selection
from farshore.errors import SnapshotUnknown
from farshore.format.choosing import sort_key
from farshore.format.manifest import ManifestReader, ManifestRow, ManifestWriter
from farshore.model import Entry, EntryKind
from farshore.ops.restore.options import RestoreOptions
from farshore.sources.directory.globs import Globs

NAMES = st.sampled_from([b"a", b"b", b"c.txt", b"\xff"])
PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b/", "/a", "/a/b", "*.txt", "**/b", "!b", "a/**", "?", "[bc]*", "nothing", "!/a/b/c.txt", "*"]
    ),
    max_size=3,
)


@st.composite
def manifests(draw: st.DrawFn) -> list[ManifestRow]:
    """A tree of directories, files, and links to some of them."""
    paths = {b""}
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=12)):
        paths |= {b"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
    directories = {path.rpartition(b"/")[0] for path in paths if path} | {b""}
    files = sorted(paths - directories, key=sort_key)
    rows: list[ManifestRow] = []
    for path in sorted(paths, key=sort_key):
        kind, target = EntryKind.DIRECTORY, b""
        if path not in directories:
            earlier = files[: files.index(path)]
            target = draw(st.sampled_from([b"", *earlier]))
            firsts = {row.entry.path for row in rows if row.entry.kind is EntryKind.FILE}
            target = target if target in firsts else b""
            kind = EntryKind.HARDLINK if target else EntryKind.FILE
        content = b"" if kind is EntryKind.DIRECTORY else (target or path)
        rows.append(ManifestRow(Entry(path, kind, target=target), content_hash=content))
    return rows


def manifest(rows: list[ManifestRow]) -> ManifestReader:
    file = io.BytesIO()
    writer = ManifestWriter(file)
    for row in rows:
        writer.add(row)
    writer.close()
    return ManifestReader(io.BytesIO(file.getvalue()))


@given(manifests(), PATTERNS)
def test_a_selection_can_be_put_back(rows: list[ManifestRow], patterns: list[str]) -> None:
    try:
        chosen = list(Selection(RestoreOptions(include=patterns)).rows(manifest(rows)))
    except SnapshotUnknown:
        assert patterns
        return
    by_path = {row.entry.path: row for row in rows}
    paths = [row.entry.path for row in chosen]
    assert paths == sorted(set(paths), key=sort_key)
    assert set(paths) <= set(by_path)
    seen: dict[bytes, ManifestRow] = {}
    for row in chosen:
        entry, original = row.entry, by_path[row.entry.path]
        if entry.path:
            assert entry.path.rpartition(b"/")[0] in seen
        if entry.kind is EntryKind.HARDLINK:
            assert seen[entry.target].content_hash == original.content_hash  # the same file, and it is there
        elif entry.kind is EntryKind.FILE:
            first = by_path[original.entry.target] if original.entry.kind is EntryKind.HARDLINK else original
            assert row.content_hash == first.content_hash
        else:
            assert row == original
        seen[entry.path] = row
    if not [one for one in patterns if one.strip("!/")]:
        assert chosen == rows


@given(manifests(), PATTERNS, PATTERNS, st.sampled_from([b"", b"a", b"b/a", b"a/b/c.txt"]))
def test_a_subtree_without_what_is_left_out_can_be_put_back(
    rows: list[ManifestRow], include: list[str], exclude: list[str], below: bytes
) -> None:
    """Against the plainest model: each path is tried by itself, and every directory above it."""
    options = RestoreOptions(include=include, exclude=exclude, below=below)
    try:
        chosen = list(Selection(options).rows(manifest(rows)))
    except SnapshotUnknown:
        assert include or exclude or below
        return
    by_path = {row.entry.path: row for row in rows}
    seen: dict[bytes, ManifestRow] = {}
    for row in chosen:
        entry = row.entry
        if entry.path:
            assert entry.path.rpartition(b"/")[0] in seen or (entry.path == below.rpartition(b"/")[2] and not seen)
        if entry.kind is EntryKind.HARDLINK:
            assert entry.target in seen
        seen[entry.path] = row
    taken = {_outer(path, below, by_path) for path in seen}
    assert taken <= by_path.keys()
    for path, row in by_path.items():
        inner = _inner(path, below)
        wanted = inner is not None and (not include or _matches(include, inner, by_path, below))
        if wanted and inner is not None and not (exclude and _matches(exclude, inner, by_path, below)):
            assert path in taken
        elif path in taken:  # only as a directory above something
            assert row.entry.kind is EntryKind.DIRECTORY
            assert not (inner and exclude and _matches(exclude, inner, by_path, below))


def _inner(path: bytes, below: bytes) -> bytes | None:
    if not below or path == below:
        return path if not below else b""
    return path[len(below) + 1 :] if path.startswith(below + b"/") else None


def _outer(path: bytes, below: bytes, by_path: dict[bytes, ManifestRow]) -> bytes:
    if not below or by_path[below].entry.kind is not EntryKind.DIRECTORY:
        return below or path
    return below + b"/" + path if path else below


def _matches(patterns: list[str], inner: bytes, by_path: dict[bytes, ManifestRow], below: bytes) -> bool:
    globs = Globs(patterns)
    names = inner.split(b"/") if inner else []
    for end in range(1, len(names) + 1):
        path = b"/".join(names[:end])
        whole = below + b"/" + path if below else path
        if globs.match(path, directory=by_path[whole].entry.kind is EntryKind.DIRECTORY):
            return True
    return False
