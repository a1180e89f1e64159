"""A strict reader of the tar headers that PostgreSQL writes: POSIX ustar, with base-256 for large numbers. Pure.

Anything else is refused instead of guessed at: PostgreSQL writes no pax headers, no hard links and no long names (it
refuses a path of 100 bytes and more itself).
"""

from __future__ import annotations

from typing import Final

from farshore.errors import SourceCorrupt
from farshore.model import EntryKind, dataclass

BLOCK_BYTES: Final = 512
_CHECKSUM = slice(148, 156)
_KINDS = {b"0": EntryKind.FILE, b"\0": EntryKind.FILE, b"5": EntryKind.DIRECTORY, b"2": EntryKind.SYMLINK}


@dataclass(frozen=True, slots=True)
class TarMember:
    """One header. Only a file has a size above 0, and that many bytes follow, padded to `BLOCK_BYTES`."""

    name: bytes
    kind: EntryKind
    mode: int
    uid: int
    gid: int
    size: int
    mtime_s: int
    target: bytes = b""


def decode_header(block: bytes) -> TarMember | None:
    """Return the member that a header of `BLOCK_BYTES` announces, or None for the zeros that end an archive.

    Raises:
        SourceCorrupt: Not a header that PostgreSQL writes.
    """
    if len(block) != BLOCK_BYTES:
        raise SourceCorrupt(f"a tar header of {len(block)} bytes")
    if not any(block):
        return None
    said = _decode_number(block[_CHECKSUM])
    if said != sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" "):
        raise SourceCorrupt("a tar header does not match its checksum")
    kind = _KINDS.get(block[156:157])
    name = _decode_text(block[:100])
    if block[257:262] != b"ustar" or kind is None or not name:
        raise SourceCorrupt(f"a tar header of an unknown kind for {name!r}")
    size = _decode_number(block[124:136])
    if size < 0 or (size and kind is not EntryKind.FILE):
        raise SourceCorrupt(f"a tar header with an impossible size for {name!r}")
    prefix = _decode_text(block[345:500])
    return TarMember(
        name=prefix + b"/" + name if prefix else name,
        kind=kind,
        mode=_decode_number(block[100:108]) & 0o7777,
        uid=_decode_number(block[108:116]),
        gid=_decode_number(block[116:124]),
        size=size,
        mtime_s=_decode_number(block[136:148]),
        target=_decode_text(block[157:257]) if kind is EntryKind.SYMLINK else b"",
    )


def padding_bytes(size: int) -> int:
    """Return how many zeros follow a content of `size` bytes."""
    return -size % BLOCK_BYTES


def _decode_text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decode_number(field: bytes) -> int:
    if field[0] & 0x80:  # base-256, two's complement below the marker bit: files of 8 GiB and more
        return int.from_bytes(field, "big") - (1 << (8 * len(field) - 1)) if field[0] == 0x80 else -1
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError as error:
        raise SourceCorrupt(f"a tar header with the number {field!r}") from error
