"""Trouble between a store and its real service: a TCP relay that spoils bytes, and a server with scripted answers."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

MARK = b"<farshore-test-mark>"
SPOILED = b"<farshore-test-mArk>"
CONDITION = b"ifGenerationMatch=0"
NO_CONDITION = b"xxGenerationMatch=0"


@dataclass
class Relay:
    """A TCP relay to a server. Each switch acts on all connections while it is set.

    `spoil_requests` and `spoil_answers` change one byte of `MARK` wherever it passes. `lose_answers` is how many
    requests that begin as `lose` says get through to the server and lose their answer, after `lose_after` others did
    not: the connection is cut instead. `up_bytes_per_s` is how fast each request passes. `forget_conditions` spoils
    the condition of every put to GCS, so that the service behind is one that lets every writer win.
    """

    target_port: int
    spoil_requests: bool = False
    spoil_answers: bool = False
    forget_conditions: bool = False
    up_bytes_per_s: float = math.inf
    lose: re.Pattern[bytes] = re.compile(b"PUT ")
    lose_answers: int = 0
    lose_after: int = 0
    lost: int = 0
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def should_lose(self, request: bytes) -> bool:
        with self._lock:
            if self.lose_answers == 0 or not self.lose.match(request):
                return False
            if self.lose_after > 0:
                self.lose_after -= 1
                return False
            self.lose_answers -= 1
            self.lost += 1
            return True


class QuietServer(socketserver.ThreadingTCPServer):
    """A server for clients that hang up as they please."""

    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        """Let no more bytes wait here than a narrow line has under way: the kernel would take megabytes at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def relay_to(target_port: int) -> Iterator[Relay]:
    """Run a relay on a port of its own."""
    relay = Relay(target_port)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", relay.target_port), timeout=30) as server,
            ):
                _pump(relay, self.request, server)

    with _serving(QuietServer(("127.0.0.1", 0), Handler)) as port:
        relay.port = port
        yield relay


def _pump(relay: Relay, client: socket.socket, server: socket.socket) -> None:
    """Pass bytes both ways until one side ends or an answer is to be lost."""
    losing = threading.Event()
    for side in (client, server):
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def upstream() -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if relay.should_lose(data):
                    losing.set()
                if relay.forget_conditions:
                    data = data.replace(CONDITION, NO_CONDITION)
                server.sendall(data.replace(MARK, SPOILED) if relay.spoil_requests else data)
                time.sleep(len(data) / relay.up_bytes_per_s)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=upstream, daemon=True)
    thread.start()
    with contextlib.suppress(OSError):
        while data := server.recv(1 << 16):
            if losing.is_set() and not data.startswith(b"HTTP/1.1 100"):
                break
            client.sendall(data.replace(MARK, SPOILED) if relay.spoil_answers else data)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=30)


@dataclass(frozen=True)
class Answer:
    """What a scripted server says. `cut` sends only so many bytes of the body it announced, and hangs up."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None


@dataclass(frozen=True)
class Asked:
    """What a client asked of a scripted server."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]  # their names in lower case
    body: bytes


Script = Callable[[Asked], Answer]


@contextlib.contextmanager
def answering(script: Script) -> Iterator[str]:
    """Run an HTTP server that answers by `script`; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each answer waits 40 ms for the client's acknowledgement

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = script(Asked(self.command, self.path, headers, self.rfile.read(length)))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])
            if answer.cut is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - names that http.server asks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Say nothing."""

    with _serving(QuietServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Listen without ever answering: connections are taken by the kernel, and nothing comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def closed_port() -> int:
    """Return a port where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
