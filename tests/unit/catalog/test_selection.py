from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from farshore.catalog import selection as selecting
from farshore.catalog.selection import Selection, candidates, split_selector
from farshore.errors import SnapshotUnknown
from farshore.format.choosing import Alike, Choice, sort_key
from farshore.format.manifest import ManifestReader, ManifestRow, ManifestWriter
from farshore.model import Entry, EntryKind
from farshore.ops.restore.options import RestoreOptions

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
    return list(Selection(RestoreOptions(include=patterns)).rows(manifest(rows() if among is None else among)))


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


def test_a_pattern_that_can_match_nothing_is_explained() -> None:
    """Trial F18: `#x` is a comment, as in .gitignore."""
    with pytest.raises(SnapshotUnknown) as caught:
        select("#x")
    assert caught.value.hint == r"The pattern '#x' is a comment; write \# for a name that begins so."


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


def wished(**options: Any) -> list[bytes]:
    return [row.entry.path for row in Selection(RestoreOptions(**options)).rows(manifest(rows()))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exclude": ["/home"]}, [b"", b"etc", b"etc/passwd"]),
        ({"exclude": [".cache/", "passwd"]}, [b"", b"etc", b"home", b"home/a", b"home/a/notes.txt"]),
        ({"include": ["/home"], "exclude": [".cache"]}, [b"", b"home", b"home/a", b"home/a/notes.txt"]),
        ({"include": [".cache"], "exclude": ["/home/a/.cache/x"]}, [b"", b"home", b"home/a", b"home/a/.cache"]),
        ({"include": ["./etc/passwd"]}, [b"", b"etc", b"etc/passwd"]),
        ({"below": b"home/a"}, [b"", b".cache", b".cache/x", b"notes.txt"]),
        ({"below": b"/home/", "include": ["/a/*.txt"]}, [b"", b"a", b"a/notes.txt"]),
        ({"below": b"home", "exclude": ["/a/.cache"]}, [b"", b"a", b"a/notes.txt"]),
        ({"below": b"etc/passwd"}, [b"passwd"]),
        ({"include": ["/home/a"], "strip": 2}, [b"", b".cache", b".cache/x", b"notes.txt"]),
        ({"include": ["/home/a"], "strip": 1}, [b"", b"a", b"a/.cache", b"a/.cache/x", b"a/notes.txt"]),
        ({"strip": 1}, [b"passwd", b"a", b"a/.cache", b"a/.cache/x", b"a/notes.txt"]),
    ],
)
def test_what_a_wish_selects_and_where_it_goes(options: dict[str, Any], expected: list[bytes]) -> None:
    selection = Selection(RestoreOptions(**options))
    reader = manifest(rows())
    selection.check(reader)
    assert [row.entry.path for row in selection.rows(reader)] == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exclude": ["*"]}, r"nothing is left without \*"),
        ({"include": ["/etc"], "exclude": ["passwd", "etc"]}, "nothing is left of what matches /etc without passwd"),
        ({"below": b"nowhere"}, "no path 'nowhere'"),
        ({"below": b"hom"}, "no path 'hom'"),
        ({"below": b"home", "include": ["/etc"]}, "nothing in the snapshot matches /etc"),
    ],
)
def test_a_wish_for_nothing_is_an_error(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SnapshotUnknown, match=said):
        wished(**options)


def test_each_pattern_that_matched_nothing_is_known() -> None:
    """Trial F8: `--include Case --include typo` said nothing of the typo."""
    selection = Selection(RestoreOptions(include=["etc", "typo", "!no", "*.odt"], exclude=["*.log", "passwd"]))
    assert [row.entry.path for row in selection.rows(manifest(rows()))] == [b"", b"etc"]
    assert selection.unmatched == ("typo", "*.odt", "*.log")
    assert Selection(RestoreOptions()).unmatched == ()


def test_hard_links_stay_right_when_their_file_is_left_out_or_outside() -> None:
    more = [link(b"home/b", b"etc/passwd"), link(b"home/c", b"etc/passwd")]
    for options, expected in [
        ({"exclude": ["/etc"]}, {b"home/b": b"", b"home/c": b"home/b"}),
        ({"below": b"home"}, {b"b": b"", b"c": b"b"}),
        ({"below": b"home/c"}, {b"c": b""}),
        ({"include": ["c"], "strip": 1}, {b"c": b""}),
        ({"include": ["b", "c", "passwd"], "strip": 1}, {b"b": b"passwd", b"c": b"passwd"}),
    ]:
        selection = Selection(RestoreOptions(**options))  # type: ignore[arg-type]
        reader = manifest(rows(*more))
        selection.check(reader)
        found = {row.entry.path: row.entry for row in selection.rows(reader)}
        assert {path: found[path].target for path in expected} == expected
        assert all(found[path].kind is (EntryKind.HARDLINK if to else EntryKind.FILE) for path, to in expected.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("home", ("home", b"")),
        ("home:/", ("home", b"")),
        ("home:/docs/a", ("home", b"docs/a")),
        ("home:docs/a/", ("home", b"docs/a")),
        ("home:./docs//a", ("home", b"docs/a")),
        ("db7:home", ("db7:home", b"")),
        ("db7:home@latest:/docs", ("db7:home@latest", b"docs")),
        ("home@2026-11-20T04:00", ("home@2026-11-20T04:00", b"")),
        ("home@2026-11-20T04:00:/docs", ("home@2026-11-20T04:00", b"docs")),
        ("4f5a:/a:/b", ("4f5a", b"a:/b")),
        ("db7:home:docs/a", ("db7:home", b"docs/a")),
        ("home@2026-11-20T04:00:docs/a", ("home@2026-11-20T04:00", b"docs/a")),
        ("home:/a:b/c", ("home", b"a:b/c")),
        ("docs/a", ("docs/a", b"")),
    ],
)
def test_a_path_follows_the_name_of_a_snapshot(text: str, expected: tuple[str, bytes]) -> None:
    assert split_selector(text) == expected


class CountingReader(ManifestReader):
    """Counts the row groups that it hands out, with all columns or some, and its reads of the file."""

    def __init__(self, among: list[ManifestRow]) -> None:
        file = io.BytesIO()
        writer = ManifestWriter(file)
        for row in among:
            writer.add(row)
        writer.close()
        super().__init__(io.BytesIO(file.getvalue()))
        self.handed_out = self.reads = 0

    def read_group(self, group: int, names: Sequence[str] | None = None) -> pa.Table:
        self.reads += 1
        return super().read_group(group, names)

    def tables(self, names: Sequence[str] | None = None, choice: Choice | None = None) -> Iterator[pa.Table]:
        for table in super().tables(names, choice):
            self.handed_out += 1
            yield table


def asked_of(selection: Selection, reader: CountingReader) -> list[tuple[int, list[bytes]]]:
    """Ask all that a restore asks; after each question, the row groups read so far and the rows that it had."""
    answers: list[tuple[int, list[bytes]]] = []
    selection.check(reader)
    for _ in range(2):  # for the space that they take, and to be written
        found = [row.entry.path for row in selection.rows(reader)]
        answers.append((reader.handed_out, found))
        assert selection.chunk_ids(reader) is not None
        answers.append((reader.handed_out, found))
    return answers


LINKED = [link(b"home/b", b"etc/passwd")]


def test_few_rows_are_read_once_whatever_is_asked_of_them() -> None:
    for options, read in (
        ({"include": ["/home"], "strip": 1}, 3),  # the rows, the links, and the file that is left out
        ({"below": b"home"}, 3),
        ({"include": ["b", "passwd"]}, 1),
        ({"exclude": ["/etc"]}, 3),
        ({"exclude": ["notes.txt"]}, 1),
    ):
        reader = CountingReader(rows(*LINKED))
        answers = asked_of(Selection(RestoreOptions(**options)), reader)
        assert {groups for groups, _ in answers} == {read}
        assert len({tuple(found) for _, found in answers}) == 1


def test_what_only_leaves_out_reads_each_row_group_once() -> None:
    """Neither the links nor the names by which row groups are ruled out are read beforehand."""
    reader = CountingReader(rows(link(b"home/b", b"home/a/notes.txt")))
    asked_of(Selection(RestoreOptions(exclude=["/etc"])), reader)
    assert reader.reads == 1


def test_many_rows_are_read_once_to_plan_and_once_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "_ROWS_KEPT_MAX", 2)
    reader = CountingReader(rows(*LINKED))
    answers = asked_of(Selection(RestoreOptions(include=["/home"])), reader)
    assert [groups for groups, _ in answers[:3]] == [3, 3, 4]  # links, and the file that is left out, are read once
    assert len({tuple(found) for _, found in answers}) == 1


def test_another_manifest_is_read_by_itself() -> None:
    selection = Selection(RestoreOptions(include=["/home"]))
    for more in ([], LINKED, []):
        reader = CountingReader(rows(*more))
        found = [row.entry.path for row in selection.rows(reader)]
        assert (b"home/b" in found) == bool(more)
        assert [row.entry.path for row in selection.rows(reader)] == found
