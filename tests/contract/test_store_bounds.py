"""No store reads more than was asked for, or for ever, whatever the service behind it sends."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import FarshoreError, ObjectNotFound, ObjectTooLarge, StoreDenied, StoreUnavailable
from farshore.limits import GIB, KIB, MIB
from farshore.stores.base import Store
from farshore.stores.directory import DirectoryStore
from tests.conftest import PlaceUrl
from tests.contract.conftest import OpenStore
from tests.contract.network import Answer, Asked, answering
from tests.contract.test_store_network import KEYS, SCHEMES

BARE = ["memory", "directory", "s3", "gcs", "azure"]
SERVED = ["s3", "gcs", "azure"]
EVERY = [*BARE, "retrying", "metered", "breaker", "faulty", "as-opened", "throttled-memory"]
DATE = "Sun, 29 Nov 2026 20:00:00 GMT"

OpenAny = Callable[[str], Store]


@pytest.mark.parametrize("kind", EVERY)
def test_an_object_of_its_limit_is_read_and_a_larger_one_is_refused(kind: str, open_any: OpenAny) -> None:
    store = open_any(kind)
    data = os.urandom(300 * KIB)
    store.put("packs/one", data)
    assert store.get("packs/one", bytes_max=len(data)) == data
    for limit in (len(data) - 1, 1, 0):
        with pytest.raises(ObjectTooLarge, match=r"packs/one has [\d,]+ bytes or more.* at most") as caught:
            store.get("packs/one", bytes_max=limit)
        assert f"{limit:,}" in str(caught.value)
    assert store.get("packs/one", 5, 100, bytes_max=1) == data[5:105]
    assert store.get("packs/one", len(data) - 10, bytes_max=10) == data[-10:]
    with pytest.raises(ObjectTooLarge):
        store.get("packs/one", len(data) - 10, bytes_max=9)


@dataclass
class Flood:
    """A server that answers each request with a head and then bytes without an end. `sent` counts them."""

    announced: int | None  # bytes by the head; None: it announces nothing and sends chunks
    pause_s: float = 0.0  # between two bytes; 0: as fast as they are accepted
    sent: int = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        flood, ended = self, threading.Event()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while (asked := self.request.recv(1 << 16)) and not ended.is_set():
                        self.request.sendall(flood.head(asked))
                        flood.pour(self.request, ended)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        with Server(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                ended.set()
                server.shutdown()
                thread.join()

    def head(self, asked: bytes) -> bytes:
        """Answer as all three services do: each looks at its own fields."""
        status = "206 Partial Content" if b"ange: bytes=" in asked else "200 OK"
        size = self.announced if self.announced is not None else 100
        body = "Transfer-Encoding: chunked" if self.announced is None else f"Content-Length: {size}"
        fields = [
            f"HTTP/1.1 {status}", body, f"Content-Range: bytes 0-{size - 1}/{size}", f"Date: {DATE}",
            f"Last-Modified: {DATE}", 'ETag: "0x1"', "x-ms-blob-type: BlockBlob",
        ]  # fmt: skip
        return "\r\n".join([*fields, "", ""]).encode()

    def pour(self, connection: socket.socket, ended: threading.Event) -> None:
        """Send the body."""
        piece = b"x" if self.pause_s else b"x" * (64 * KIB)
        framed = piece if self.announced is not None else b"%x\r\n%s\r\n" % (len(piece), piece)
        while not ended.wait(self.pause_s):
            connection.sendall(framed)
            self.sent += len(piece)


def flooded(open_bare: OpenStore, kind: str, address: str) -> Store:
    place = PlaceUrl(url=f"{SCHEMES[kind]}://bucket/prefix", endpoint=address, credentials=KEYS[kind])
    return open_bare(kind, place, read_timeout_s=0.5, connect_timeout_s=5)


@pytest.mark.parametrize("kind", SERVED)
def test_what_announces_too_much_is_refused_unread(kind: str, open_bare: OpenStore) -> None:
    flood = Flood(announced=6 * GIB)
    with flood.serving() as address:
        store, started = flooded(open_bare, kind, address), time.monotonic()
        with pytest.raises(ObjectTooLarge, match="at most 65,536 can be"):
            store.get("farshore.json", bytes_max=64 * KIB)
        assert time.monotonic() - started < 5
        assert store.request_counter.moved()[0] == 0  # type: ignore[attr-defined] # of served stores


@pytest.mark.parametrize("kind", SERVED)
def test_what_announces_nothing_and_never_ends_is_cut_at_the_limit(kind: str, open_bare: OpenStore) -> None:
    flood = Flood(announced=None)
    with flood.serving() as address:
        store = flooded(open_bare, kind, address)
        with pytest.raises(ObjectTooLarge):
            store.get("packs/one", bytes_max=MIB)
        assert store.request_counter.moved()[0] == MIB + 1  # type: ignore[attr-defined] # of served stores
        assert store.get("packs/one", 0, 1000) == b"x" * 1000
        assert store.get("packs/one", 10, 1000) == b"x" * 1000


@pytest.mark.parametrize("part", [(), (0, 5000)], ids=["whole", "range"])
@pytest.mark.parametrize("kind", SERVED)
def test_a_body_that_trickles_is_unavailable_in_bounded_time(
    kind: str, part: tuple[int, ...], open_bare: OpenStore
) -> None:
    """A byte now and then is no silence, so the time-outs of the connection never end it."""
    with Flood(announced=5000, pause_s=0.05).serving() as address:
        store, started = flooded(open_bare, kind, address), time.monotonic()
        with pytest.raises(StoreUnavailable, match="only"):
            store.get("packs/one", *part)
        assert time.monotonic() - started < 20


def test_what_is_no_file_is_no_object_and_is_not_waited_for(tmp_path: Path) -> None:
    store = DirectoryStore(path=tmp_path, clock=SystemClock())
    (tmp_path / "keys").mkdir()
    os.mkfifo(tmp_path / "farshore.json")
    os.mkfifo(tmp_path / "keys" / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(tmp_path):
        listener.bind("socket")
    (tmp_path / "folder").mkdir()
    for name in ("farshore.json", "keys/fifo", "link", "socket", "folder"):
        for ask in (store.get, store.head):
            with pytest.raises(ObjectNotFound):
                ask(name)
        with pytest.raises(FarshoreError):
            store.put(name, b"bytes")
    assert [info.name for info in store.list()] == []


def s3_listing(pages: Iterator[tuple[list[str], bool]]) -> Callable[[Asked], Answer]:
    """A service that lists these pages of names; the flag says whether there are to be more."""

    def answer(_: Asked) -> Answer:
        names, more = next(pages)
        entries = "".join(
            f"<Contents><Key>prefix/{name}</Key><Size>1</Size><LastModified>2026-11-29T05:00:00Z</LastModified></Contents>"
            for name in names
        )
        token = f"<NextContinuationToken>{time.monotonic_ns()}</NextContinuationToken>" if more else ""
        text = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
        return Answer(200, f"<ListBucketResult>{text}</ListBucketResult>".encode())

    return answer


def listing_of(open_bare: OpenStore, pages: Iterator[tuple[list[str], bool]]) -> list[str]:
    with answering(s3_listing(pages)) as address:
        place = PlaceUrl(url="s3://bucket/prefix", endpoint=address, credentials=KEYS["s3"])
        return [info.name for info in open_bare("s3", place).list()]


def test_a_listing_of_empty_pages_ends(open_bare: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a token of its own, so that no SDK sees that they repeat."""
    monkeypatch.setattr(limits, "LIST_EMPTY_PAGES_MAX", 20)
    asked: Iterator[tuple[list[str], bool]] = itertools.repeat(([], True))
    with pytest.raises(StoreDenied, match="21 pages without an object"):
        listing_of(open_bare, asked)
    some: list[tuple[list[str], bool]] = [([], True)] * 20 + [(["a"], True)] + [([], True)] * 20 + [(["b"], False)]
    assert listing_of(open_bare, iter(some)) == ["a", "b"]


def test_a_listing_without_an_end_ends(open_bare: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LISTED_OBJECTS_MAX", 100)
    counted = (([f"a{number:09}"], True) for number in itertools.count())
    with pytest.raises(StoreDenied, match="no end"):
        listing_of(open_bare, counted)
    assert len(listing_of(open_bare, iter([([f"{number:03}" for number in range(100)], False)]))) == 100


def test_a_repository_of_a_hundred_million_objects_is_listed() -> None:
    assert limits.LISTED_OBJECTS_MAX > 200_000_000
    assert limits.LISTED_OBJECT_BYTES < 40  # a pack in the table of packs, the smallest of what listings become


def test_a_name_longer_than_any_is_refused(open_bare: OpenStore) -> None:
    with pytest.raises(StoreDenied, match="length"):
        listing_of(open_bare, iter([(["x" * 1025], False)]))
    assert listing_of(open_bare, iter([(["x" * 1024], False)])) == ["x" * 1024]
