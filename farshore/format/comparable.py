"""The columns of an earlier manifest that a backup compares, a row group at a time. Pure."""

from __future__ import annotations

import stat
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from farshore.errors import ObjectCorrupt
from farshore.format import arrow as pc
from farshore.format import columns
from farshore.format.entries import columns_of, kind_of
from farshore.format.extents import EXTENT_BYTES, view_extents
from farshore.format.manifest import WHOLE
from farshore.model import EntryKind

_TYPES = {
    EntryKind.FILE: stat.S_IFREG,
    EntryKind.DIRECTORY: stat.S_IFDIR,
    EntryKind.SYMLINK: stat.S_IFLNK,
    EntryKind.FIFO: stat.S_IFIFO,
    EntryKind.SOCKET: stat.S_IFSOCK,
    EntryKind.CHARACTER_DEVICE: stat.S_IFCHR,
    EntryKind.BLOCK_DEVICE: stat.S_IFBLK,
}
_IDENTITY_COLUMNS = ("kind", "size", "mtime_ns", "ctime_ns", "inode", "device", "target")


class Comparable:
    """The columns of a manifest's table that a backup or a delta restore compares: each converted when first needed."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._numbers: dict[str, npt.NDArray[np.int64]] = {}

    @cached_property
    def paths(self) -> list[bytes]:
        """The paths."""
        return columns.binaries(self._table.column("path"))

    def identities(self) -> list[tuple[object, ...] | None]:
        """Return each row's kind, size, mtime, ctime, inode, device and target, as an entry has them."""
        return list(zip(*columns_of(self._table, _IDENTITY_COLUMNS), strict=True))

    @cached_property
    def path_bytes(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """The bytes of all paths end to end, and the offset at which each begins and the last one ends."""
        data, ends = columns.binary_buffers(self._table.column("path"))
        return np.frombuffer(data, np.uint8), ends

    @cached_property
    def targets(self) -> list[bytes]:
        """The targets of symlinks and hard links."""
        return columns.binaries(self._table.column("target"))

    @cached_property
    def xattrs(self) -> list[tuple[tuple[bytes, bytes], ...]]:
        """The extended attributes of each row."""
        return columns.pairs(self._table.column("xattrs"))

    @cached_property
    def types(self) -> npt.NDArray[np.int64]:
        """Each row's file type bits of `st_mode`; 0 for a hard link, which may be of any type.

        Raises:
            FeatureMissing: There is a kind that this Farshore does not know.
        """
        distinct, rows = columns.texts(self._table.column("kind"))
        return np.array([_TYPES.get(kind_of(text), 0) for text in distinct], np.int64)[rows]

    def chunk_ids(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the chunks of all extents (`V32`), and for each row where its own begin and end among them.

        Raises:
            ObjectCorrupt: The extents of a row are cut short.
        """
        data, ends = columns.binary_buffers(self._table.column("extents"))
        if (ends % EXTENT_BYTES).any():
            raise ObjectCorrupt("an entry's extents are cut short")
        extents = view_extents(data)
        return ends // EXTENT_BYTES, np.ascontiguousarray(extents["chunk"])

    def file_extents(self) -> memoryview:
        """Return the extents of all files, in the order of the rows, end to end."""
        files = pc.filter(self._table, pc.equal(columns.whole(self._table.column("kind")), str(EntryKind.FILE)))
        return columns.binary_buffers(files.combine_chunks().column("extents"))[0]

    def are(self, kind: EntryKind) -> npt.NDArray[np.bool_]:
        """Return for each row whether it is of a kind."""
        return self._equals("kind", str(kind))

    def read_whole(self) -> npt.NDArray[np.bool_]:
        """Return for each row whether its file was unchanged while it was read."""
        return self._equals("state", WHOLE)

    def numbers(self, name: str) -> npt.NDArray[np.int64]:
        """Return a column of numbers; of unsigned ones the signed numbers with the same bits."""
        if name not in self._numbers:
            column = columns.whole(self._table.column(name))
            self._numbers[name] = np.asarray(column.to_numpy(zero_copy_only=False), np.int64)
        return self._numbers[name]

    def _equals(self, name: str, text: str) -> npt.NDArray[np.bool_]:
        mask = pc.equal(columns.whole(self._table.column(name)), text)
        return np.asarray(mask.to_numpy(zero_copy_only=False), np.bool_)
