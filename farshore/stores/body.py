"""Bodies of puts as bytes and pieces, and the answer to "the name exists: are these the same bytes?"."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from farshore.errors import ObjectNotFound, StoreConflict, StoreFull, StoreUnavailable
from farshore.limits import BODY_PIECE_BYTES, COMPARE_BYTES_MAX, SENT_BYTES
from farshore.stores.base import Body, ObjectInfo, PacedBody, PutOutcome, Store, body_bytes, plain, readable
from farshore.stores.object_retention import ObjectRetention


def body_pieces(body: Body, piece_bytes: int = BODY_PIECE_BYTES) -> Iterator[bytes | memoryview]:
    """Yield a body in pieces of `piece_bytes`, the last one shorter; memory is copied only from a file.

    Its pace is not kept: this is for hashing and comparing.
    """
    body = plain(body)
    if isinstance(body, Path):
        yield from _file_pieces(body, piece_bytes)
        return
    view = memoryview(body).cast("B").toreadonly()
    for start in range(0, len(view), piece_bytes):
        yield view[start : start + piece_bytes]


def sent_pieces(body: Body, piece_bytes: int = BODY_PIECE_BYTES) -> Iterator[bytes | memoryview]:
    """Yield a body in pieces for sending: at its pace where it has one, and then in smaller ones."""
    if not isinstance(body, PacedBody):
        yield from body_pieces(body, piece_bytes)
        return
    for piece in body_pieces(body, min(piece_bytes, body.piece_bytes)):
        body.consume(len(piece))
        yield piece


def _file_pieces(path: Path, piece_bytes: int) -> Iterator[bytes]:
    with readable(path), path.open("rb", buffering=0) as file:
        while piece := file.read(piece_bytes):
            yield piece


class PacedReader(io.RawIOBase):
    """A file that gives its bytes at the pace of a body, for SDKs that send what they read.

    Only a reader that was started waits: an SDK may read a body first to sign it, and then sends what it reads again.
    """

    def __init__(self, file: IO[bytes], paced: PacedBody) -> None:
        super().__init__()
        self._file = file
        self._paced = paced
        self._is_started = False

    def start(self) -> None:
        """Keep the pace from here on."""
        self._is_started = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        if not self._is_started:
            return self._file.read(-1 if size is None else size)
        most = self._paced.piece_bytes
        data = self._file.read(most if size is None or size < 0 else min(size, most))
        self._paced.consume(len(data))
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class _ViewFile(io.RawIOBase):
    """Memory as a file that gives views of itself: a pack is not copied to be sent."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        self._at = min(max(start + offset, 0), len(self._view))
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> memoryview:  # as good as bytes for sending
        start, end = self._at, len(self._view)
        self._at = end if size is None or size < 0 else min(start + size, end)
        return self._view[start : self._at]

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._view = memoryview(b"")  # or a reference to the file keeps a pack in memory
        super().close()


class _BodyFile(io.FileIO):
    """A file for an SDK to read from, whose errors cannot be confused with the store's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path):
            super().__init__(path)

    def read(self, size: int | None = -1) -> bytes:
        with readable(self._path):
            return super().read(-1 if size is None else size) or b""


def open_body(body: Body) -> IO[bytes]:
    """Return a body as a file that can be read and rewound; memory is not copied. Its pace is not kept.

    Of a view it reads views, which all hashes and senders accept.
    """
    body = plain(body)
    if isinstance(body, Path):
        return _BodyFile(body)
    if isinstance(body, bytes):
        return io.BytesIO(body)
    return _ViewFile(memoryview(body).cast("B").toreadonly())  # type: ignore[return-value] # a file in all that SDKs use


def in_pieces(body: Any, count: Callable[[int], None]) -> Any:
    """Return the body of a request as a file where it is bytes of some size; what is sent of it is counted.

    A socket's time-out is for one call of `sendall`: all bytes of the call must be sent before it expires, and on a
    slow line those of a pack are not. A file is sent piece by piece, and each has that time.
    """
    if isinstance(body, bytes | bytearray | memoryview) and len(body) > SENT_BYTES:
        return CountedFile(open_body(body), count)
    return counted(body, count)


class CountedFile:
    """A file that is sent, and reports what is read of it. Whatever else is asked of it, the file answers."""

    def __init__(self, file: Any, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int | None = -1) -> Any:
        """Return the next bytes, counted."""
        data = self._file.read(size)
        self._count(len(data))
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes, counted."""
        length = int(self._file.readinto(buffer))
        self._count(length)
        return length

    def __iter__(self) -> Iterator[Any]:
        while data := self.read(SENT_BYTES):
            yield data

    def __enter__(self) -> CountedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def counted(body: Any, count: Callable[[int], None]) -> Any:
    """Return the body of a request so that what is sent of it is counted: a file by pieces, bytes at once."""
    if hasattr(body, "read"):
        return CountedFile(body, count)
    if isinstance(body, bytes | bytearray | memoryview):
        count(len(body))
    return body


def as_sent(body: Body) -> bytes | IO[bytes]:
    """Return a body for an SDK to send: `bytes` as they are, else a file; a `PacedReader` where it has a pace.

    Close what is not bytes. So nothing is held in memory once more to be sent.
    """
    if isinstance(body, PacedBody):
        return PacedReader(open_body(body), body)  # type: ignore[return-value] # a file in all that SDKs use of one
    return body if isinstance(body, bytes) else open_body(body)


def as_bytes(body: Body) -> bytes:
    """Return a body as `bytes`: the same object where it is one already, for SDKs that accept nothing else."""
    body = plain(body)
    if isinstance(body, bytes):
        return body
    if isinstance(body, Path):
        with readable(body):
            return body.read_bytes()
    if isinstance(body, memoryview) and isinstance(body.obj, bytes) and body.nbytes == len(body.obj):
        return body.obj
    return bytes(body)


def check_size(store: Store, name: str, body: Body) -> None:
    """Raise `StoreFull` for a body that is larger than any object of this kind of store can be."""
    size, size_max = body_bytes(body), store.capabilities.object_bytes_max
    if size > size_max:
        raise StoreFull(
            f"put {store.url}/{name}: it has {size:,} bytes, and an object has at most {size_max:,} at a store of the "
            f"kind {store.capabilities.kind}",
            "Back it up as several smaller sources: the objects that describe a source grow with it.",
        )


def put_once(
    store: Store,
    put_if_absent: Callable[[str, Body, ObjectRetention], PutOutcome],
    name: str,
    body: Body,
    retention: ObjectRetention,
) -> PutOutcome:
    """Put a body under a name that is free, or extend the lock of the same bytes there.

    Raises:
        StoreFull: The body is larger than any object of this kind of store.
        FarshoreError: As `put_if_absent` and `Store.extend_lock` raise.
    """
    check_size(store, name, body)
    outcome = put_if_absent(name, body, retention)
    if outcome is PutOutcome.PRESENT and retention.lock is not None:
        store.extend_lock(name, retention.lock)  # its writer may have locked it for less
    return outcome


def look_ahead(store: Store, name: str) -> ObjectInfo | None:
    """Return the object of a name that is in use, so that no large body is sent in vain: its condition counts last."""
    try:
        return store.head(name)
    except ObjectNotFound:
        return None


def compare_present(
    store: Store,
    name: str,
    body: Body,
    digest: Callable[[Body], str] | None = None,
    found: ObjectInfo | None = None,
) -> PutOutcome:
    """Answer a put whose name exists: PRESENT if the object there has the same bytes.

    Sizes first; then the provider's checksum when the object is large and `digest` computes the same kind; else bytes.

    Args:
        digest: Computes a body's checksum as the store's `head` reports it (`algorithm:hex`).
        found: The object as a look just now found it; None: look.
    Raises:
        StoreConflict: Other bytes are there.
        StoreUnavailable: The object was gone again, or changed its size; a retry finds out.
    """
    size = body_bytes(body)
    try:
        info = found or store.head(name)
        if info.size != size:
            raise conflict(store, name)
        if digest is not None and size > COMPARE_BYTES_MAX and info.checksum:
            mine = digest(body)
            if mine.partition(":")[0] == info.checksum.partition(":")[0]:
                if mine != info.checksum:
                    raise conflict(store, name)
                return PutOutcome.PRESENT
        offset = 0
        for piece in body_pieces(body):
            if store.get(name, offset, len(piece)) != piece:
                raise conflict(store, name)
            offset += len(piece)
    except ObjectNotFound as error:
        raise StoreUnavailable(f"{store.url}/{name} was there for a put and is not there to be read") from error
    return PutOutcome.PRESENT


def conflict(store: Store, name: str) -> StoreConflict:
    """Return the error of a name that holds other bytes."""
    return StoreConflict(f"{store.url}/{name} exists with other bytes")
