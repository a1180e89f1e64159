from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import Bug, SourceCorrupt
from farshore.limits import STREAM_PIECE_BYTES
from farshore.sources.postgres.stream import BackupStream

MANIFEST = b"{ the manifest }"
ARCHIVES = {
    "16385.tar": {"PG_18_202506291/5/16400": b"\1" * 8192},
    "base.tar": {
        "backup_label": b"label",
        "empty": b"",
        "large": random.Random(1).randbytes(3 * STREAM_PIECE_BYTES + 5),
    },
}


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        end = archive.offset
    return buffer.getvalue()[:end] + bytes(1024)  # tarfile fills up to 10 KiB, PostgreSQL does not


def messages(cuts: random.Random | None = None, archives: dict[str, dict[str, bytes]] = ARCHIVES) -> list[bytes]:
    """The stream of a server, cut into messages anywhere."""
    found: list[bytes] = []

    def data(content: bytes) -> None:
        position = 0
        while position < len(content):
            size = cuts.choice([1, 100, 512, 5000, 32768]) if cuts else 32768
            found.append(b"d" + content[position : position + size])
            position += size
        found.append(b"p" + bytes(8))

    for name, files in archives.items():
        found.append(b"n" + name.encode() + b"\0" + b"/srv/space\0")
        data(tar_of(files))
    found.append(b"m")
    data(MANIFEST)
    return found


def stream(raw: list[bytes]) -> BackupStream:
    return BackupStream(memoryview(message) for message in raw)


def read(reader: BackupStream) -> tuple[dict[str, dict[str, bytes]], bytes]:
    archives = {
        name: {
            member.name.decode(): b"".join(reader.content(member.size)) if member.size else b""
            for member in reader.members()
        }
        for name in reader.archives()
    }
    return archives, b"".join(bytes(part) for part in reader.manifest())


@given(st.integers())
def test_where_messages_are_cut_means_nothing(seed: int) -> None:
    small = {"base.tar": {"backup_label": b"label", "empty": b"", "odd": b"x" * 700}}
    assert read(stream(messages(random.Random(seed), small))) == (small, MANIFEST)


def test_pieces_are_joined_but_not_beyond_their_limit() -> None:
    assert read(stream(messages())) == (ARCHIVES, MANIFEST)
    reader = stream(messages())
    sizes = [
        [len(piece) for piece in reader.content(member.size)]
        for _ in reader.archives()
        for member in reader.members()
        if member.size
    ]
    assert sizes[-1] == [STREAM_PIECE_BYTES] * 3 + [5]


def test_unread_content_is_a_bug() -> None:
    reader = stream(messages())
    next(reader.archives())
    members = reader.members()
    member = next(members)
    with pytest.raises(Bug, match="left unread"):
        next(members)
    assert member.size


def test_partly_read_content_is_a_bug() -> None:
    reader = stream(messages(archives={"base.tar": {"large": bytes(2 * STREAM_PIECE_BYTES)}}))
    next(reader.archives())
    members = reader.members()
    next(reader.content(next(members).size))
    with pytest.raises(Bug, match="left unread"):
        next(members)


def cut_tail(raw: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    start = next(i for i, message in enumerate(raw) if message[:1] == b"m")
    yield "nothing", []
    yield "no manifest", raw[:start]
    yield "cut in an archive", raw[: start // 2]
    yield "no trailer", [*raw[: start - 2], raw[start - 2][:-1024], *raw[start - 1 :]]
    yield "half a trailer", [*raw[: start - 2], raw[start - 2][:-512], *raw[start - 1 :]]
    yield "data behind the end", [*raw[:start], b"d" + bytes(512), *raw[start:]]
    yield "unknown message", [raw[0], b"z", *raw[1:]]
    yield "data before an archive", [b"d" + bytes(512), *raw]
    yield "archive behind the manifest", [*raw, raw[0]]


CUTS = dict(cut_tail(messages()))


@pytest.mark.parametrize("damage", CUTS)
def test_a_stream_that_is_not_whole_is_refused(damage: str) -> None:
    with pytest.raises(SourceCorrupt):
        read(stream(CUTS[damage]))
