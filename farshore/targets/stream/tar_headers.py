"""Entries as the headers of a pax archive, as GNU tar reads it. Pure.

tarfile makes the headers; here are the records of what it does not know: nanoseconds, extended attributes, ACLs, holes,
names that are no text. Owners are numbers alone, as a rescue system knows no names.
"""

from __future__ import annotations

import os
import struct
import tarfile
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from farshore.model import Entry, EntryKind

BLOCK_BYTES = tarfile.BLOCKSIZE
_TYPES = {
    EntryKind.FILE: tarfile.REGTYPE,
    EntryKind.DIRECTORY: tarfile.DIRTYPE,
    EntryKind.SYMLINK: tarfile.SYMTYPE,
    EntryKind.HARDLINK: tarfile.LNKTYPE,
    EntryKind.FIFO: tarfile.FIFOTYPE,
    EntryKind.CHARACTER_DEVICE: tarfile.CHRTYPE,
    EntryKind.BLOCK_DEVICE: tarfile.BLKTYPE,
}
_NS = 1_000_000_000
_ID_MAX = 0o7777777
_SIZE_MAX = 0o77777777777
_ACLS = {b"system.posix_acl_access": b"SCHILY.acl.access", b"system.posix_acl_default": b"SCHILY.acl.default"}
_ACL_HEAD = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_TAGS = {1: "user::", 2: "user:{}:", 4: "group::", 8: "group:{}:", 16: "mask::", 32: "other::"}


class NoPlaceInTar(Exception):
    """An entry that this format has no place for."""


def encode_header(entry: Entry, *, sparse_map: bytes = b"", data_bytes: int | None = None, number: int = 0) -> bytes:
    """Return all headers of an entry.

    Args:
        sparse_map: Of a file with holes, as `encode_sparse_map` makes it; it is part of the data in the archive.
        data_bytes: Length of the data besides the map; the size of the file where it is not given.
        number: Of the file with holes in this archive, for the name that a reader sees which does not know of holes.
    Raises:
        NoPlaceInTar: It is a socket, or a device with numbers that no header holds.
    """
    if entry.kind not in _TYPES:
        raise NoPlaceInTar(f"a tar has no place for a {entry.kind}")
    path = (entry.path + b"/" if entry.kind is EntryKind.DIRECTORY and entry.path else entry.path) or b"./"
    size = 0
    if entry.kind is EntryKind.FILE:
        size = (entry.size if data_bytes is None else data_bytes) + len(sparse_map)
    records = dict(_records(entry))
    if sparse_map:
        records |= {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"}
        records |= {b"GNU.sparse.name": path, b"GNU.sparse.realsize": b"%d" % entry.size}
        path = b"GNUSparseFile.0/%d" % number
    info = tarfile.TarInfo(_fit(records, b"path", path))
    info.linkname = _fit(records, b"linkpath", entry.target)
    info.type = _TYPES[entry.kind]
    info.mode = entry.mode
    info.uid = _number(records, b"uid", entry.uid, _ID_MAX)
    info.gid = _number(records, b"gid", entry.gid, _ID_MAX)
    info.size = _number(records, b"size", size, _SIZE_MAX)
    info.mtime = _time(records, entry.mtime_ns)
    if entry.kind in (EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE):
        info.devmajor, info.devminor = os.major(entry.rdev), os.minor(entry.rdev)
    try:
        header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    except ValueError as error:
        raise NoPlaceInTar(f"a tar has no place for it: {error}") from error
    return _extended(records) + header if records else header


def unfit_attributes(entry: Entry) -> list[bytes]:
    """Return the names of extended attributes that a pax header cannot name."""
    return [name for name, _ in entry.xattrs if _keyword(name) is None]


def encode_sparse_map(runs: npt.NDArray[np.int64], size: int) -> bytes:
    """Return the map of a file's data, padded to a block: GNU sparse format 1.0."""
    pairs = [(int(start), int(length)) for start, length in runs]
    if not pairs or sum(pairs[-1]) < size:
        pairs.append((size, 0))  # so that the hole at the end is there
    lines = [str(len(pairs)), *(str(figure) for pair in pairs for figure in pair)]
    text = ("\n".join(lines) + "\n").encode()
    return text + bytes(padding(len(text)))


def whole_blocks(runs: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Return runs of data made larger to whole blocks of the file, because GNU tar pads each of them in the archive."""
    if not len(runs):
        return runs
    starts = runs[:, 0] - runs[:, 0] % BLOCK_BYTES
    ends = np.minimum(-(-(runs[:, 0] + runs[:, 1]) // BLOCK_BYTES) * BLOCK_BYTES, size)
    apart = np.flatnonzero(starts[1:] > ends[:-1])
    firsts, lasts = np.concatenate(([0], apart + 1)), np.concatenate((apart, [len(runs) - 1]))
    return np.stack([starts[firsts], ends[lasts] - starts[firsts]], axis=1)


def next_block(offset: int) -> int:
    """Return where the first block begins that is not before an offset."""
    return offset + padding(offset)


def padding(length: int) -> int:
    """Return how many bytes are missing to a whole block."""
    return -length % BLOCK_BYTES


def _records(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    """Yield the attributes and ACLs of an entry as records of an extended header."""
    for name, value in entry.xattrs:
        keyword = _keyword(name)
        if keyword is not None:
            yield keyword, value
        if name in _ACLS and (text := _acl_text(value)):
            yield _ACLS[name], text.encode()


def _fit(records: dict[bytes, bytes], keyword: bytes, name: bytes) -> str:
    """Return the part of a name for the header; one that is too long, or other text than ASCII, is a record too.

    Bytes that are no UTF-8 get no record if the header holds them: readers use the bytes of a header as they are.
    """
    long = len(name) > tarfile.LENGTH_NAME
    if long or (not name.isascii() and _is_text(name)):
        records[keyword] = name
    return name[: tarfile.LENGTH_NAME].decode("utf-8", "surrogateescape")


def _number(records: dict[bytes, bytes], keyword: bytes, number: int, most: int) -> int:
    if 0 <= number <= most:
        return number
    records[keyword] = b"%d" % number
    return 0


def _time(records: dict[bytes, bytes], time_ns: int) -> int:
    """Return the seconds of a time; one with a fraction, or outside of what a header holds, is a record."""
    whole, part = divmod(abs(time_ns), _NS)
    if part or time_ns < 0 or whole > _SIZE_MAX:
        records[b"mtime"] = b"%s%d.%09d" % (b"-" if time_ns < 0 else b"", whole, part)
    return whole if time_ns >= 0 and whole <= _SIZE_MAX else 0


def _extended(records: dict[bytes, bytes]) -> bytes:
    """Return an extended header: values are bytes as they are, as GNU tar writes and reads them."""
    body = b"".join([_record(keyword, value) for keyword, value in records.items()])
    return _extended_head(len(body)) + body + bytes(padding(len(body)))


@lru_cache(maxsize=4096)  # most entries have nothing but a time there
def _extended_head(size: int) -> bytes:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def _record(keyword: bytes, value: bytes) -> bytes:
    """Return a record, which begins with its own length."""
    rest = len(keyword) + len(value) + 3  # a blank, an equals sign, the end of the line
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, keyword, value)


def _is_text(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _keyword(name: bytes) -> bytes | None:
    """Return an attribute's keyword, written as GNU tar writes it; None where the format has no way to name it."""
    if b"\x00" in name or b"\n" in name:
        return None
    return b"SCHILY.xattr." + name.replace(b"%", b"%25").replace(b"=", b"%3D")


def _acl_text(value: bytes) -> str:
    """Return an ACL as text with numbers for names, as `tar --acls` reads it; empty where it is not of that kind."""
    if len(value) < _ACL_HEAD.size or (len(value) - _ACL_HEAD.size) % _ACL_ENTRY.size:
        return ""
    lines = []
    for tag, rights, number in _ACL_ENTRY.iter_unpack(value[_ACL_HEAD.size :]):
        if tag not in _ACL_TAGS:
            return ""
        shown = "".join(letter if rights & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        lines.append(_ACL_TAGS[tag].format(number) + shown)
    return "\n".join(lines) + "\n"
