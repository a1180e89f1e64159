"""The hash of a whole file: plain BLAKE3 of its data, then where its holes are. docs/reference/format.md, section 5.

Holes are not hashed as zeros, so a terabyte that was never written costs nothing; a file without holes has the very
hash that `b3sum` prints.
"""

from __future__ import annotations

import struct

from blake3 import blake3

_HOLE = struct.Struct("<QQ")


class ContentHash:
    """Hashes a file's data and holes from first byte to last. One thread; holes that touch count as one."""

    def __init__(self) -> None:
        self._hasher = blake3()
        self._holes: list[tuple[int, int]] = []
        self._at = 0

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._hasher.update(data)
        self._at += len(data)

    def skip(self, length: int) -> None:
        """Add a hole."""
        if self._holes and sum(self._holes[-1]) == self._at:
            start, before = self._holes.pop()
            self._holes.append((start, before + length))
        else:
            self._holes.append((self._at, length))
        self._at += length

    def digest(self) -> bytes:
        """Return the 32 bytes; the hash is then used up."""
        for hole in self._holes:
            self._hasher.update(_HOLE.pack(*hole))
        self._holes = []
        return self._hasher.digest()
