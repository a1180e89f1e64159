"""A walk that also hashes extended attributes: enough to compare trees."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from blake3 import blake3

from farshore.handles import DirectoryHandles, Handle
from farshore.sources.directory.metadata import MetadataReader, Report
from farshore.sources.directory.walk import WHOLE, Found, Span, Walk, WalkOptions
from farshore.sources.directory.walking_protocol import ATTRIBUTES_HASH_BYTES

_NONE_HERE = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class AttributeWalk(Walk):
    """As `Walk`. `pop_attributes` returns the names with attributes, each with the hash of all of them."""

    def __init__(self, *, handles: DirectoryHandles, options: WalkOptions, report: Report) -> None:
        super().__init__(handles=handles, options=options, report=report)
        self._reader = MetadataReader(report=report)
        self._hashes: dict[bytes, bytes] = {}
        self._without: set[int] = set()  # devices whose file system knows no attributes

    def find(self, span: Span = WHOLE) -> Iterator[Found]:
        if not span.start:
            self._note(self._handles.root.fd, b"", os.fstat(self._handles.root.fd).st_dev)
        return super().find(span)

    def pop_attributes(self) -> dict[bytes, bytes]:
        """Return hashes of attributes by path, of the names found since the last call."""
        hashes, self._hashes = self._hashes, {}
        return hashes

    def _look(self, here: Handle, name: bytes, path: bytes) -> Found | None:
        found = super()._look(here, name, path)
        if found is not None and found[2].st_dev not in self._without:
            self._note(b"/proc/self/fd/%d/%s" % (here.fd, name), path, found[2].st_dev)
        return found

    def _note(self, place: int | bytes, path: bytes, device: int) -> None:
        try:
            if not os.listxattr(place, follow_symlinks=isinstance(place, int)):
                return
        except OSError as error:
            if error.errno in _NONE_HERE:
                self._without.add(device)
            return  # attributes that cannot be listed count as none
        self._hashes[path] = hash_xattrs(self._reader.xattrs(place, path, device))


def hash_xattrs(xattrs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the hash of attributes that are sorted by name."""
    hasher = blake3()
    for name, value in xattrs:
        hasher.update(b"%d %d " % (len(name), len(value)) + name + value)
    return hasher.digest(ATTRIBUTES_HASH_BYTES)
