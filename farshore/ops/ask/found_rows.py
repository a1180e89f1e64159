"""The matches of a search in one snapshot, kept until the next snapshot of the source is compared with it.

In memory up to a bound, then in a file without a name: a pattern may match a hundred million entries.
"""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from blake3 import blake3

from farshore.format.choosing import sort_key
from farshore.format.manifest import ManifestRow
from farshore.host_resources import TEMPORARY, unusable
from farshore.model import EntryKind

_MEMORY_BYTES = 16 << 20
_ROWS_AT_ONCE = 2048
_LENGTH_BYTES = 8
_DIGEST_BYTES = 16


class FoundRow(NamedTuple):
    """The fields of one entry that show whether it changed."""

    path: bytes
    kind: str
    size: int
    mtime_ns: int
    content: bytes  # a hash of all that is its content
    metadata: bytes  # a hash of the rest that a restore puts back


class FoundRows:
    """Rows in manifest order. A context manager; leaving it lets go of the file."""

    def __init__(self, *, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=memory_bytes)  # noqa: SIM115
        self._rows: list[FoundRow] = []

    def __enter__(self) -> FoundRows:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything. Safe to repeat."""
        self._file.close()

    def fill(self, rows: Iterable[FoundRow]) -> None:
        """Keep rows; call it once.

        Raises:
            StoreFull, ConfigInvalid: The temporary directory has no space for them, or cannot be used.
        """
        for row in rows:
            self._rows.append(row)
            if len(self._rows) >= _ROWS_AT_ONCE:
                self._flush()
        self._flush()

    def __iter__(self) -> Iterator[FoundRow]:
        self._file.seek(0)
        while head := self._file.read(_LENGTH_BYTES):
            data = self._file.read(int.from_bytes(head, "little"))
            yield from (FoundRow(*fields) for fields in marshal.loads(data))  # noqa: S302  # our own process wrote it

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        data = marshal.dumps([tuple(row) for row in rows])
        try:
            self._file.write(len(data).to_bytes(_LENGTH_BYTES, "little") + data)
        except OSError as error:
            raise unusable(TEMPORARY, tempfile.gettempdir(), error) from error


def found_row(row: ManifestRow) -> FoundRow:
    """Return what is kept of a row. The time of a directory follows its content and is no change of its own."""
    entry = row.entry
    content = (str(entry.kind), row.content_hash, entry.target, entry.rdev)
    time_ns = 0 if entry.kind is EntryKind.DIRECTORY else entry.mtime_ns
    metadata = (entry.mode, entry.uid, entry.gid, time_ns, entry.xattrs)
    return FoundRow(entry.path, str(entry.kind), entry.size, entry.mtime_ns, _digest(content), _digest(metadata))


def compare(before: Iterable[FoundRow], after: Iterable[FoundRow]) -> Iterator[tuple[FoundRow | None, FoundRow | None]]:
    """Yield pairs of rows that differ, in manifest order; one of a pair is None where only one side has the path."""
    old, new = iter(before), iter(after)
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        left_key = sort_key(left.path) if left is not None else None
        right_key = sort_key(right.path) if right is not None else None
        if left_key == right_key:
            if left is not None and right is not None and left[4:] != right[4:]:
                yield left, right
            left, right = next(old, None), next(new, None)
        elif right_key is None or (left_key is not None and left_key < right_key):
            yield left, None
            left = next(old, None)
        else:
            yield None, right
            right = next(new, None)


def _digest(values: tuple[Any, ...]) -> bytes:
    return blake3(marshal.dumps(values)).digest(_DIGEST_BYTES)
