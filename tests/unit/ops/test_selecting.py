from __future__ import annotations

import io

import pytest

from farshore.errors import SnapshotUnknown
from farshore.format.choosing import Alike
from farshore.format.manifest import ManifestReader, ManifestRow, ManifestWriter, sort_key
from farshore.model import Entry, EntryKind
from farshore.ops.selecting import Selection, candidates

PATHS = [b"", b"etc", b"etc/passwd", b"home", b"home/a", b"home/a/.cache", b"home/a/.cache/x", b"home/a/notes.txt"]


def rows(*more: ManifestRow) -> list[ManifestRow]:
    parents = {path.rpartition(b"/")[0] for path in PATHS if path} | {b""}
    made = [ManifestRow(Entry(path, EntryKind.DIRECTORY if path in parents else EntryKind.FILE)) for path in PATHS]
    return sorted([*made, *more], key=lambda row: sort_key(row.entry.path))


def link(path: bytes, target: bytes) -> ManifestRow:
    return ManifestRow(Entry(path, EntryKind.HARDLINK, target=target))


def manifest(among: list[ManifestRow]) -> ManifestReader:
    file = io.BytesIO()
    writer = ManifestWriter(file)
    for row in among:
        writer.add(row)
    writer.close()
    return ManifestReader(io.BytesIO(file.getvalue()))


def select(*patterns: str, among: list[ManifestRow] | None = None) -> list[ManifestRow]:
    return list(Selection(patterns).rows(manifest(rows() if among is None else among)))


def paths(*patterns: str) -> list[bytes]:
    return [row.entry.path for row in select(*patterns)]


def test_no_pattern_means_everything() -> None:
    assert select() == rows()


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["/etc"], [b"", b"etc", b"etc/passwd"]),
        (["passwd"], [b"", b"etc", b"etc/passwd"]),
        (["*.txt"], [b"", b"home", b"home/a", b"home/a/notes.txt"]),
        (["/home/a"], [b"", b"home", b"home/a", b"home/a/.cache", b"home/a/.cache/x", b"home/a/notes.txt"]),
        (["/home/a", "!.cache"], [b"", b"home", b"home/a", b"home/a/.cache", b"home/a/.cache/x", b"home/a/notes.txt"]),
        (["etc/", "x"], [b"", b"etc", b"etc/passwd", b"home", b"home/a", b"home/a/.cache", b"home/a/.cache/x"]),
        (["pass?d"], [b"", b"etc", b"etc/passwd"]),
        (["**/.cache/*"], [b"", b"home", b"home/a", b"home/a/.cache", b"home/a/.cache/x"]),
    ],
)
def test_what_patterns_select(patterns: list[str], expected: list[bytes]) -> None:
    assert paths(*patterns) == expected


@pytest.mark.parametrize("pattern", ["nowhere", "/passwd", "PASSWD", "notes.txt/"])
def test_patterns_that_select_nothing_are_an_error(pattern: str) -> None:
    with pytest.raises(SnapshotUnknown, match="nothing in the snapshot matches"):
        paths(pattern)


def test_a_link_whose_file_is_left_out_becomes_the_file() -> None:
    first = ManifestRow(Entry(b"a-file", EntryKind.FILE, size=5, inode=9), content_hash=b"h" * 32, extents=b"e" * 44)
    among = rows(first, link(b"z1", b"a-file"), link(b"z2", b"a-file"))
    chosen = select("/z1", "/z2", among=among)
    assert [row.entry.path for row in chosen] == [b"", b"z1", b"z2"]
    assert chosen[1].entry.kind is EntryKind.FILE
    assert (chosen[1].entry.size, chosen[1].content_hash, chosen[1].extents) == (5, b"h" * 32, b"e" * 44)
    assert (chosen[2].entry.kind, chosen[2].entry.target) == (EntryKind.HARDLINK, b"z1")


def test_a_link_whose_file_is_chosen_too_stays_a_link() -> None:
    first = ManifestRow(Entry(b"a-file", EntryKind.FILE))
    among = rows(first, link(b"z1", b"a-file"))
    chosen = select("a-file", "z1", among=among)
    assert chosen[-1] == link(b"z1", b"a-file")


def test_links_of_two_files_are_kept_apart() -> None:
    one, two = (ManifestRow(Entry(path, EntryKind.FILE), content_hash=path * 32) for path in (b"1", b"2"))
    among = rows(one, two, link(b"z1", b"1"), link(b"z2", b"2"), link(b"z3", b"1"))
    chosen = {row.entry.path: row for row in select("z*", among=among)}
    assert chosen[b"z1"].content_hash == b"1" * 32
    assert chosen[b"z2"].content_hash == b"2" * 32
    assert chosen[b"z3"].entry.target == b"z1"


def test_a_link_whose_file_is_nowhere_stays_as_it_is() -> None:
    """Its restore reports it; it must not stop the others."""
    assert select("z1", among=rows(link(b"z1", b"gone")))[-1] == link(b"z1", b"gone")


@pytest.mark.parametrize(
    ("pattern", "prefix", "text"),
    [
        ("/home/a", b"home/a", b"home"),
        ("home/a/", b"home/a", b"home"),
        ("*.txt", b"", b".txt"),
        ("a?c", b"", b"a"),
        ("?", b"", b""),
        ("/var/l?g/*.log", b"var/l", b".log"),
        ("**/cache/x", b"", b"cache"),
        ("[abc]def", b"", b""),
        ("ab[c]def", b"", b"ab"),
        (r"/a\*b/longer", b"a", b"a"),
        ("caf\udce9/x", b"caf\xe9/x", b"caf\xe9"),
    ],
)
def test_plain_text_of_a_pattern_bounds_what_it_may_select(pattern: str, prefix: bytes, text: bytes) -> None:
    assert candidates([pattern, "!not", "/"]).alike == (Alike(prefix, text),)


def test_directories_above_plain_text_are_candidates() -> None:
    assert candidates(["/a/b/c*", "/a/x", "y"]).paths == (b"", b"a", b"a/b")


def test_parents_come_once_and_only_when_something_below_them_does() -> None:
    assert paths("passwd", "notes.txt") == [b"", b"etc", b"etc/passwd", b"home", b"home/a", b"home/a/notes.txt"]


def test_a_snapshot_without_a_root_entry() -> None:
    among = [row for row in rows() if row.entry.path]
    assert [row.entry.path for row in select("/etc", among=among)] == [b"etc", b"etc/passwd"]
