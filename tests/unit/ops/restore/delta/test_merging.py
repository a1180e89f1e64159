"""The merge of a snapshot's rows with what is in the target, cut into tables and listings of any size."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from farshore.format.choosing import sort_key
from farshore.format.manifest import ManifestRow, rows_to_table
from farshore.model import Entry, EntryKind
from farshore.ops.restore.delta.merging import Both, Extra, Merge, Missing, directories_above
from farshore.ops.restore.delta.rows import Ability, SnapshotRows
from farshore.sources.directory.listing import PosixListing
from farshore.sources.directory.walking_protocol import encode_names
from farshore.sources.posix_status import KnownStatus

ABILITY = Ability(owner=True, user=0, groups=frozenset())
NAMES = st.sampled_from([b"a", b"a+", b"b", b"c"])
FILES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=4).map(b"/".join), st.integers(0, 2), max_size=12)


def entries(files: dict[bytes, int]) -> dict[bytes, Entry]:
    """Return files, whose size is the number, with the directories above them; what is both is a directory."""
    found = {above: Entry(above, EntryKind.DIRECTORY, 0o755) for path in files for above in directories_above(path)}
    found[b""] = Entry(b"", EntryKind.DIRECTORY, 0o755)
    for path, size in files.items():
        found.setdefault(path, Entry(path, EntryKind.FILE, 0o644, size=size))
    return dict(sorted(found.items(), key=lambda pair: sort_key(pair[0])))


def tables(found: dict[bytes, Entry], rows: int) -> Iterator[SnapshotRows]:
    listed = [ManifestRow(entry) for entry in found.values()]
    for start in range(0, len(listed), rows):
        yield SnapshotRows(rows_to_table(listed[start : start + rows]), ABILITY)


def listings(found: dict[bytes, Entry], count: int) -> Iterator[PosixListing]:
    listed = list(found.values())
    for start in range(0, len(listed), count):
        names = []
        for entry in listed[start : start + count]:
            kind = stat.S_IFDIR if entry.kind is EntryKind.DIRECTORY else stat.S_IFREG
            status = KnownStatus(kind | entry.mode, 0, 0, 1, entry.size, 0, 0, 1, 1, 0)
            names.append((entry.path, entry.kind, status, b""))
        yield PosixListing(b"".join(encode_names(names, lambda *_: None)))


@given(there=FILES, here=FILES, rows=st.integers(1, 8), count=st.integers(1, 8))
def test_every_path_is_reported_once_and_directories_above_it_are_found(
    there: dict[bytes, int], here: dict[bytes, int], rows: int, count: int
) -> None:
    wanted, found = entries(there), entries(here)
    merge = Merge(tables=tables(wanted, rows), listings=listings(found, count), by_content=False)
    missing: set[bytes] = set()
    extra: set[bytes] = set()
    both: set[bytes] = set()
    order = []
    for event in merge.run():
        path = event.row.entry.path if isinstance(event, (Missing, Both)) else event.path
        order.append(sort_key(path))
        {Missing: missing, Extra: extra, Both: both}[type(event)].add(path)
        for above in directories_above(path):
            row = merge.directory(above)
            assert (row.entry if row else None) == wanted.get(above)
    assert missing == wanted.keys() - found.keys()
    assert extra == found.keys() - wanted.keys()
    assert both == {path for path in wanted.keys() & found.keys() if wanted[path] != found[path]}
    assert order == sorted(order)
    assert merge.compared == len(wanted)
