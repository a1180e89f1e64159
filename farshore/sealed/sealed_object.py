"""Sealed objects: the frame format of docs/reference/format.md, section 5, written as a stream and read at random.

A payload is cut into frames of one size, each sealed with its number and whether it is the last (the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015), so a truncated, extended or reordered object does not
open.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import IO, Protocol, TypeVar

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import limits
from farshore.crypto import TAG_BYTES, associated, derive_key
from farshore.errors import FormatTooNew, ObjectCorrupt, ObjectTooLarge

MAGIC = b"FSOB"
VERSION = 1
HEADER_BYTES = 56
INDEX_KEY_ID = bytes(16)
_FLAG_ZSTD = 1
_HEADER = struct.Struct("<4sBBBB16s32s")
Checked = TypeVar("Checked")
_SPAN_BYTES_MAX = 4 * limits.MIB  # of frames that are asked for at once


class SealedKind(IntEnum):
    """The kind of a sealed object."""

    MANIFEST = 1
    PAGES = 2
    CACHE = 7

    @property
    def frame_power(self) -> int:
        """The bytes of a frame as a power of two."""
        return limits.FRAME_POWER if self is SealedKind.CACHE else limits.MANIFEST_FRAME_POWER


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """The key of one sealed object. It opens nothing else: no other key follows from it, and none leads back."""

    salt: bytes  # the object's
    key: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes, repository_id: bytes, salt: bytes) -> ObjectKey:
        """Return the key of the object with this salt, from the data key or index key that seals it."""
        return cls(salt, derive_key(secret, "object", repository_id, salt))


Attempt = Callable[[bytes], bytes]
Secrets = Callable[[bytes], Callable[[Attempt], bytes]]  # by key id: tries each key on an attempt until one opens


def _nonce(frame: int, *, last: bool) -> bytes:
    return struct.pack(">Q3xB", frame, last)


class SealedWriter(io.RawIOBase):
    """A file-like object that seals what is written to it into `sink`; `finish()` ends it. One thread.

    Also hashes the sealed bytes, because the object is named by that.
    """

    def __init__(
        self,
        *,
        sink: IO[bytes],
        secret: bytes,
        key_id: bytes,
        salt: bytes,
        kind: SealedKind,
        name: str,
        repository_id: bytes,
        flags: int = 0,
    ) -> None:
        super().__init__()
        header = _HEADER.pack(MAGIC, VERSION, kind, flags, kind.frame_power, key_id, salt)
        self._header = header
        self._frame_bytes = 1 << kind.frame_power
        self._sink = sink
        self.key = ObjectKey.derive(secret, repository_id, salt)
        self._aead = AESGCM(self.key.key)
        self._associated = associated("object", repository_id, header, name.encode())
        self._pending = bytearray()
        self._frame = 0
        self._position = 0
        self._hash = blake3()
        self.sealed_bytes = 0
        self._emit(header)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # any bytes-like object
        view = memoryview(data).cast("B")
        self._pending += view
        self._position += len(view)
        at = 0
        while len(self._pending) - at > self._frame_bytes:  # the last frame is known only at the end
            self._seal(bytes(self._pending[at : at + self._frame_bytes]), last=False)
            at += self._frame_bytes
        del self._pending[:at]
        return len(view)

    def finish(self) -> str:
        """Seal the last frame and return BLAKE3-256 of the whole object as hex. The sink stays open."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()
        self._emit(self._header)
        return self._hash.hexdigest()

    def _seal(self, plain: bytes, *, last: bool) -> None:
        self._emit(self._aead.encrypt(_nonce(self._frame, last=last), plain, self._associated))
        self._frame += 1

    def _emit(self, data: bytes) -> None:
        self._sink.write(data)
        self._hash.update(data)
        self.sealed_bytes += len(data)


class Fetch(Protocol):
    """Reads sealed bytes for a reader."""

    def __call__(self, offset: int, length: int, check: Callable[[bytes], Checked], /) -> Checked:
        """Return the result of `check` on `length` bytes from `offset`; if it raises, another copy may be tried."""
        ...


class SealedReader(io.RawIOBase):
    """A seekable file-like view of a sealed object's payload; opens the last frame and those that are read. One thread.

    Args:
        fetch: Returns sealed bytes of the object, once they are found to be good.
        sealed_bytes: The object's size, from the commit or the store.
        secret: The data key or index key that seals it, or its own key; or how to try those of a key id.
        tail_bytes: About how much of the end to ask for at once.
    """

    def __init__(
        self,
        *,
        fetch: Fetch,
        sealed_bytes: int,
        secret: bytes | ObjectKey | Secrets,
        kind: SealedKind,
        name: str,
        repository_id: bytes,
        tail_bytes: int = 0,
    ) -> None:
        super().__init__()
        self._fetch, self._secret, self._kind, self._name = fetch, secret, kind, name
        self._repository_id = repository_id
        self._frame_bytes = 1 << kind.frame_power
        self._sealed_frame = self._frame_bytes + TAG_BYTES
        self._body = sealed_bytes - 2 * HEADER_BYTES
        self._frames = -(-self._body // self._sealed_frame)
        self._size = self._body - self._frames * TAG_BYTES
        if self._frames < 1 or self._size < 0:
            raise ObjectCorrupt(f"{name} is cut short")
        self._position = 0
        self._known: dict[bytes, Callable[[Callable[[bytes], bytes]], bytes]] = {}
        # The last frame alone knows that it is the last, so from here on the size is proven.
        first = max(min(self._frames - 1, (self._body - tail_bytes) // self._sealed_frame), 0)
        start = HEADER_BYTES + first * self._sealed_frame if first else 0  # with the other header, if it is near
        end = fetch(start, sealed_bytes - start, lambda data: self._of_length(data, sealed_bytes - start))
        try:
            self._cached = (first, self._open_end(first, end))
        except ObjectCorrupt:  # another copy may open
            plain = fetch(start, sealed_bytes - start, lambda data: self._open_end(first, data))
            self._cached = (first, plain)

    @property
    def compressed(self) -> bool:
        """Whether the payload is one zstd frame."""
        return bool(self._flags & _FLAG_ZSTD)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        parts: list[bytes | memoryview] = []
        while wanted:
            first, plain = self._span(wanted)
            at = self._position - first * self._frame_bytes
            part = memoryview(plain)[at : at + wanted]
            parts.append(part)
            self._position += len(part)
            wanted -= len(part)
        return b"".join(parts)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the buffer protocol
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _span(self, wanted: int) -> tuple[int, bytes]:
        """Return frames that begin with the one of the position, or before it; as many as are wanted, within bounds."""
        frame = self._position // self._frame_bytes
        held, plain = self._cached
        if held <= frame and self._position < held * self._frame_bytes + len(plain):
            return self._cached
        last = (self._position + min(wanted, _SPAN_BYTES_MAX) - 1) // self._frame_bytes
        last = min(last, self._frames - 1)
        start = frame * self._sealed_frame
        length = min((last + 1) * self._sealed_frame, self._body) - start
        opened = self._fetch(HEADER_BYTES + start, length, lambda sealed: self._decrypt(frame, sealed, length))
        self._cached = (frame, opened)
        return self._cached

    def _open_end(self, first: int, end: bytes) -> bytes:
        """Return the plain frames of the end of the object, which the header there says how to open."""
        header = end[-HEADER_BYTES:]
        if not first and self._of_length(end, self._body + 2 * HEADER_BYTES)[:HEADER_BYTES] != header:
            raise ObjectCorrupt(f"{self._name} has another header at its end")
        frames = end[0 if first else HEADER_BYTES : -HEADER_BYTES]
        self._flags = check_header(header, self._kind, self._name)
        self.key_id = key_id_of(header)
        if isinstance(self._secret, (bytes, ObjectKey)):
            return self._open_frames(self._secret, header, first, frames)
        if self.key_id not in self._known:
            self._known[self.key_id] = self._secret(self.key_id)
        return self._known[self.key_id](lambda secret: self._open_frames(secret, header, first, frames))

    def _open_frames(self, secret: bytes | ObjectKey, header: bytes, first: int, frames: bytes) -> bytes:
        salt = header[24:HEADER_BYTES]
        key = secret if isinstance(secret, ObjectKey) else ObjectKey.derive(secret, self._repository_id, salt)
        if key.salt != salt:
            raise ObjectCorrupt(f"{self._name} is another object than the one of this key")
        self.key = key
        self._aead = AESGCM(key.key)
        self._associated = associated("object", self._repository_id, header, self._name.encode())
        return self._decrypt(first, frames, self._body - first * self._sealed_frame)

    def _of_length(self, data: bytes, length: int) -> bytes:
        if len(data) != length:
            raise ObjectCorrupt(f"{self._name} is cut short")
        return data

    def _decrypt(self, frame: int, sealed: bytes, length: int) -> bytes:
        """Return the payload of adjacent frames from one on."""
        self._of_length(sealed, length)
        parts = []
        for number, start in enumerate(range(0, length, self._sealed_frame), frame):
            part = memoryview(sealed)[start : start + self._sealed_frame]
            try:
                nonce = _nonce(number, last=number == self._frames - 1)
                parts.append(self._aead.decrypt(nonce, part, self._associated))
            except (InvalidTag, ValueError) as error:
                said = f"{self._name} is damaged in frame {number}, or sealed with another key"
                raise ObjectCorrupt(said) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)


def check_header(header: bytes, kind: SealedKind, name: str) -> int:
    """Return the flags of a sealed object's header. Raises `ObjectCorrupt` or `FormatTooNew`."""
    if len(header) != HEADER_BYTES:
        raise ObjectCorrupt(f"{name} is cut short")
    magic, version, actual, flags, power, _, _ = _HEADER.unpack(header)
    if magic != MAGIC:
        raise ObjectCorrupt(f"{name} is not a sealed object")
    if version != VERSION:
        raise FormatTooNew(f"{name} has version {version}; this Farshore knows {VERSION}")
    if actual != kind or power != kind.frame_power:
        raise ObjectCorrupt(f"{name} is not a sealed {kind.name.lower()}")
    return int(flags)


def key_id_of(sealed: bytes) -> bytes:
    """Return the id of the key that a sealed object names in its header."""
    return sealed[8:24]


def seal_object(
    payload: bytes, *, secret: bytes, key_id: bytes, salt: bytes, kind: SealedKind, name: str, repository_id: bytes,
    compress: bool = False,
) -> bytes:  # fmt: skip
    """Return a small payload as a sealed object, decoded once again before it is returned."""
    sink = io.BytesIO()
    stored = zstandard.ZstdCompressor(level=3).compress(payload) if compress else payload
    writer = SealedWriter(
        sink=sink, secret=secret, key_id=key_id, salt=salt, kind=kind, name=name, repository_id=repository_id,
        flags=_FLAG_ZSTD if compress else 0,
    )  # fmt: skip
    writer.write(stored)
    writer.finish()
    sealed = sink.getvalue()
    if open_object(sealed, secret=secret, kind=kind, name=name, repository_id=repository_id) != payload:
        raise ObjectCorrupt(
            f"{name} does not decode to what was sealed",
            "Check this machine's memory, then run again; nothing was sent.",
        )
    return sealed


def _payload_bytes_max(kind: SealedKind) -> int:
    """Return the bytes that a compressed payload may have: much only in a file of this host."""
    return limits.CACHE_PAYLOAD_BYTES_MAX if kind is SealedKind.CACHE else limits.SMALL_OBJECT_BYTES_MAX


def open_object(sealed: bytes, *, secret: bytes, kind: SealedKind, name: str, repository_id: bytes) -> bytes:
    """Return the payload of a small sealed object.

    Raises:
        ObjectCorrupt: Damaged, of another kind, name or repository, or sealed with another key.
        ObjectTooLarge: Its payload would be larger once decompressed than that of any object of its kind.
    """
    view = memoryview(sealed)
    reader = SealedReader(
        fetch=lambda offset, length, check: check(bytes(view[offset : offset + length])), sealed_bytes=len(sealed),
        secret=secret, kind=kind, name=name, repository_id=repository_id, tail_bytes=0,
    )  # fmt: skip
    payload = reader.read()
    if not reader.compressed:
        return payload
    try:
        size, size_max = zstandard.frame_content_size(payload), _payload_bytes_max(kind)
        if size < 0:
            raise ObjectCorrupt(f"{name} does not declare its size")
        if size > size_max:  # before any of it is allocated
            raise ObjectTooLarge(f"{name} declares {size:,} bytes once decompressed, where at most {size_max:,} can be")
        return zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ObjectCorrupt(f"{name} does not decompress: {error}") from error
