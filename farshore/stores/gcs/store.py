"""A store in a Google Cloud Storage bucket.

Every put carries the condition that no generation of the name exists, and the CRC32C of its bytes in the object's
metadata: the service refuses bytes that do not have it. The SDK's own checks of uploads stay off, because on a mismatch
it deletes the name, even where another writer's object is there by then.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import google_crc32c
import requests
from blake3 import blake3
from google.api_core import exceptions as sdk
from google.auth import default as default_credentials
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.oauth2.service_account import Credentials
from urllib3.exceptions import HTTPError

from farshore.clock import Clock
from farshore.errors import (
    BucketNotFound,
    FarshoreError,
    LockDenied,
    ObjectCorrupt,
    ObjectNotFound,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from farshore.limits import (
    CONNECT_TIMEOUT_S,
    GIB,
    LIST_PAGE_OBJECTS,
    MULTIPART_BYTES_MIN,
    MULTIPART_PART_BYTES,
    READ_TIMEOUT_S,
    WHOLE_READ_BYTES_MAX,
)
from farshore.stores.base import (
    ANY_OBJECT,
    NONSENSE,
    Body,
    Capabilities,
    ObjectInfo,
    PutOutcome,
    Wanted,
    WithoutTrash,
    body_bytes,
    check_name,
    check_range,
    check_seen,
    entries_of,
    in_order,
)
from farshore.stores.body import as_bytes, body_pieces, compare_present, look_ahead, open_body, put_once
from farshore.stores.bounded import BodyReader
from farshore.stores.copying import ServiceCopying
from farshore.stores.gcs.copying import rewrite
from farshore.stores.gcs.locks import LOCK_VERB, GcsLocks, retention_metadata
from farshore.stores.gcs.probe import GcsProbeCapability
from farshore.stores.gcs.requests import CONTENT_TYPE, Connections, Related
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockMode, LockState, ObjectRetention
from farshore.stores.one_by_one import OneByOne
from farshore.stores.retry_after import requested_wait_s
from farshore.stores.traffic import PutChecksums, RequestCounter

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_REQUEST = re.compile(r"^[A-Z]+ https?://\S+:? ?")  # the SDK begins its messages with method and address
_ENDPOINT = "https://storage.googleapis.com"
_LISTED_FIELDS = "items(name,generation,size,updated,crc32c,storageClass),nextPageToken"


class _Exists(Exception):
    """The condition of a put was not met: the name exists."""


class _BeyondEnd(Exception):
    """A range starts behind the object's last byte."""


# Of the others a 4xx is a refusal that no retry cures; the rest mean a service in trouble.
_BY_STATUS: dict[int, type[Exception]] = {
    404: ObjectNotFound,
    408: StoreUnavailable,
    409: StoreUnavailable,
    412: _Exists,
    416: _BeyondEnd,
    429: StoreUnavailable,
    501: StoreDenied,  # the service does not do what the request needs
    507: StoreFull,
}
_BUSY = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})  # reasons of a 403 that passes


class GcsStore(OneByOne, WithoutTrash):
    """Objects in a bucket below a prefix. Credentials are looked for at the first request.

    Args:
        prefix: Without slashes at its ends; empty for the whole bucket.
        endpoint: For local servers, which are asked without credentials unless some are given; None for Google.
        credentials: `service_account`, its JSON or the path of that file; Google's application default without it.
        page_objects: Objects in one page of a listing.
    """

    capabilities = Capabilities(
        kind="gcs",
        checksum="crc32c",
        object_bytes_max=5 * 1024 * GIB,
        checksum_listed=True,
        lock_modes=frozenset(LockMode),  # no class is archived: also ARCHIVE is read at once
    )

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        credentials: Mapping[str, str],
        clock: Clock,
        page_objects: int = LIST_PAGE_OBJECTS,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._bucket_name = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint or _ENDPOINT
        self._anonymous = endpoint is not None
        self._service_account = credentials.get("service_account", "")
        self._clock = clock
        self._page_objects = page_objects
        self._timeout_s = (connect_timeout_s, read_timeout_s)
        self._lock = threading.Lock()
        self.request_counter = RequestCounter(clock)
        self._body_reader = BodyReader(clock, read_timeout_s, self.request_counter.received)
        self.put_checksums = PutChecksums(_digest)
        self._opened: tuple[storage.Client, AuthorizedSession] | None = None
        self.url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._locks = GcsLocks(
            blob=self._blob,
            boundary=self._boundary,
            timeout_s=self._timeout_s,
            step_s=self.capabilities.lock_step_s,
        )

    def __repr__(self) -> str:
        return f"GcsStore({self.url!r})"

    # --- the contract -------------------------------------------------------------------------------------------------

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        return put_once(self, self._put_if_absent, name, body, retention)

    def _put_if_absent(self, name: str, body: Body, retention: ObjectRetention) -> PutOutcome:
        large = body_bytes(body) > MULTIPART_BYTES_MIN
        if large and (found := look_ahead(self, name)):
            return compare_present(self, name, body, _digest, found)
        checksum = _crc32c(body)
        self.put_checksums.note(name, f"crc32c:{checksum.hex()}")
        try:
            put = self._put_large if large else self._put_at_once
            reported = put(name, body, checksum, retention)
        except _Exists:
            return compare_present(self, name, body, _digest)
        if reported != checksum:
            raise ObjectCorrupt(f"put {self.url}/{name}: the service kept other bytes than were sent")
        return PutOutcome.CREATED

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        check_range(offset, length)
        if length == 0:
            self.head(name)
            return b""
        wanted = Wanted(f"{self.url}/{name}", offset, length, bytes_max)
        path = quote(self._prefix + check_name(name), safe="")
        try:
            with self._boundary("get", name), self._answer(path, wanted) as response:
                announced = response.headers.get("Content-Length", "")
                data = self._body_reader.read(
                    partial(response.raw.read1, decode_content=False),
                    wanted,
                    announced=int(announced) if announced.isdecimal() else None,
                    skipped=0 if wanted.whole or response.status_code == 206 else offset,
                )
        except _BeyondEnd:
            return b""
        sent = _sent_checksum(response.headers.get("x-goog-hash", ""))
        if wanted.whole and sent and sent != _crc32c(data):
            raise ObjectCorrupt(f"get {self.url}/{name}: the bytes do not have the service's checksum")
        return data

    @contextlib.contextmanager
    def _answer(self, path: str, wanted: Wanted) -> Iterator[requests.Response]:
        """Ask for the bytes of an object; its answer's body is not read yet."""
        response = self._session.get(
            f"{self._endpoint}/download/storage/v1/b/{self._bucket_name}/o/{path}",
            params={"alt": "media"},
            headers={"Accept-Encoding": "gzip", **({"Range": wanted.range_header} if wanted.range_header else {})},
            timeout=self._timeout_s,
            stream=True,
        )
        with contextlib.closing(response):
            yield _checked(response)

    def head(self, name: str) -> ObjectInfo:
        with self._boundary("head", name):
            blob = self._blob(name)
            blob.reload(timeout=self._timeout_s, retry=None)
            return _info(name, blob)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return in_order(self._listed(prefix), self.url)

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._boundary("list"):
            blobs = self._client.list_blobs(
                self._bucket_name,
                prefix=self._prefix + prefix,
                page_size=self._page_objects,
                fields=_LISTED_FIELDS,
                timeout=self._timeout_s,
                retry=None,
            )
            for blob in entries_of(blobs.pages, self.url):
                yield _info(blob.name.removeprefix(self._prefix), blob)

    def delete(self, name: str, seen: str) -> None:
        check_seen(f"{self.url}/{name}", seen)
        generation = None if seen == ANY_OBJECT else int(seen)
        with contextlib.suppress(ObjectNotFound, _Exists), self._boundary("delete", name):  # another one is there
            blob = self._client.bucket(self._bucket_name).blob(self._prefix + check_name(name), generation=generation)
            blob.delete(if_generation_match=generation, timeout=self._timeout_s, retry=None)

    def lock_state(self, name: str) -> LockState:
        return self._locks.state(name)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        return self._locks.extend(name, lock)

    def set_hold(self, name: str, *, held: bool) -> None:
        self._locks.set_hold(name, held=held)

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self.head(name)  # every class is read at once

    def now_utc(self) -> datetime:
        with self._boundary("now_utc"):
            address = f"{self._endpoint}/storage/v1/b/{self._bucket_name}/o"
            response = _checked(self._session.get(address, params={"maxResults": 1}, timeout=self._timeout_s))
            return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened[0].close()
                self._opened = None

    def copying(self) -> ServiceCopying:
        """Return rewrites by the service, between buckets that one credential may use."""
        account = blake3(self._service_account.encode()).hexdigest() if self._service_account else ""
        return ServiceCopying(
            service=("gcs", self._endpoint, account),
            url=self.url,
            locate=lambda name: f"{self._bucket_name}/{self._prefix}{check_name(name)}",
            start=rewrite(lambda: self._client, self._blob, self._timeout_s, self._boundary),
            exists_error=_Exists,
        )

    def probe_capability(self) -> GcsProbeCapability:
        """Return what only a probe does; see `farshore.stores.probe_capability`."""
        return GcsProbeCapability(
            bucket=self._client.bucket(self._bucket_name),
            session=self._session,
            address=f"{self._endpoint}/upload/storage/v1/b/{self._bucket_name}/o",
            prefix=self._prefix,
            timeout_s=self._timeout_s,
            boundary=self._boundary,
            exists_error=_Exists,
            checked=_checked,
            put=self._put_at_once,
        )

    # --- uploads ------------------------------------------------------------------------------------------------------

    def _put_at_once(
        self, name: str, body: Body, checksum: bytes, retention: ObjectRetention = DEFAULT_RETENTION
    ) -> bytes:
        """Send metadata and bytes in one request, without joining them in memory as the SDK would.

        Returns:
            The CRC32C of what the service kept.
        """
        related = Related(
            metadata={
                "name": self._prefix + check_name(name),
                "crc32c": base64.b64encode(checksum).decode(),
                **retention_metadata(retention),
            },
            body=body,
            boundary=self._clock.random_bytes(16).hex(),  # nobody can have put it into the bytes
        )
        with self._boundary("put", name):
            response = self._session.post(
                f"{self._endpoint}/upload/storage/v1/b/{self._bucket_name}/o",
                params={"uploadType": "multipart", "ifGenerationMatch": "0"},
                headers={"Content-Type": f"multipart/related; boundary={related.boundary}"},
                data=related,
                timeout=self._timeout_s,
            )
            return base64.b64decode(_checked(response).json()["crc32c"])

    def _put_large(self, name: str, body: Body, checksum: bytes, retention: ObjectRetention) -> bytes:
        """Send a large body in chunks of one resumable upload; return the CRC32C kept.

        The SDK treats a short read as the end, so a pace is not kept here.
        """
        with self._boundary("put", name), open_body(body) as stream:
            blob = self._blob(name)
            blob.crc32c = base64.b64encode(checksum).decode()
            blob.chunk_size = MULTIPART_PART_BYTES
            for key, value in retention_metadata(retention).items():
                blob._patch_property(key, value)  # noqa: SLF001 - the setter of a retention is not for new objects
            blob.upload_from_file(
                stream,
                size=body_bytes(body),
                content_type=CONTENT_TYPE,
                if_generation_match=0,
                checksum=None,
                timeout=self._timeout_s,
                retry=None,
            )
            return base64.b64decode(blob.crc32c)

    # --- connections --------------------------------------------------------------------------------------------------

    @property
    def _client(self) -> storage.Client:
        return self._open()[0]

    @property
    def _session(self) -> AuthorizedSession:
        return self._open()[1]

    def _open(self) -> tuple[storage.Client, AuthorizedSession]:
        with self._lock:
            if self._opened is None:
                credentials = self._find_credentials()
                session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
                adapter = Connections(self.request_counter)
                session.mount("https://", adapter)
                session.mount("http://", adapter)
                client = storage.Client(
                    project=None,
                    credentials=credentials,
                    _http=session,
                    client_options={"api_endpoint": self._endpoint},
                )
                # Otherwise a background thread asks for the bucket, with retries, to describe traces that nobody uses.
                client._bucket_metadata_cache = None  # noqa: SLF001 - there is no public switch but the environment
                self._opened = client, session
            return self._opened

    def _find_credentials(self) -> Any:
        if self._service_account.lstrip().startswith("{"):
            try:
                return Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                    json.loads(self._service_account), scopes=[_SCOPE]
                )
            except ValueError:  # its text would repeat parts of the key
                raise StoreDenied(
                    f"the service account for gs://{self._bucket_name} is not a key file's JSON"
                ) from None
        if self._service_account:
            try:
                return Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
                    self._service_account, scopes=[_SCOPE]
                )
            except (OSError, ValueError) as error:
                raise StoreDenied(f"no service account in {self._service_account}: {_text(error)}") from error
        if self._anonymous:
            return AnonymousCredentials()  # type: ignore[no-untyped-call]
        return default_credentials(scopes=[_SCOPE])[0]

    def _blob(self, name: str) -> storage.Blob:
        return self._client.bucket(self._bucket_name).blob(self._prefix + check_name(name))

    # --- errors -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _boundary(self, verb: str, name: str = "") -> Iterator[None]:
        """Turn what the SDK raises into the errors of the contract, most specific first."""
        place = f"{verb} {self.url}/{name}" if name else f"{verb} {self.url}"
        try:
            yield
        except sdk.GoogleAPICallError as error:
            raise self._answered(error, verb, place) from error
        except DataCorruption as error:
            raise ObjectCorrupt(f"{place}: the bytes do not have the service's checksum") from error
        except auth.GoogleAuthError as error:
            passing = isinstance(error, auth.TransportError) or getattr(error, "retryable", False)
            raise (StoreUnavailable if passing else StoreDenied)(f"{place}: {_text(error)}") from error
        except (HTTPError, OSError) as error:  # connections, time-outs, bodies cut short
            raise StoreUnavailable(f"{place}: {_text(error)}") from error
        except NONSENSE as error:
            raise StoreUnavailable(f"{place}: no answer of GCS ({type(error).__name__})") from error

    def _answered(self, error: sdk.GoogleAPICallError, verb: str, place: str) -> Exception:
        """Return the error for an answer of the service."""
        status = int(error.code or 0)
        text = f"{place}: {status}: {_text(error)}"
        if status == 404:
            return self._not_found(verb, text)
        if verb == LOCK_VERB and status in (400, 403, 409):
            return LockDenied(text)
        if status == 400 and verb == "put" and "crc32c" in error.message.lower():
            return StoreUnavailable(text)  # the bytes were altered on their way
        kind = _BY_STATUS.get(status) or (StoreDenied if 400 <= status < 500 else StoreUnavailable)
        if status == 403 and any(_reason(one) in _BUSY for one in error.errors or ()):
            kind = StoreUnavailable
        if kind is StoreUnavailable:
            return StoreUnavailable(text, wait_s=requested_wait_s(getattr(error.response, "headers", None)))
        return kind(text)

    def _not_found(self, verb: str, text: str) -> FarshoreError:
        """Return the error of a missing bucket or of a missing object."""
        if verb in ("put", "list", "now_utc"):
            return BucketNotFound(text)
        try:
            self.now_utc()
        except StoreDenied:  # these credentials may use objects and not look at their bucket
            return ObjectNotFound(text)
        except FarshoreError as error:
            return error
        return ObjectNotFound(text)


def _checked(response: requests.Response) -> requests.Response:
    """Return an answer that is one, or raise the SDK's error for it."""
    if not 200 <= response.status_code < 300:
        raise sdk.from_http_response(response)  # type: ignore[no-untyped-call] # the SDK is half typed
    return response


def _text(error: Exception) -> str:
    """Return the first line of an error, without the request that the SDK begins it with."""
    line = next(iter(str(getattr(error, "message", error)).splitlines()), "") or type(error).__name__
    return _REQUEST.sub("", line).rstrip(".: ")


def _reason(listed: Any) -> str:
    """Return the reason of one of the errors that an answer lists."""
    return str(listed.get("reason", "")) if isinstance(listed, Mapping) else ""


def _crc32c(body: Body) -> bytes:
    checksum = 0
    for piece in body_pieces(body):
        checksum = google_crc32c.extend(checksum, as_bytes(piece))
    return checksum.to_bytes(4, "big")


def _sent_checksum(hashes: str) -> bytes:
    """Return the CRC32C among the digests of a header, or nothing."""
    found = (one.strip().partition("=") for one in hashes.split(","))
    return next((base64.b64decode(value) for kind, _, value in found if kind == "crc32c"), b"")


def _digest(body: Body) -> str:
    """Return a body's checksum as `head` gives it."""
    return f"crc32c:{_crc32c(body).hex()}"


def _info(name: str, blob: storage.Blob) -> ObjectInfo:
    checksum = f"crc32c:{base64.b64decode(blob.crc32c).hex()}" if blob.crc32c else ""
    return ObjectInfo(
        name=name,
        size=blob.size,
        modified_utc=blob.updated,
        checksum=checksum,
        storage_class=blob.storage_class or "",
        seen=str(blob.generation or ""),
    )
