"""Reading a stored object in pieces and hashing it: no object, however large, is in memory whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farshore import limits
from farshore.errors import ObjectCorrupt, StoreUnavailable
from farshore.format.pack_id import hasher_for
from farshore.stores.base import Store


def piece_ranges(size: int, *, piece_bytes: int = limits.OBJECT_PIECE_BYTES) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each piece of an object of `size` bytes."""
    for offset in range(0, size, piece_bytes):
        yield offset, min(piece_bytes, size - offset)


def read_pieces(store: Store, name: str, size: int, *, piece_bytes: int = limits.OBJECT_PIECE_BYTES) -> Iterator[bytes]:
    """Yield the first `size` bytes of an object.

    By ranges, because a whole object that does not match the provider's own checksum is not given out at all.

    Raises:
        StoreUnavailable: The object ended before that.
        FarshoreError: As `Store.get` says.
    """
    for offset, length in piece_ranges(size, piece_bytes=piece_bytes):
        piece = store.get(name, offset, length)
        if len(piece) != length:
            raise StoreUnavailable(f"{store.url}/{name} ended after {offset + len(piece)} of {size} bytes when read")
        yield piece


def hash_pieces(name: str, pieces: Iterable[bytes | memoryview]) -> str:
    """Return the hash of an object from its pieces as 64 hex digits: BLAKE3-256, or a pack's id."""
    hasher = hasher_for(name)
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest().hex()


def checked_pieces(pieces: Iterable[bytes], digest: str, name: str) -> Iterator[bytes]:
    """Yield pieces as they are; the object counts only once they have ended without an error.

    Raises:
        ObjectCorrupt: After the last one: together they do not hash to `digest`.
    """
    hasher = hasher_for(name)
    for piece in pieces:
        hasher.update(piece)
        yield piece
    check_digest(name, hasher.digest().hex(), digest)


def check_digest(name: str, found: str, expected: str) -> None:
    """Raise `ObjectCorrupt` unless an object has the hash that a record of its snapshot has for it."""
    if found != expected:
        raise ObjectCorrupt(f"{name} does not have the bytes that were recorded when it was written")
