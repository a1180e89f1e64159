"""A double of Azure Blob Storage with version-level immutability: only what our store asks, with the documented rules.

Azurite has no immutability, so what our store sends could not be tried at all. This proves the form of the requests and
that we keep to the rules as they are documented, not that the service keeps them: docs/stores/immutability.md.

Rules: a blob with a policy that has not expired, or with a legal hold, can be neither deleted nor overwritten (409
BlobImmutableDueToPolicy). An `Unlocked` policy may be extended, shortened, deleted or turned to `Locked`; a `Locked`
one may only be extended. Times are whole seconds in the form of HTTP dates.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.contract.network import Answer, Asked


@dataclass
class Blob:
    body: bytes
    md5: str
    modified: datetime
    tier: str = "Hot"
    policy_mode: str = ""
    policy_until: datetime | None = None
    held: bool = False


@dataclass
class AzureWorm:
    """The state of one account; call it as a script of `tests.contract.network.answering`."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    immutable: bool = True  # whether the container was made with version-level immutability
    blobs: dict[str, Blob] = field(default_factory=dict)
    blocks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        address = urlsplit(asked.path)
        query = {key: values[0] for key, values in parse_qs(address.query, keep_blank_values=True).items()}
        name = unquote(address.path).split("/", 3)[3] if address.path.count("/") > 2 else ""
        comp = query.get("comp", "")
        if not name:
            return self._list(query) if comp == "list" else self._container()
        handler = {
            "PUT ": self._put,
            "PUT block": self._block,
            "PUT blocklist": self._commit,
            "PUT immutabilityPolicies": self._set_policy,
            "DELETE immutabilityPolicies": self._drop_policy,
            "PUT legalhold": self._set_hold,
            "GET ": self._get,
            "HEAD ": self._get,
            "DELETE ": self._delete,
        }.get(f"{asked.method} {comp}")
        return self._error(400, "InvalidQueryParameterValue") if handler is None else handler(name, asked, query)

    # --- blobs --------------------------------------------------------------------------------------------------------

    def _put(self, name: str, asked: Asked, _: dict[str, str]) -> Answer:
        md5 = base64.b64encode(hashlib.md5(asked.body, usedforsecurity=False).digest()).decode()
        if asked.headers.get("content-md5", md5) != md5:
            return self._error(400, "Md5Mismatch")
        return self._make(name, asked, asked.body)

    def _block(self, name: str, asked: Asked, query: dict[str, str]) -> Answer:
        self.blocks.setdefault(name, {})[query["blockid"]] = asked.body
        return self._ok(201)

    def _commit(self, name: str, asked: Asked, _: dict[str, str]) -> Answer:
        ids = [part.partition("</")[0] for part in asked.body.decode().split("<Latest>")[1:]]
        return self._make(name, asked, b"".join(self.blocks[name][one] for one in ids))

    def _make(self, name: str, asked: Asked, body: bytes) -> Answer:
        if name in self.blobs:
            if asked.headers.get("if-none-match") == "*":
                return self._error(409, "BlobAlreadyExists")
            if self._kept(self.blobs[name]):
                return self._error(409, "BlobImmutableDueToPolicy")
        blob = Blob(body, asked.headers.get("x-ms-blob-content-md5", ""), self._moment())
        blob.tier = asked.headers.get("x-ms-access-tier", "Hot")
        mode = asked.headers.get("x-ms-immutability-policy-mode", "")
        if mode:
            if not self.immutable:
                return self._error(409, "VersionLevelImmutabilityNotEnabled")
            blob.policy_mode = mode.capitalize()
            blob.policy_until = parsedate_to_datetime(asked.headers["x-ms-immutability-policy-until-date"])
            if blob.policy_until <= self._moment():
                return self._error(400, "InvalidHeaderValue")
        self.blobs[name] = blob
        return self._ok(201)

    def _get(self, name: str, asked: Asked, _: dict[str, str]) -> Answer:
        if name not in self.blobs:
            return self._error(404, "BlobNotFound")
        blob = self.blobs[name]
        body, status = blob.body, 200
        extra: list[tuple[str, str]] = []
        span = asked.headers.get("x-ms-range", asked.headers.get("range", ""))
        if asked.method == "GET" and span:
            first, last = span.removeprefix("bytes=").split("-")
            if int(first) >= len(body):
                return self._error(416, "InvalidRange")
            end = min(int(last) + 1 if last else len(body), len(body))
            extra.append(("Content-Range", f"bytes {first}-{end - 1}/{len(body)}"))
            body, status = body[int(first) : end], 206
        return self._ok(status, *self._reported(blob), *extra, body=body)

    def _delete(self, name: str, _: Asked, __: dict[str, str]) -> Answer:
        if name not in self.blobs:
            return self._error(404, "BlobNotFound")
        if self._kept(self.blobs[name]):
            return self._error(409, "BlobImmutableDueToPolicy")
        del self.blobs[name]
        return self._ok(202)

    # --- what keeps them ----------------------------------------------------------------------------------------------

    def _set_policy(self, name: str, asked: Asked, _: dict[str, str]) -> Answer:
        if name not in self.blobs:
            return self._error(404, "BlobNotFound")
        if not self.immutable:
            return self._error(409, "VersionLevelImmutabilityNotEnabled")
        blob = self.blobs[name]
        until = parsedate_to_datetime(asked.headers["x-ms-immutability-policy-until-date"])
        mode = asked.headers.get("x-ms-immutability-policy-mode", "Unlocked").capitalize()
        if until <= self._moment():
            return self._error(400, "InvalidHeaderValue")
        if blob.policy_mode == "Locked" and (
            mode != "Locked" or (blob.policy_until is not None and until < blob.policy_until)
        ):
            return self._error(409, "ImmutabilityPolicyCannotBeReduced")
        blob.policy_mode, blob.policy_until = mode, until
        return self._ok(200, *self._policy(blob))

    def _drop_policy(self, name: str, _: Asked, __: dict[str, str]) -> Answer:
        if self.blobs[name].policy_mode == "Locked":
            return self._error(409, "ImmutabilityPolicyDeleteOnLockedPolicy")
        self.blobs[name].policy_mode, self.blobs[name].policy_until = "", None
        return self._ok(200)

    def _set_hold(self, name: str, asked: Asked, _: dict[str, str]) -> Answer:
        if name not in self.blobs:
            return self._error(404, "BlobNotFound")
        self.blobs[name].held = asked.headers["x-ms-legal-hold"].lower() == "true"
        return self._ok(200, ("x-ms-legal-hold", str(self.blobs[name].held).lower()))

    def _kept(self, blob: Blob) -> bool:
        return blob.held or (blob.policy_until is not None and blob.policy_until > self.now())

    def _policy(self, blob: Blob) -> list[tuple[str, str]]:
        if blob.policy_until is None:
            return []
        until = format_datetime(blob.policy_until, usegmt=True)
        return [
            ("x-ms-immutability-policy-until-date", until),
            ("x-ms-immutability-policy-mode", blob.policy_mode.lower()),
        ]

    def _reported(self, blob: Blob) -> list[tuple[str, str]]:
        reported = [
            ("x-ms-blob-type", "BlockBlob"),
            ("Last-Modified", format_datetime(blob.modified, usegmt=True)),
            ("ETag", '"0x1"'),
            ("x-ms-access-tier", blob.tier),
            *self._policy(blob),
        ]
        if blob.held:
            reported.append(("x-ms-legal-hold", "true"))
        return [*reported, ("Content-MD5", blob.md5)] if blob.md5 else reported

    # --- the container ------------------------------------------------------------------------------------------------

    def _container(self) -> Answer:
        return self._ok(
            200,
            ("Last-Modified", format_datetime(self._moment(), usegmt=True)),
            ("ETag", '"0x1"'),
            ("x-ms-immutable-storage-with-versioning-enabled", str(self.immutable).lower()),
        )

    def _list(self, query: dict[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        listed = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties>"
            f"<Last-Modified>{format_datetime(blob.modified, usegmt=True)}</Last-Modified><Etag>0x1</Etag>"
            f"<Content-Length>{len(blob.body)}</Content-Length><Content-MD5>{blob.md5}</Content-MD5>"
            f"<BlobType>BlockBlob</BlobType><AccessTier>{blob.tier}</AccessTier></Properties></Blob>"
            for name, blob in sorted(self.blobs.items())
            if name.startswith(prefix)
        )
        body = f'<?xml version="1.0"?><EnumerationResults><Blobs>{listed}</Blobs><NextMarker/></EnumerationResults>'
        return self._ok(200, ("Content-Type", "application/xml"), body=body.encode())

    def _ok(self, status: int, *headers: tuple[str, str], body: bytes = b"") -> Answer:
        return Answer(status, body, (("x-ms-version", "2021-12-02"), *headers))

    def _error(self, status: int, code: str) -> Answer:
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        headers = (("x-ms-error-code", code), ("Content-Type", "application/xml"))
        return self._ok(status, *headers, body=body.encode())

    def _moment(self) -> datetime:
        return self.now().replace(microsecond=0)
