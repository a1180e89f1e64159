"""Dropping leading names: what would clash, or have no name left, is found before anything is written."""

from __future__ import annotations

import pytest

from farshore.catalog.relocation import Relocation
from farshore.errors import PathsClash
from farshore.model import Entry, EntryKind


def entries(*paths: str) -> list[Entry]:
    """Entries in the order given; those that end in `/` are directories."""
    return [
        Entry(path.rstrip("/").encode(), EntryKind.DIRECTORY if not path or path.endswith("/") else EntryKind.FILE)
        for path in paths
    ]


def placed(strip: int, *paths: str) -> list[bytes]:
    relocation = Relocation(strip=strip)
    relocation.check(lambda: entries(*paths))
    return [one.path for entry in entries(*paths) if (one := relocation.place(entry)) is not None]


def test_what_is_left_keeps_its_order() -> None:
    assert placed(1, "", "a/", "a/f", "a/g/", "a/g/h") == [b"", b"f", b"g", b"g/h"]
    assert placed(2, "", "a/", "a/b/", "a/b/f") == [b"", b"f"]


def test_two_directories_whose_names_are_dropped_share_a_root_that_keeps_its_own_metadata() -> None:
    assert placed(1, "", "a/", "a/f", "b/", "b/g") == [b"f", b"g"]


@pytest.mark.parametrize(
    "paths", [("a/", "a/f", "b/", "b/f"), ("a/", "a/d/", "b/", "b/d/"), ("a/", "a/d/", "b/", "b/d")]
)
def test_two_entries_at_one_place_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(PathsClash, match=r"b/[fd] at the place of another"):
        placed(1, "", *paths)


def test_a_file_without_a_name_is_refused() -> None:
    with pytest.raises(PathsClash, match="leaves no name for README"):
        placed(1, "", "a/", "a/f", "README")
    with pytest.raises(PathsClash, match="a/b/f"):
        placed(9, "", "a/", "a/b/", "a/b/f")


def test_a_subtree_that_is_one_file_has_its_name() -> None:
    relocation = Relocation(below=b"a/b/f")
    assert relocation.place(Entry(b"a/b/f", EntryKind.FILE)) == Entry(b"f", EntryKind.FILE)
