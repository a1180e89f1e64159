"""Trial N11: bytes of an object are counted while the rest of it is still under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from farshore.clock import SystemClock
from farshore.stores import open_store
from farshore.stores.wrappers.metered import MeteredStore

HALF = 1 << 20
WAIT_S = 60.0
KEYS = {"access_key": "any", "secret_key": "any"}


class Halting:
    """An S3 service that sends, and takes, half of each object, and the rest when it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.halted = threading.Event()

    @contextmanager
    def serving(self) -> Iterator[str]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(2 * HALF))
                self.end_headers()
                self.wfile.write(b"a" * HALF)
                self.wfile.flush()
                service.halted.set()
                service.release.wait(WAIT_S)
                self.wfile.write(b"b" * HALF)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            self.release.set()
            server.shutdown()
            server.server_close()


def test_half_an_object_is_counted_before_the_rest_comes() -> None:
    service = Halting()
    with service.serving() as address, ThreadPoolExecutor(1) as pool:
        store = MeteredStore(open_store("s3://bucket", endpoint=address, credentials=KEYS, clock=SystemClock()))
        getting = pool.submit(store.get, "packs/one", 0, 2 * HALF)
        assert service.halted.wait(WAIT_S)
        ends_s = time.monotonic() + WAIT_S
        while store.moved()[0] < HALF - (1 << 17):
            assert time.monotonic() < ends_s, store.moved()
            time.sleep(0.02)
        assert not getting.done()
        assert store.snapshot().bytes_in == 0  # what is billed is counted when it is there
        service.release.set()
        assert getting.result(WAIT_S) == b"a" * HALF + b"b" * HALF
        assert store.moved()[0] == 2 * HALF
        store.close()
