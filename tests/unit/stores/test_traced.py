"""What a trace tells: one line a request, why it was asked, and which requests waited for one another."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from farshore.errors import ObjectNotFound
from farshore.stores.base import ObjectInfo, Store
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers import WrappingStore
from farshore.stores.wrappers.traced import Trace, TracedStore, TraceLine, critical_path, summarize
from tests.doubles.clock import FixedClock


def line(start_s: float, end_s: float, *, requests: int = 1, connections: int = 0) -> TraceLine:
    return TraceLine(start_s, end_s, "one", "get", "x", requests, connections, 0, "ok", "", "")


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_requests_that_wait_for_one_another_are_in_line_and_others_are_not() -> None:
    first, beside, second, last = line(0, 1), line(0.1, 0.9), line(1, 2), line(2.5, 3)
    assert critical_path([last, beside, second, first]) == [first, second, last]


def test_of_requests_at_once_the_last_to_end_is_in_line() -> None:
    quick, slow, after = line(0, 1), line(0, 2), line(2, 3)
    assert critical_path([quick, slow, after]) == [slow, after]


def test_a_summary_counts_requests_in_line_and_their_connections() -> None:
    done = summarize([line(0, 1, connections=1), line(0, 2, requests=3, connections=2), line(2, 3)])
    assert (done.requests, done.connections, done.waits, done.wait_connections, done.seconds) == (5, 3, 4, 1, 3)
    assert summarize([]).waits == 0


def test_each_call_is_a_line_with_its_outcome(tmp_path: Path) -> None:
    clock = FixedClock()
    trace = Trace(tmp_path / "trace", clock)
    store = trace.wrap("one", MemoryStore(clock=clock))
    store.put("packs/a", b"four")
    store.get("packs/a")
    with pytest.raises(ObjectNotFound):
        store.head("packs/b")
    assert [one.name for one in store.list("packs/")] == ["packs/a"]
    assert list(store.list("none/")) == []
    assert trace.close().requests == 5
    assert [(one["verb"], one["name"], one["bytes"], one["outcome"]) for one in written(tmp_path / "trace")] == [
        ("put", "packs/a", 4, "ok"),
        ("get", "packs/a", 4, "ok"),
        ("head", "packs/b", 0, "ObjectNotFound"),
        ("list", "packs/", 1, "ok"),
        ("list", "none/", 0, "ok"),
    ]


def test_a_listing_that_is_left_early_is_a_line(tmp_path: Path) -> None:
    clock = FixedClock()
    trace = Trace(tmp_path / "trace", clock)
    store = trace.wrap("one", MemoryStore(clock=clock))
    store.put("a", b"")
    store.put("b", b"")
    entries = store.list()
    next(entries)
    entries.close()  # type: ignore[attr-defined]
    assert trace.close().requests == 3


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


class Served(WrappingStore):
    """A store whose listing has pages, and whose head asks twice: each a request over HTTP."""

    def __init__(self, store: Store, port: int) -> None:
        super().__init__(store)
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self) -> None:
        self.connection.request("GET", "/")
        self.connection.getresponse().read()

    def head(self, name: str) -> ObjectInfo:
        self.ask()
        self.ask()
        return super().head(name)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for number, info in enumerate(super().list(prefix)):
            if number % 2 == 0:
                self.ask()
            yield info


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_requests_and_connections_are_those_that_left(tmp_path: Path, port: int) -> None:
    clock = FixedClock()
    trace = Trace(tmp_path / "trace", clock)
    served = Served(MemoryStore(clock=clock), port)
    store = TracedStore(served, replica="one", trace=trace)
    for name in "abcde":
        served.put(name, b"")
    store.head("a")
    assert len(list(store.list())) == 5
    trace.close()
    served.connection.close()
    lines = [(one["verb"], one["requests"], one["connections"], one["bytes"]) for one in written(tmp_path / "trace")]
    assert lines == [("head", 2, 1, 0), ("list", 1, 0, 2), ("list", 1, 0, 2), ("list", 1, 0, 1)]


def test_a_trace_that_cannot_be_written_any_more_ends_no_request(tmp_path: Path) -> None:
    clock = FixedClock()
    trace = Trace(Path("/dev/full"), clock)
    store = trace.wrap("one", MemoryStore(clock=clock))
    store.put("a", b"")
    assert store.get("a") == b""
    assert trace.close().requests == 2
