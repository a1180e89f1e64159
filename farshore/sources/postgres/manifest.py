"""Compare the files that arrived with the manifest that the server sends last. Pure but for the file it is given.

The server hashes each file while it sends it, so a byte changed on the way, a file left out or one too many is found
here. Per file it is CRC-32C, PostgreSQL's own default, because the alternative (SHA-256) makes the server's one sending
process the bottleneck: 0.3 GB/s where CRC-32C reaches 1.6 GB/s on the same machine. It guards the bytes only between
two memories, for seconds; in the repository each file has a keyed 256-bit hash. The manifest as a whole has SHA-256.

    { "PostgreSQL-Backup-Manifest-Version": 2,
    "System-Identifier": 7391...,                      (version 2, PostgreSQL 17 and later)
    "Files": [
    { "Path": "backup_label", "Size": 227, "Last-Modified": "...", "Checksum-Algorithm": "CRC32C", "Checksum": "..." },
    ...],
    "WAL-Ranges": [ { "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" } ],
    "Manifest-Checksum": "..."}

It is read line by line, because a cluster may have a million files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from farshore.errors import SourceCorrupt, SourceUnsupported
from farshore.sources.postgres.wal import WalRange, decode_lsn

CHECKSUM_ALGORITHM = "CRC32C"
_VERSIONS = (1, 2)
_CHECKSUM_LINE = b'"Manifest-Checksum"'
_FILE_PREFIXES = (b'{ "Path"', b'{ "Encoded-Path"')
_FINGERPRINT_BYTES = 16  # a million files use 100 MB of memory, and no two of them share one


@dataclass(slots=True)
class ManifestCheck:
    """Collects a fingerprint (path, size, checksum) of each file, and removes those that the manifest lists."""

    _seen: set[bytes] = field(default_factory=set)

    def add(self, path: bytes, size: int, crc32c: int) -> None:
        """Remember a file whose content has been seen to its end."""
        self._seen.add(_fingerprint(path, size, crc32c))

    def check(self, manifest: IO[bytes], system_identifier: int) -> list[WalRange]:
        """Check the manifest itself and everything it lists; return the WAL that the backup needs.

        Raises:
            SourceCorrupt: The manifest is damaged, or a file is missing, unlisted or not as listed.
            SourceUnsupported: A version of the manifest that is not known here.
        """
        ranges: list[WalRange] = []
        files = 0
        order = ""
        for line in _checked_lines(manifest):
            if line.startswith(_FILE_PREFIXES):
                path, size, checksum = _decode_file(line)
                order = order or self._find_order(path, size, checksum)
                fingerprint = _fingerprint(path, size, _decode_crc(checksum, order))
                if fingerprint not in self._seen:
                    raise SourceCorrupt(f"{path!r} is missing or not as the server's manifest lists it")
                self._seen.remove(fingerprint)
                files += 1
            elif line.startswith(b'{ "Timeline"'):
                ranges.append(_decode_range(line))
            else:
                _check_line(line, system_identifier)
        if self._seen:
            raise SourceCorrupt(f"{len(self._seen)} files arrived that the server's manifest does not list")
        if not files or not ranges:
            raise SourceCorrupt("the server's manifest lists no file or no WAL")
        return ranges

    def _find_order(self, path: bytes, size: int, checksum: bytes) -> str:
        """Return the byte order of the server, which writes checksums in the order of its memory.

        A checksum that reads the same both ways, as that of an empty file, decides nothing yet.
        """
        if checksum == checksum[::-1]:
            return ""
        return "big" if _fingerprint(path, size, _decode_crc(checksum, "big")) in self._seen else "little"


def _fingerprint(path: bytes, size: int, crc32c: int) -> bytes:
    text = b"%s\0%d\0%d" % (path, size, crc32c)
    return hashlib.blake2b(text, digest_size=_FINGERPRINT_BYTES).digest()


def _checked_lines(manifest: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines that the manifest's checksum covers, and end by comparing it."""
    digest = hashlib.sha256()
    for line in manifest:
        if line.startswith(_CHECKSUM_LINE):
            said = _decode_json(b"{" + line).get("Manifest-Checksum")
            if said != digest.hexdigest() or manifest.read(1):
                raise SourceCorrupt("the server's manifest does not match its own checksum")
            return
        digest.update(line)
        yield line.strip().rstrip(b",")
    raise SourceCorrupt("the server's manifest ends without its checksum")


def _check_line(line: bytes, system_identifier: int) -> None:
    if line.startswith(b'{ "PostgreSQL-Backup-Manifest-Version"'):
        version = _decode_json(line + b"}").get("PostgreSQL-Backup-Manifest-Version")
        if version not in _VERSIONS:
            raise SourceUnsupported(f"version {version} of PostgreSQL's backup manifest is not known")
    elif line.startswith(b'"System-Identifier"'):
        if _decode_json(b"{" + line + b"}").get("System-Identifier") != system_identifier:
            raise SourceCorrupt("the manifest belongs to another cluster than the one that was asked")
    elif line not in (b'"Files": [', b'"WAL-Ranges": [', b"]", b""):
        raise SourceUnsupported(f"PostgreSQL's backup manifest holds something unknown: {line[:80]!r}")


def _decode_file(line: bytes) -> tuple[bytes, int, bytes]:
    record = _decode_json(line)
    try:
        if record["Checksum-Algorithm"] != CHECKSUM_ALGORITHM:
            raise SourceUnsupported(f"the manifest uses the checksum {record['Checksum-Algorithm']!r}")
        encoded = record.get("Encoded-Path")
        path = str(record["Path"]).encode() if encoded is None else bytes.fromhex(str(encoded))
        return path, int(str(record["Size"])), bytes.fromhex(str(record["Checksum"]))
    except (KeyError, ValueError) as error:
        raise SourceCorrupt(f"a line of the server's manifest cannot be read: {line[:80]!r}") from error


def _decode_range(line: bytes) -> WalRange:
    record = _decode_json(line)
    try:
        start, end = decode_lsn(str(record["Start-LSN"])), decode_lsn(str(record["End-LSN"]))
        return WalRange(timeline=int(str(record["Timeline"])), start=start, end=end)
    except (KeyError, ValueError) as error:
        raise SourceCorrupt(f"a line of the server's manifest cannot be read: {line[:80]!r}") from error


def _decode_crc(checksum: bytes, order: str) -> int:
    return int.from_bytes(checksum, "big" if order == "big" else "little")


def _decode_json(text: bytes) -> dict[str, object]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise SourceCorrupt(f"a line of the server's manifest cannot be read: {text[:80]!r}") from error
    if not isinstance(record, dict):
        raise SourceCorrupt(f"a line of the server's manifest cannot be read: {text[:80]!r}")
    return record
