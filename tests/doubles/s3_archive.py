"""A double of S3 for objects in an archive class: only what our store asks, with the documented rules.

The S3 server here gives out archived objects and knows no restore. This proves the form of the requests and what we
make of the answers, not how long a service takes.

Rules: an object in GLACIER or DEEP_ARCHIVE is refused (403 InvalidObjectState) until a copy that was asked for (POST
?restore) is ready; asking again meanwhile is refused (409 RestoreAlreadyInProgress); the copy ends after its days.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.contract.network import Answer, Asked

ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
_DAYS = re.compile(rb"<Days>(\d+)</Days>")
_TIER = re.compile(rb"<Tier>(\w+)</Tier>")


@dataclass
class Stored:
    body: bytes
    storage_class: str
    modified: datetime
    ready: datetime | None = None
    cold: datetime | None = None


@dataclass
class S3Archive:
    """The state of one bucket; call it as a script of `tests.contract.network.answering`."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    takes: timedelta = timedelta(hours=4)
    objects: dict[str, Stored] = field(default_factory=dict)
    tiers: list[str] = field(default_factory=list)  # that were asked for
    restores: int = 0

    def __call__(self, asked: Asked) -> Answer:
        address = urlsplit(asked.path)
        query = parse_qs(address.query, keep_blank_values=True)
        key = unquote(address.path).removeprefix("/bucket").removeprefix("/")
        if not key:
            return self._list(query) if asked.method == "GET" else self._answer(200)
        if asked.method == "PUT":
            return self._put(key, asked)
        stored = self.objects.get(key)
        if stored is None:
            return self._error(404, "NoSuchKey")
        if asked.method == "POST" and "restore" in query:
            return self._restore(stored, asked)
        if asked.method == "GET" and self._is_cold(stored):
            return self._error(403, "InvalidObjectState")
        return self._answer(200, *self._reported(stored), body=stored.body)

    def _put(self, key: str, asked: Asked) -> Answer:
        if key in self.objects and asked.headers.get("if-none-match") == "*":
            return self._error(412, "PreconditionFailed")
        kept = asked.headers.get("x-amz-storage-class", "STANDARD")
        self.objects[key] = Stored(asked.body, kept, self.now().replace(microsecond=0))
        return self._answer(200, ("ETag", '"1"'))

    def _restore(self, stored: Stored, asked: Asked) -> Answer:
        if stored.ready is not None and stored.cold is not None and self.now() < stored.cold:
            return self._error(409, "RestoreAlreadyInProgress") if self.now() < stored.ready else self._answer(200)
        days = _DAYS.search(asked.body)
        if days is None:
            return self._error(400, "MalformedXML")
        tier = _TIER.search(asked.body)
        self.tiers.append(tier.group(1).decode() if tier else "")
        self.restores += 1
        stored.ready = self.now() + self.takes
        stored.cold = stored.ready + timedelta(days=int(days.group(1)))
        return self._answer(202)

    def _is_cold(self, stored: Stored) -> bool:
        if stored.storage_class not in ARCHIVED:
            return False
        return stored.ready is None or stored.cold is None or not stored.ready <= self.now() < stored.cold

    def _reported(self, stored: Stored) -> list[tuple[str, str]]:
        reported = [("Last-Modified", format_datetime(stored.modified, usegmt=True)), ("ETag", '"1"')]
        if stored.storage_class != "STANDARD":
            reported.append(("x-amz-storage-class", stored.storage_class))
        if stored.ready is not None and stored.cold is not None and self.now() < stored.cold:
            ongoing = self.now() < stored.ready
            until = "" if ongoing else f', expiry-date="{format_datetime(stored.cold, usegmt=True)}"'
            reported.append(("x-amz-restore", f'ongoing-request="{str(ongoing).lower()}"{until}'))
        return reported

    def _list(self, query: dict[str, list[str]]) -> Answer:
        prefix = query.get("prefix", [""])[0]
        listed = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{stored.modified.isoformat()}</LastModified>"
            f"<Size>{len(stored.body)}</Size><StorageClass>{stored.storage_class}</StorageClass></Contents>"
            for key, stored in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
        return self._answer(200, ("Content-Type", "application/xml"), body=body.encode())

    def _answer(self, status: int, *headers: tuple[str, str], body: bytes = b"") -> Answer:
        return Answer(status, body, (("Date", format_datetime(self.now(), usegmt=True)), *headers))

    def _error(self, status: int, code: str) -> Answer:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        return self._answer(status, ("Content-Type", "application/xml"), body=body)
