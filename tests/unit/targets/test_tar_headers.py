"""Headers that hold what ustar cannot: read again by tarfile, which knows pax and GNU's holes."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from farshore.model import Entry, EntryKind
from farshore.targets.stream.tar_headers import NoPlaceInTar, encode_header, encode_sparse_map

NS = 1_000_000_000


def read_back(header: bytes) -> tarfile.TarInfo:
    file = io.BytesIO(header + bytes(1024))
    with tarfile.open(fileobj=file, encoding="utf-8", errors="surrogateescape") as archive:
        found = archive.next()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"size": 9 << 30}, {"size": 9 << 30}),
        ({"uid": 3_000_000, "gid": 4_294_967_294}, {"uid": 3_000_000, "gid": 4_294_967_294}),
        ({"mtime_ns": 5 * NS + 250_000_000}, {"mtime": 5.25}),
        ({"mtime_ns": -1_750_000_000}, {"mtime": -1.75}),
        ({"mtime_ns": 9_000_000_000 * NS}, {"mtime": 9_000_000_000.0}),
        ({"mode": 0o4751}, {"mode": 0o4751}),
        ({"uid": 1000, "user": "ada", "group": "staff"}, {"uid": 1000, "uname": "", "gname": ""}),
    ],
)
def test_numbers_of_any_size(facts: dict[str, object], expected: dict[str, object]) -> None:
    entry = Entry(b"f", EntryKind.FILE)._replace(**facts)  # type: ignore[arg-type]
    found = read_back(encode_header(entry))
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "path",
    [
        b"a",
        b"caf\xe9",
        "\u00fcml\u00e4ut".encode(),
        b"x" * 255,
        b"d/" * 200 + b"f",
        b"\xff" * 150,
        b"new\nline",
        b"a=b",
    ],
)
def test_names_of_any_bytes_and_length(path: bytes) -> None:
    found = read_back(encode_header(Entry(path, EntryKind.SYMLINK, target=path)))
    assert found.name.encode("utf-8", "surrogateescape") == path
    assert found.linkname.encode("utf-8", "surrogateescape") == path


def test_attributes_are_bytes_and_named_as_gnu_tar_names_them() -> None:
    xattrs = ((b"user.a=b%c", b"\x00\xff="), (b"user.plain", b""))
    found = read_back(encode_header(Entry(b"f", EntryKind.FILE, xattrs=xattrs)))
    assert found.pax_headers["SCHILY.xattr.user.a%3Db%25c"].encode("utf-8", "surrogateescape") == b"\x00\xff="
    assert found.pax_headers["SCHILY.xattr.user.plain"] == ""


def test_the_root_and_directories_end_in_a_slash() -> None:
    assert encode_header(Entry(b"", EntryKind.DIRECTORY)).startswith(b"./\x00")
    assert encode_header(Entry(b"d", EntryKind.DIRECTORY)).startswith(b"d/\x00")


def test_a_file_with_holes_has_its_name_and_its_size() -> None:
    runs = np.array([[4096, 10]], np.int64)
    sparse_map = encode_sparse_map(runs, 1 << 40)
    assert sparse_map.startswith(b"2\n4096\n10\n1099511627776\n0\n")
    entry = Entry(b"d/disk", EntryKind.FILE, size=1 << 40)
    header = encode_header(entry, sparse_map=sparse_map, data_bytes=10, number=7)
    found = read_back(header + sparse_map)
    assert (found.name, found.size, found.issparse()) == ("d/disk", 1 << 40, True)


def test_what_has_no_place() -> None:
    with pytest.raises(NoPlaceInTar, match="socket"):
        encode_header(Entry(b"s", EntryKind.SOCKET))
    with pytest.raises(NoPlaceInTar):
        encode_header(Entry(b"d", EntryKind.BLOCK_DEVICE, rdev=0xFFFFFFFFFFFFFFFF))
