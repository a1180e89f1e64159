"""Bodies of puts as bytes and pieces, and the answer to "the name is taken: are these the same bytes?"."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from farshore.errors import Bug, ObjectNotFound, StoreConflict, StoreUnavailable
from farshore.limits import COMPARE_BYTES_MAX, READ_BYTES
from farshore.stores.base import Body, PutOutcome, Store


def body_bytes(body: Body) -> int:
    """Return how many bytes a body has."""
    if isinstance(body, Path):
        with _readable(body):
            return body.stat().st_size
    return body.nbytes if isinstance(body, memoryview) else len(body)


def body_pieces(body: Body, piece_bytes: int = READ_BYTES) -> Iterator[bytes | memoryview]:
    """Yield a body in pieces of `piece_bytes`, the last one shorter; memory is copied only from a file."""
    if isinstance(body, Path):
        yield from _file_pieces(body, piece_bytes)
        return
    view = memoryview(body).cast("B").toreadonly()
    for start in range(0, len(view), piece_bytes):
        yield view[start : start + piece_bytes]


def _file_pieces(path: Path, piece_bytes: int) -> Iterator[bytes]:
    with _readable(path), path.open("rb", buffering=0) as file:
        while piece := file.read(piece_bytes):
            yield piece


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Keep trouble with our own file apart from trouble with the store: one is no reason to give up the other."""
    try:
        yield
    except OSError as error:
        raise Bug(f"a file made for upload cannot be read: {path}: {(error.strerror or str(error)).lower()}") from error


class _BodyFile(io.FileIO):
    """A file for an SDK to read from, whose errors cannot be taken for the store's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _readable(path):
            super().__init__(path)

    def read(self, size: int | None = -1) -> bytes:
        with _readable(self._path):
            return super().read(-1 if size is None else size) or b""


def open_body(body: Body) -> IO[bytes]:
    """Return a body as a file that can be read and rewound; `bytes` are not copied."""
    return _BodyFile(body) if isinstance(body, Path) else io.BytesIO(as_bytes(body))


def as_bytes(body: Body) -> bytes:
    """Return a body as `bytes`: the same object where it is one already, for SDKs that take nothing else."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, Path):
        with _readable(body):
            return body.read_bytes()
    if isinstance(body, memoryview) and isinstance(body.obj, bytes) and body.nbytes == len(body.obj):
        return body.obj
    return bytes(body)


def compare_present(store: Store, name: str, body: Body, digest: Callable[[Body], str] | None = None) -> PutOutcome:
    """Answer a put that found its name taken: PRESENT if the object there has the same bytes.

    Sizes first; then the provider's checksum when the object is large and `digest` computes the same kind; else bytes.

    Args:
        digest: Computes a body's checksum as the store's `head` reports it (`algorithm:hex`).
    Raises:
        StoreConflict: Other bytes are there.
        StoreUnavailable: The object was gone again, or changed its size; a retry finds out.
    """
    size = body_bytes(body)
    try:
        info = store.head(name)
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
    """Return the error of a name that is taken by other bytes."""
    return StoreConflict(f"{store.url}/{name} exists with other bytes")
