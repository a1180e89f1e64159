from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import SourceCorrupt
from farshore.model import EntryKind
from farshore.sources.postgres.tar import BLOCK_BYTES, TarMember, decode_header, padding_bytes

KINDS = {EntryKind.FILE: tarfile.REGTYPE, EntryKind.DIRECTORY: tarfile.DIRTYPE, EntryKind.SYMLINK: tarfile.SYMTYPE}


def header(name: str = "base/1/1259", kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.USTAR_FORMAT if info.size < 8**11 else tarfile.GNU_FORMAT)[:BLOCK_BYTES]


def large(size: int) -> bytes:
    """A header as PostgreSQL writes one for a file of 8 GiB and more: ustar with a base-256 size."""
    block = bytearray(header(size=0))
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@given(
    st.sampled_from(list(KINDS)),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=90),
    st.integers(0, 0o7777),
    st.integers(0, 2**21 - 1),
    st.integers(0, 8**11 - 1),
    st.integers(0, 8**11 - 1),
)
def test_headers_of_another_writer_are_read_back(
    kind: EntryKind, name: str, mode: int, owner: int, size: int, mtime_s: int
) -> None:
    size = size if kind is EntryKind.FILE else 0
    target = "/srv/space" if kind is EntryKind.SYMLINK else ""
    block = header(name, KINDS[kind], mode=mode, uid=owner, gid=owner, size=size, mtime=mtime_s, linkname=target)
    found = decode_header(block)
    assert found is not None
    assert found.name.rstrip(b"/") == name.encode()
    wanted = TarMember(found.name, kind, mode, owner, owner, size, mtime_s, target.encode())
    assert found == wanted


def test_long_paths_are_split_in_two_fields() -> None:
    name = "/".join(["d" * 60, "e" * 60, "f" * 60])
    found = decode_header(header(name))
    assert found is not None
    assert found.name == name.encode()


@pytest.mark.parametrize("size", [8**11, 2**40 + 513])
def test_large_sizes_are_base_256(size: int) -> None:
    found = decode_header(large(size))
    assert found is not None
    assert found.size == size


def test_zeros_end_an_archive() -> None:
    assert decode_header(bytes(BLOCK_BYTES)) is None


@given(st.integers(0, BLOCK_BYTES - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_changes_nothing(position: int, flip: int) -> None:
    block = bytearray(header(size=8192))
    whole = decode_header(bytes(block))
    block[position] ^= flip
    try:
        found = decode_header(bytes(block))
    except SourceCorrupt:
        return
    assert found == whole  # the checksum's own field has more than one spelling of a number


@pytest.mark.parametrize(
    "block",
    [
        header(kind=tarfile.LNKTYPE),
        header(kind=tarfile.XHDTYPE),
        header(kind=tarfile.GNUTYPE_LONGNAME),
        header(kind=tarfile.DIRTYPE, size=5),
        header(kind=tarfile.FIFOTYPE),
        b"x" * BLOCK_BYTES,
        header()[:100],
    ],
    ids=["hard link", "pax", "gnu long name", "directory with size", "pipe", "noise", "short"],
)
def test_what_postgresql_never_writes_is_refused(block: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        decode_header(block)


@given(st.integers(0, 10_000))
def test_padding_fills_blocks(size: int) -> None:
    assert (size + padding_bytes(size)) % BLOCK_BYTES == 0
    assert 0 <= padding_bytes(size) < BLOCK_BYTES


def test_a_whole_archive_of_another_writer() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("PG_VERSION")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"18\n"))
    found = decode_header(buffer.getvalue()[:BLOCK_BYTES])
    assert found is not None
    assert (found.name, found.size) == (b"PG_VERSION", 3)
