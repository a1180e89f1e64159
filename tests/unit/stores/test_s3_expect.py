"""A small object leaves with its request; a large one waits until the service agrees to have it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from farshore.limits import COMPARE_BYTES_MAX
from farshore.stores.base import Body
from farshore.stores.s3.store import S3Store

KEYS = {"access_key": "key", "secret_key": "secret"}


class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    expected: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        self.expected.append(self.headers.get("Expect", ""))
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def endpoint() -> Iterator[str]:
    Bucket.expected.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"x" * COMPARE_BYTES_MAX, "", id="small"),
        pytest.param(memoryview(b"small"), "", id="view"),
        pytest.param(b"x" * (COMPARE_BYTES_MAX + 1), "100-continue", id="large"),
    ],
)
def test_only_a_large_body_waits_for_the_service(endpoint: str, body: Body, expected: str) -> None:
    store = S3Store(bucket="bucket", endpoint=endpoint, credentials=KEYS)
    store.put("name", body)
    store.close()
    assert Bucket.expected == [expected]
