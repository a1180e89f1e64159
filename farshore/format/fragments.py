"""Index fragments: the proofs of many packs, and their sealed footers. Pure; docs/reference/format.md, section 5.

Nothing in it is sealed but the footers themselves, so anybody can join fragments; the id of each pack follows from its
entry, so nobody can misrepresent one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from blake3 import blake3

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import TRAILER_BYTES, decode_trailer, encode_trailer
from farshore.format import pack as layout
from farshore.format.pack_id import pack_id_of, signed_digest
from farshore.model import Signature

MAGIC = b"FSIX"
VERSION = 1
SUBJECT = "index/"  # what its signature names, because its own name is the hash of its bytes
_HEADER = struct.Struct("<4sB3xII")
_ENTRY = struct.Struct(f"<32sI{layout.HEADER_BYTES}sI")
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class FragmentEntry:
    """A pack without its segments: the hash of its body, and all else that proves its id and opens its footer."""

    body_hash: bytes
    pack_bytes: int
    header: bytes
    sealed_footer: bytes
    tail: bytes

    @property
    def pack_id(self) -> bytes:
        """The id of the pack, which follows from these bytes."""
        return pack_id_of(self.body_hash, self.sealed_footer, self.tail)

    @property
    def signed_digest(self) -> bytes:
        """The digest that the pack's tail signs."""
        return signed_digest(self.body_hash, self.sealed_footer)

    @property
    def signature(self) -> Signature:
        """The signature in the pack's tail; not checked."""
        return layout.decode_tail(self.tail, self.pack_bytes).signature


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment, well-formed; neither its signature nor those of its packs are checked.

    `superseded`: the hashes of fragments whose packs are all in this one. `digest`: of the bytes that are signed.
    """

    entries: tuple[FragmentEntry, ...]
    superseded: tuple[bytes, ...]
    signature: Signature
    digest: bytes


def encode_body(entries: Sequence[FragmentEntry], superseded: Sequence[bytes] = ()) -> bytes:
    """Return a fragment without its trailer: the bytes that are signed by their BLAKE3-256."""
    parts = [_HEADER.pack(MAGIC, VERSION, len(entries), len(superseded)), *superseded]
    for one in entries:
        parts.append(_ENTRY.pack(one.body_hash, one.pack_bytes, one.header, len(one.sealed_footer)))
        parts += (one.sealed_footer, one.tail)
    return b"".join(parts)


def encode_fragment(body: bytes, signature: Signature) -> bytes:
    """Return the stored bytes of a fragment."""
    return body + encode_trailer(signature)


def decode_fragment(data: bytes) -> Fragment:
    """Return a fragment; of each pack header, tail and size agree on where its footer is.

    Raises:
        ObjectCorrupt: It is cut short, or not a fragment.
        FormatTooNew: A later version made it.
    """
    body = memoryview(data)[:-TRAILER_BYTES]
    try:
        magic, version, packs, superseded = _HEADER.unpack_from(body)
    except struct.error as error:
        raise ObjectCorrupt("an index fragment is cut short") from error
    if magic != MAGIC:
        raise ObjectCorrupt("an object under index/ is not a fragment")
    if version != VERSION:
        raise FormatTooNew(f"an index fragment has version {version}; this Farshore knows {VERSION}")
    at = _HEADER.size + superseded * _HASH_BYTES
    if at > len(body) or superseded > limits.FRAGMENT_SUPERSEDED_MAX:
        raise ObjectCorrupt("an index fragment is cut short, or supersedes too many others")
    hashes = tuple(bytes(body[start : start + _HASH_BYTES]) for start in range(_HEADER.size, at, _HASH_BYTES))
    entries: list[FragmentEntry] = []
    for _ in range(packs):
        entry, at = _entry(body, at)
        entries.append(entry)
    if at != len(body):
        raise ObjectCorrupt("an index fragment has the wrong length")
    signature, digest = decode_signature(data)
    return Fragment(tuple(entries), hashes, signature, digest)


def decode_signature(data: bytes) -> tuple[Signature, bytes]:
    """Return the signature of a fragment and the digest that it covers; the rest is not looked at.

    Raises:
        ObjectCorrupt: It is cut short.
    """
    return decode_trailer(data[-TRAILER_BYTES:], "an index fragment"), blake3(
        memoryview(data)[:-TRAILER_BYTES]
    ).digest()


def _entry(body: memoryview, at: int) -> tuple[FragmentEntry, int]:
    """Return the entry at an offset, and the offset behind it."""
    try:
        body_hash, pack_bytes, header, length = _ENTRY.unpack_from(body, at)
    except struct.error as error:
        raise ObjectCorrupt("an index fragment is cut short") from error
    start = at + _ENTRY.size
    end = start + length + layout.TAIL_BYTES
    if end > len(body):
        raise ObjectCorrupt("an index fragment is cut short")
    tail = bytes(body[start + length : end])
    size = layout.body_bytes_of(header) + length + layout.TAIL_BYTES
    if size != pack_bytes or layout.footer_bytes_of(tail) != length:
        raise ObjectCorrupt("an index fragment has a pack whose parts do not fit each other")
    return FragmentEntry(body_hash, pack_bytes, header, bytes(body[start : start + length]), tail), end
