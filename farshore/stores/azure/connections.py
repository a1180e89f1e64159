"""The connections of one Azure store: kept open, counted, and paced."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter

from farshore.limits import STORE_CONNECTIONS
from farshore.stores.base import Body, PacedBody, Wanted
from farshore.stores.body import PacedReader, in_pieces, open_body
from farshore.stores.bounded import BodyReader
from farshore.stores.traffic import RequestCounter, RequestKind


@dataclass
class Reading:
    """The bytes of an object that this thread asks for, and those that arrived."""

    wanted: Wanted
    data: bytes = b""


class Connections(HTTPAdapter):
    """Connections that are kept, and counted requests. Bodies keep the pace that their thread has set."""

    def __init__(self, request_counter: RequestCounter, body_reader: BodyReader) -> None:
        super().__init__(pool_maxsize=STORE_CONNECTIONS, max_retries=0)
        self._body_reader = body_reader
        self._request_counter = request_counter
        self._here = threading.local()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self._request_counter.add(_kind_of(request))
        paced: PacedBody | None = getattr(self._here, "paced", None)
        if paced is not None and isinstance(request.body, bytes) and len(request.body) > paced.piece_bytes:
            request.body = reader = PacedReader(open_body(request.body), paced)
            reader.start()
        request.body = in_pieces(request.body, self._request_counter.sent)
        response = super().send(request, *args, **kwargs)
        reading: Reading | None = getattr(self._here, "reading", None)
        if reading is None or response.status_code not in (200, 206):
            self._request_counter.count_received(response.raw)
        else:
            self._read(response, reading)
        self._request_counter.service_clock.note_header(response.headers.get("Date"))
        return response

    def _read(self, response: requests.Response, reading: Reading) -> None:
        """Read the body of an answer here, where it can be bounded; the SDK finds none."""
        wanted = reading.wanted
        with contextlib.closing(response):
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if total.isdecimal():
                wanted.check(int(total) - wanted.offset)
            announced = response.headers.get("Content-Length", "")
            reading.data = self._body_reader.read(
                partial(response.raw.read1, decode_content=False),
                wanted,
                announced=int(announced) if announced.isdecimal() else None,
                skipped=0 if wanted.whole or response.status_code == 206 else wanted.offset,
            )
        response._content = b""  # noqa: SLF001 - the SDK would read the body again
        response._content_consumed = True  # noqa: SLF001

    @contextlib.contextmanager
    def reading(self, wanted: Wanted) -> Iterator[Reading]:
        """Read the answers to this thread's requests meanwhile in bounds, into the `data` of what this gives."""
        self._here.reading = Reading(wanted)
        try:
            yield self._here.reading
        finally:
            self._here.reading = None

    @contextlib.contextmanager
    def pacing(self, body: Body) -> Iterator[None]:
        """Send what this thread sends meanwhile at the pace of a body: the SDK reads it whole before it sends."""
        self._here.paced = body if isinstance(body, PacedBody) else None
        try:
            yield
        finally:
            self._here.paced = None


def _kind_of(request: requests.PreparedRequest) -> RequestKind:
    """Return the kind of a request: reading a blob and a list are both GET."""
    match request.method:
        case "GET":
            is_list = "list" in parse_qs(str(urlsplit(request.url or "").query)).get("comp", ())
            return RequestKind.LIST if is_list else RequestKind.GET
        case "HEAD":
            return RequestKind.HEAD
        case "DELETE" | "POST":  # a batch, which has nothing but deletions
            return RequestKind.DELETE
        case _:
            return RequestKind.PUT
