"""The differences of two manifests: ranges of both are joined by path, and only rows that differ become Python values.

Pure. Works on one table of each run at a time, whatever the size of the manifests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from farshore.format import arrow as pc
from farshore.format.choosing import sort_key
from farshore.format.columns import whole
from farshore.format.entries import kinds
from farshore.format.manifest import ManifestReader
from farshore.format.merged_tables import PendingRows
from farshore.model import Change, ChangeKind, EntryKind

_CONTENT = ("kind", "content_hash", "target", "rdev")
_METADATA = ("mode", "uid", "gid")
_COLUMNS = ("path", "size", "mtime_ns", "xattrs", *_CONTENT, *_METADATA)
_Joined = list[tuple[bytes, Change]]  # with the key by which paths are ordered


def diff_manifests(before: ManifestReader, after: ManifestReader) -> Iterator[Change]:
    """Yield what was added, removed or changed, in manifest order."""
    old, new = PendingRows(before.tables(_COLUMNS)), PendingRows(after.tables(_COLUMNS))
    while old.fill() | new.fill():
        ends = [one.last_key() for one in (old, new) if not one.empty]
        found = _join(old.pop_until(min(ends)), new.pop_until(min(ends)))
        yield from (change for _, change in sorted(found, key=lambda pair: pair[0]))


def _join(old: pa.Table | None, new: pa.Table | None) -> _Joined:
    if old is None or new is None:
        return [*_whole_rows(old, ChangeKind.REMOVED), *_whole_rows(new, ChangeKind.ADDED)]
    old_paths, new_paths = whole(old.column("path")), whole(new.column("path"))
    if old_paths.equals(new_paths):
        return _compare(old, new)
    places = pc.index_in(new_paths, value_set=old_paths)
    common = pc.is_valid(places)
    removed = pc.invert(pc.is_in(old_paths, value_set=new_paths))
    return [
        *_compare(pc.rows_at(old, pc.drop_null(places)), pc.filter(new, common)),
        *_whole_rows(pc.filter(old, removed), ChangeKind.REMOVED),
        *_whole_rows(pc.filter(new, pc.invert(common)), ChangeKind.ADDED),
    ]


def _compare(old: pa.Table, new: pa.Table) -> _Joined:
    """Return the changes between rows of the same paths."""
    content = _unlike(old, new, _CONTENT)
    times = pc.not_equal(whole(old.column("mtime_ns")), whole(new.column("mtime_ns")))
    directories = pc.equal(whole(new.column("kind")), str(EntryKind.DIRECTORY))
    times = pc.and_not(times, directories)  # a directory's time follows its content
    metadata = pc.or_(pc.or_(times, _unlike(old, new, _METADATA)), _unlike_xattrs(old, new))
    changed = pc.or_(content, metadata)
    if not pc.any(changed).as_py():
        return []
    modified = pc.filter(content, changed).to_pylist()
    labels = [ChangeKind.MODIFIED if one else ChangeKind.METADATA for one in modified]
    old, new = pc.filter(old, changed), pc.filter(new, changed)
    rows = zip(new["path"].to_pylist(), labels, kinds(new["kind"]), _sizes(old), _sizes(new), strict=True)
    return [(sort_key(row[0]), Change(*row)) for row in rows]


def _unlike(old: pa.Table, new: pa.Table, names: tuple[str, ...]) -> pa.Array:
    masks = [pc.not_equal(whole(old.column(name)), whole(new.column(name))) for name in names]
    joined = masks[0]
    for mask in masks[1:]:
        joined = pc.or_(joined, mask)
    return joined


def _unlike_xattrs(old: pa.Table, new: pa.Table) -> pa.Array:
    """Compare attributes, which Arrow cannot: in Python, where either side has some."""
    left, right = whole(old.column("xattrs")), whole(new.column("xattrs"))
    if left.equals(right):
        return pa.array([False] * len(left), pa.bool_())
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return pa.array([(a or []) != (b or []) for a, b in pairs], pa.bool_())


def _whole_rows(table: pa.Table | None, change: ChangeKind) -> _Joined:
    if table is None or not table.num_rows:
        return []
    sizes, zeros = _sizes(table), [0] * table.num_rows
    before, after = (sizes, zeros) if change is ChangeKind.REMOVED else (zeros, sizes)
    rows = zip(table["path"].to_pylist(), kinds(table["kind"]), before, after, strict=True)
    return [(sort_key(path), Change(path, change, kind, *two)) for path, kind, *two in rows]


def _sizes(table: pa.Table) -> list[Any]:
    return table.column("size").to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped
