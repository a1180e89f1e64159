from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable

import google_crc32c
import pytest

from farshore.errors import FarshoreError, SourceCorrupt, SourceUnsupported
from farshore.sources.postgres.manifest import ManifestCheck
from farshore.sources.postgres.wal import WalRange

SYSTEM = 7391234567890123456
FILES = {b"backup_label": b"START WAL LOCATION", b"base/5/1259": b"\0" * 8192, b"odd\xff\n": b"", b'quo"te': b"x"}


def line(path: bytes, content: bytes, order: str = "little") -> str:
    try:
        name = f'"Path": {json.dumps(path.decode())}'
    except UnicodeDecodeError:
        name = f'"Encoded-Path": "{path.hex()}"'
    checksum = google_crc32c.value(content).to_bytes(4, "big" if order == "big" else "little").hex()
    return (
        f'{{ {name}, "Size": {len(content)}, "Last-Modified": "2026-01-01 00:00:00 GMT", '
        f'"Checksum-Algorithm": "CRC32C", "Checksum": "{checksum}" }}'
    )


def manifest(
    files: dict[bytes, bytes] = FILES,
    *,
    version: int = 2,
    order: str = "little",
    ranges: str = '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }',
    change: Callable[[str], str] = lambda text: text,
) -> bytes:
    """A manifest as the server lays it out; `change` is applied before its checksum is made."""
    system = f'"System-Identifier": {SYSTEM},\n' if version > 1 else ""
    listed = ",\n".join(line(path, content, order) for path, content in files.items())
    text = (
        f'{{ "PostgreSQL-Backup-Manifest-Version": {version},\n{system}"Files": [\n{listed}\n],\n'
        f'"WAL-Ranges": [\n{ranges}\n],\n'
    )
    body = change(text).encode()
    return body + f'"Manifest-Checksum": "{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def check(raw: bytes, seen: dict[bytes, bytes] = FILES) -> list[WalRange]:
    found = ManifestCheck()
    for path, content in seen.items():
        found.add(path, len(content), google_crc32c.value(content))
    return found.check(io.BytesIO(raw), SYSTEM)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["little", "big"])
def test_what_arrived_is_what_is_listed(version: int, order: str) -> None:
    assert check(manifest(version=version, order=order)) == [WalRange(1, 0x2000028, 0x2000100)]


@pytest.mark.parametrize("order", ["little", "big"])
def test_an_empty_file_first_does_not_tell_the_byte_order(order: str) -> None:
    files = {b"base/5/16411": b"", **FILES}
    assert check(manifest(files, order=order), files)


def test_two_timelines() -> None:
    ranges = (
        '{ "Timeline": 3, "Start-LSN": "0/3000000", "End-LSN": "0/3000100" },\n'
        '{ "Timeline": 2, "Start-LSN": "0/2000028", "End-LSN": "0/3000000" }'
    )
    assert [wal.timeline for wal in check(manifest(ranges=ranges))] == [3, 2]


def flipped(position: int) -> bytes:
    raw = bytearray(manifest())
    raw[position] ^= 1
    return bytes(raw)


@pytest.mark.parametrize("position", range(0, len(manifest()) - 2, 7))
def test_any_changed_byte_of_the_manifest_is_found(position: int) -> None:
    with pytest.raises((SourceCorrupt, SourceUnsupported)):
        check(flipped(position))


@pytest.mark.parametrize("length", [0, 1, 100, len(manifest()) - 2, len(manifest()) - 90])
def test_a_cut_manifest_is_found(length: int) -> None:
    with pytest.raises((SourceCorrupt, SourceUnsupported)):
        check(manifest()[:length])


@pytest.mark.parametrize(
    "seen",
    [
        {**FILES, b"base/5/1259": b"\0" * 8191 + b"\1"},
        {**FILES, b"base/5/1259": b"\0" * 4096},
        {path: content for path, content in FILES.items() if path != b"backup_label"},
        {**FILES, b"base/5/9999": b"unlisted"},
        {(b"renamed" if path == b"base/5/1259" else path): content for path, content in FILES.items()},
    ],
    ids=["other byte", "short", "missing", "unlisted", "renamed"],
)
def test_what_arrived_otherwise_is_found(seen: dict[bytes, bytes]) -> None:
    with pytest.raises(SourceCorrupt):
        check(manifest(), seen)


def test_a_file_listed_twice_is_found() -> None:
    doubled = manifest(change=lambda text: text.replace('"Files": [\n', f'"Files": [\n{line(b"x", b"x")},\n'))
    with pytest.raises(SourceCorrupt):
        check(doubled)


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (SourceCorrupt, lambda text: text.replace(str(SYSTEM), str(SYSTEM + 1))),
        (SourceUnsupported, lambda text: text.replace('Version": 2', 'Version": 3')),
        (SourceUnsupported, lambda text: text.replace("CRC32C", "SHA256")),
        (SourceUnsupported, lambda text: text.replace('"Files": [', '"Extra": 1,\n"Files": [')),
        (SourceCorrupt, lambda text: text.replace('"Size": 18', '"Size": "x"')),
        (SourceCorrupt, lambda text: text.replace('"Timeline": 1', '"Timeline": null')),
        (SourceCorrupt, lambda text: text[: text.index('"WAL-Ranges"')]),
    ],
    ids=["other cluster", "newer", "other checksum", "unknown part", "no size", "no timeline", "no WAL"],
)
def test_unfit_manifests(error: type[FarshoreError], change: Callable[[str], str]) -> None:
    with pytest.raises(error):
        check(manifest(change=change))
