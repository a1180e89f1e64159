"""The connections of one Azure store: kept open, counted, and paced."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter

from farshore.limits import STORE_CONNECTIONS
from farshore.stores.base import Body, PacedBody
from farshore.stores.body import PacedReader, in_pieces, open_body
from farshore.stores.traffic import RequestCounter, RequestKind


class Connections(HTTPAdapter):
    """Connections that are kept, and counted requests. Bodies keep the pace that their thread has set."""

    def __init__(self, request_counter: RequestCounter) -> None:
        super().__init__(pool_maxsize=STORE_CONNECTIONS, max_retries=0)
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
        self._request_counter.count_received(response.raw)
        self._request_counter.service_clock.note_header(response.headers.get("Date"))
        return response

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
        case "DELETE":
            return RequestKind.DELETE
        case _:
            return RequestKind.PUT
