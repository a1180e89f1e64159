from __future__ import annotations

import pyarrow as pa

from farshore.format.differing import diff_manifests
from farshore.format.manifest import SCHEMA, ManifestReader, ManifestRow, rows_to_table
from farshore.model import Change, ChangeKind, Entry, EntryKind
from tests.doubles.manifests import run_of


def reader(table: pa.Table) -> ManifestReader:
    return ManifestReader(run_of(table))


def test_no_attributes_are_reported_as_none_or_as_an_empty_list() -> None:
    rows = [ManifestRow(Entry(name, EntryKind.FILE)) for name in (b"a", b"b")]
    empty = rows_to_table(rows)
    at = SCHEMA.names.index("xattrs")
    none = empty.set_column(at, SCHEMA.field(at), pa.array([None, [{"name": b"n", "value": b"v"}]], SCHEMA.types[at]))
    assert list(diff_manifests(reader(empty), reader(none))) == [Change(b"b", ChangeKind.METADATA, EntryKind.FILE)]


def test_what_is_in_a_manifest_of_nothing() -> None:
    nothing, one = rows_to_table([]), rows_to_table([ManifestRow(Entry(b"a", EntryKind.FILE, size=3))])
    assert list(diff_manifests(reader(nothing), reader(nothing))) == []
    assert list(diff_manifests(reader(nothing), reader(one))) == [Change(b"a", ChangeKind.ADDED, EntryKind.FILE, 0, 3)]
    assert list(diff_manifests(reader(one), reader(nothing))) == [
        Change(b"a", ChangeKind.REMOVED, EntryKind.FILE, 3, 0)
    ]
