"""A double of Cloud Storage with object retention and holds: only what our store asks, with the documented rules.

The local GCS server takes retentions and holds and keeps none, so it proves nothing of them. This proves the form of
the requests and that we keep to the rules as they are documented, not that the service keeps them.

Rules: an object whose retention has not ended, or that has a hold, can be neither deleted nor replaced (403). An
`Unlocked` retention may be extended; to shorten or remove it a request needs
`overrideUnlockedRetention=true`. A `Locked` one may only be extended. Retention needs a bucket that was made for it.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from tests.contract.network import Answer, Asked

_OBJECT = re.compile(r"^/(?:download/|upload/)?storage/v1/b/[^/]+/o(?:/(.*))?$")


@dataclass
class GcsWorm:
    """The state of one bucket; call it as a script of `tests.contract.network.answering`."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    retention_enabled: bool = True
    properties: dict[str, Any] = field(default_factory=dict)  # of the bucket
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, tuple[dict[str, Any], bytearray, dict[str, str]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1700000000000000))

    def __call__(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        address = urlsplit(asked.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        found = _OBJECT.match(address.path)
        if found is None:
            return self._bucket()
        name = unquote(found.group(1) or "")
        if asked.method == "POST" and query.get("uploadType") == "multipart":
            return self._put(asked, query)
        if query.get("uploadType") == "resumable" or "upload_id" in query:
            return self._resume(asked, query)
        if not name:
            return self._list(query)
        if name not in self.objects:
            return self._error(404, "No such object")
        match asked.method:
            case "GET":
                return self._media(name, asked) if query.get("alt") == "media" else self._json(self.objects[name])
            case "PATCH":
                return self._patch(name, json.loads(asked.body), query)
            case _:
                return self._delete(name, query)

    # --- objects ------------------------------------------------------------------------------------------------------

    def _put(self, asked: Asked, query: dict[str, str]) -> Answer:
        mark = asked.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        _, first, second, _ = asked.body.split(b"--" + mark)
        metadata = json.loads(first.partition(b"\r\n\r\n")[2])
        return self._make(metadata, second.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"), query)

    def _resume(self, asked: Asked, query: dict[str, str]) -> Answer:
        if asked.method == "POST":
            session = str(len(self.sessions) + 1)
            self.sessions[session] = (json.loads(asked.body), bytearray(), query)
            host = asked.headers["host"]
            location = f"http://{host}/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id={session}"
            return Answer(200, b"", (("Location", location),))
        metadata, body, begun = self.sessions[query["upload_id"]]
        body += asked.body
        total = asked.headers["content-range"].rpartition("/")[2]
        if total == "*" or len(body) < int(total):
            return Answer(308, b"", (("Range", f"bytes=0-{len(body) - 1}"),))
        return self._make(metadata, bytes(body), begun)

    def _make(self, metadata: dict[str, Any], body: bytes, query: dict[str, str]) -> Answer:
        name = metadata["name"]
        if name in self.objects:
            if query.get("ifGenerationMatch") == "0":
                return self._error(412, "conditionNotMet")
            if self._kept(name):
                return self._error(403, "Object is under active retention")
        crc32c = base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()
        if metadata.get("crc32c", crc32c) != crc32c:
            return self._error(400, "Provided CRC32C does not match")
        if metadata.get("retention") and (refused := self._refuse(None, metadata["retention"], override=False)):
            return refused
        self.bodies[name] = body
        self.objects[name] = {
            "storageClass": "STANDARD",
            **metadata,
            "size": str(len(body)),
            "crc32c": crc32c,
            "updated": self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "generation": str(next(self.generations)),
        }
        return self._json(self.objects[name])

    def _media(self, name: str, asked: Asked) -> Answer:
        body = self.bodies[name]
        if span := asked.headers.get("range", ""):
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(body), len(body))
            return Answer(206, body[int(first) : end], (("Content-Range", f"bytes {first}-{end - 1}/{len(body)}"),))
        return Answer(200, body, (("X-Goog-Hash", f"crc32c={self.objects[name]['crc32c']}"),))

    def _patch(self, name: str, change: dict[str, Any], query: dict[str, str]) -> Answer:
        if "retention" in change:
            override = query.get("overrideUnlockedRetention", "").lower() == "true"
            if refused := self._refuse(self.objects[name].get("retention"), change["retention"], override=override):
                return refused
        self.objects[name].update(change)
        return self._json(self.objects[name])

    def _delete(self, name: str, query: dict[str, str]) -> Answer:
        generation = self.objects[name]["generation"]
        if query.get("generation", generation) != generation:
            return self._error(404, "No such object")
        if query.get("ifGenerationMatch", generation) != generation:
            return self._error(412, "conditionNotMet")
        if self._kept(name):
            return self._error(403, "Object is under active retention or has a hold")
        del self.objects[name], self.bodies[name]
        return Answer(204)

    # --- what keeps them ----------------------------------------------------------------------------------------------

    def _refuse(self, found: dict[str, Any] | None, wanted: dict[str, Any] | None, *, override: bool) -> Answer | None:
        if not self.retention_enabled:
            return self._error(400, "Object retention is not enabled for this bucket")
        if wanted is not None and _end(wanted) <= self.now():
            return self._error(400, "retainUntilTime must be in the future")
        if not found:
            return None
        weaker = not wanted or _end(wanted) < _end(found)
        if found["mode"] == "Locked" and (weaker or (wanted or {}).get("mode") != "Locked"):
            return self._error(403, "A Locked retention can only be extended")
        if weaker and not override:
            return self._error(403, "overrideUnlockedRetention is needed to reduce a retention")
        return None

    def _kept(self, name: str) -> bool:
        found = self.objects[name]
        retention = found.get("retention")
        held = found.get("temporaryHold") or found.get("eventBasedHold")
        return bool(held) or (retention is not None and _end(retention) > self.now())

    # --- the bucket ---------------------------------------------------------------------------------------------------

    def _bucket(self) -> Answer:
        retention = {"objectRetention": {"mode": "Enabled"}} if self.retention_enabled else {}
        return self._json({"name": "bucket", **retention, **self.properties})

    def _list(self, query: dict[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        return self._json({"items": [one for name, one in sorted(self.objects.items()) if name.startswith(prefix)]})

    def _json(self, value: dict[str, Any]) -> Answer:
        return Answer(200, json.dumps(value).encode(), (("Content-Type", "application/json"),))

    def _error(self, status: int, message: str) -> Answer:
        error = {"error": {"code": status, "message": message, "errors": [{"message": message}]}}
        return Answer(status, json.dumps(error).encode(), (("Content-Type", "application/json"),))


def _end(retention: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(retention["retainUntilTime"])
