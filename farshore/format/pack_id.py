"""The id of a pack, which proves its bytes to anybody, and the hash of any object. Pure; docs/reference/format.md, 4.

A pack id covers the body and what is behind it by two hashes, so that a footer with its tail proves itself by the
body's hash alone, without the pack.
"""

from __future__ import annotations

import sys
from typing import Protocol

from blake3 import blake3

from farshore.format import names
from farshore.format.pack import HEADER_BYTES, TAIL_BYTES, body_bytes_of, footer_bytes_of

_UNKNOWN = sys.maxsize
_NO_PACK = b"farshore/1/no-pack\x00"  # before the hashes of other bytes, so that no pack has their id


class Hasher(Protocol):
    """Hashes an object that is given in pieces."""

    def update(self, piece: bytes | bytearray | memoryview, /) -> object:
        """Add the next bytes."""
        ...

    def digest(self) -> bytes:
        """Return the 32 bytes of all that was added."""
        ...


class PackHasher:
    """Hashes a pack that is given in pieces of any length. Keyless; one thread.

    Bytes whose header and tail do not agree on where the footer begins have a hash, too, which is no pack's id. The
    version is not looked at: a pack of a later one is as whole.
    """

    def __init__(self) -> None:
        self._body = blake3()
        self._rest = blake3()
        self._bytes = 0
        self._head = b""
        self._tail = b""
        self._end = _UNKNOWN  # of the body

    def update(self, piece: bytes | bytearray | memoryview, /) -> None:
        """Add the next bytes."""
        view = memoryview(piece)
        start = self._bytes
        self._bytes += len(view)
        if start < HEADER_BYTES:
            self._head += bytes(view[: HEADER_BYTES - start])
            if len(self._head) == HEADER_BYTES:
                self._end = body_bytes_of(self._head) or _UNKNOWN
        split = max(0, min(len(view), self._end - start))
        self._body.update(view[:split])
        self._rest.update(view[split:])
        self._tail = (self._tail + bytes(view[-TAIL_BYTES:]))[-TAIL_BYTES:]

    def digest(self) -> bytes:
        """Return the pack id, or the hash of what is no pack."""
        hashes = self._body.digest() + self._rest.digest()
        return blake3(hashes if self._agrees() else _NO_PACK + hashes).digest()

    @property
    def body_hash(self) -> bytes:
        """The hash of all before the footer."""
        return self._body.digest()

    def _agrees(self) -> bool:
        footer_bytes = self._bytes - self._end - TAIL_BYTES
        return footer_bytes >= 0 and footer_bytes_of(self._tail) == footer_bytes


def hash_pack(data: bytes | bytearray | memoryview) -> bytes:
    """Return the id of a whole pack, as `PackHasher` does."""
    hasher = PackHasher()
    hasher.update(data)
    return hasher.digest()


def pack_id_of(body_hash: bytes, sealed_footer: bytes, tail: bytes) -> bytes:
    """Return the id of a pack from the hash of its body and all behind it."""
    return blake3(body_hash + blake3(sealed_footer + tail).digest()).digest()


def signed_digest(body_hash: bytes, sealed_footer: bytes | bytearray | memoryview) -> bytes:
    """Return the digest that a pack's tail signs."""
    return blake3(body_hash + blake3(sealed_footer).digest()).digest()


def hasher_for(name: str) -> Hasher:
    """Return the hasher of an object of this name: its result is what a name that has a hash must have."""
    return PackHasher() if names.parse_pack(name) else blake3()


def hash_object(name: str, data: bytes | bytearray | memoryview) -> str:
    """Return the hash of a whole object as 64 hex digits, a pack's by its parts."""
    hasher = hasher_for(name)
    hasher.update(data)
    return hasher.digest().hex()
