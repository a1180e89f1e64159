"""Requests of the GCS store, and how they are counted. No SDK is imported here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError

from farshore.limits import SENT_BYTES, STORE_CONNECTIONS
from farshore.stores.base import Body, body_bytes
from farshore.stores.body import in_pieces, sent_pieces
from farshore.stores.traffic import RequestCounter, RequestKind

CONTENT_TYPE = "application/octet-stream"


class Related:
    """An object's metadata and bytes as one `multipart/related` body. May be sent again, which a new token asks for."""

    def __init__(self, *, metadata: Mapping[str, Any], body: Body, boundary: str) -> None:
        self.boundary = boundary
        self._body = body
        self._head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(metadata)}\r\n"
            f"--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--".encode()

    def __len__(self) -> int:
        return len(self._head) + body_bytes(self._body) + len(self._tail)

    def __iter__(self) -> Iterator[Any]:
        yield self._head
        yield from sent_pieces(self._body, SENT_BYTES)
        yield self._tail


class Connections(HTTPAdapter):
    """Connections that are kept, and asked once more when the server had just closed the kept one.

    A server may close at any moment, and a request that crosses with that was not answered. Only what reads is sent
    again; everything else is for `RetryingStore`, which waits in between.
    """

    def __init__(self, request_counter: RequestCounter) -> None:
        super().__init__(pool_maxsize=STORE_CONNECTIONS, max_retries=0)
        self._request_counter = request_counter

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self._request_counter.add(_kind_of(request))
        request.body = in_pieces(request.body, self._request_counter.sent)
        try:
            response = super().send(request, *args, **kwargs)
        except requests.ConnectionError as error:
            closed = bool(error.args) and isinstance(error.args[0], ProtocolError)
            if not closed or request.method not in ("GET", "HEAD"):
                raise
            self._request_counter.add(_kind_of(request))
            response = super().send(request, *args, **kwargs)
        self._request_counter.count_received(response.raw)
        self._request_counter.service_clock.note_header(response.headers.get("Date"))
        return response


def _kind_of(request: requests.PreparedRequest) -> RequestKind:
    """Return the kind of a request to the JSON API: reading an object, its description and a list are all GET there."""
    match request.method:
        case "GET":
            address = urlsplit(request.url or "")
            if str(address.path).endswith("/o"):
                return RequestKind.LIST
            return RequestKind.GET if "alt=media" in str(address.query) else RequestKind.HEAD
        case "HEAD":
            return RequestKind.HEAD
        case "DELETE":
            return RequestKind.DELETE
        case _:
            return RequestKind.PUT
