"""A store in an S3 bucket, or in one of any service that speaks S3 with conditional writes.

Every put carries `If-None-Match: *` and the CRC-64/NVME of its bytes, which the service verifies before it
acknowledges. Large bodies go in parts, each with its own checksum, and become visible at once when they are completed
under the same condition; the service then holds the checksum of the whole object.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any

import boto3
import botocore.session
from awscrt.checksums import combine_crc64nvme, crc64nvme
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp
from urllib3.exceptions import HTTPError

from farshore.clock import Clock, SystemClock
from farshore.errors import (
    BucketNotFound,
    ExtraMissing,
    FarshoreError,
    LockDenied,
    LockUnsupported,
    ObjectCorrupt,
    ObjectNotFound,
    StoreDenied,
    StoreUnavailable,
)
from farshore.limits import (
    COMPARE_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    GIB,
    LIST_PAGE_OBJECTS,
    MULTIPART_BYTES_MIN,
    MULTIPART_PART_BYTES,
    READ_TIMEOUT_S,
    STORE_CONNECTIONS,
    WHOLE_READ_BYTES_MAX,
)
from farshore.stores.base import (
    ANY_OBJECT,
    NONSENSE,
    Body,
    Capabilities,
    DeletionErrors,
    ObjectInfo,
    PacedBody,
    PutOutcome,
    SeenObjects,
    Wanted,
    WithoutTrash,
    body_bytes,
    check_name,
    check_range,
    check_seen,
    entries_of,
    in_order,
)
from farshore.stores.body import PacedReader, as_sent, body_pieces, compare_present, counted, look_ahead, put_once
from farshore.stores.bounded import BodyReader, promptly
from farshore.stores.copying import ServiceCopying
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockMode, LockState, ObjectRetention
from farshore.stores.retry_after import requested_wait_s
from farshore.stores.s3.answers import BY_CODE, BY_OPERATION, BY_STATUS, UPGRADE, BeyondEnd, Exists, unsent
from farshore.stores.s3.batches import DELETE_BATCH, S3Batches
from farshore.stores.s3.copying import copy_object
from farshore.stores.s3.locks import (
    ARCHIVE_CLASSES,
    LOCK_VERB,
    PUT_LOCKED_VERB,
    NotLocked,
    S3Locks,
    access_of,
    put_verb,
    retention_headers,
)
from farshore.stores.s3.probe import S3ProbeCapability
from farshore.stores.traffic import PutChecksums, RequestCounter, RequestKind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PARTS_MAX = 10_000  # by S3's own rules
_NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.ProfileNotFound,
    sdk.TokenRetrievalError,
    sdk.UnauthorizedSSOTokenError,
)


class S3Store(WithoutTrash):
    """Objects in a bucket below a prefix.

    Args:
        prefix: Without slashes at its ends; empty for the whole bucket.
        endpoint: For S3-compatible and local services, which are then asked by path; None for AWS.
        credentials: `access_key`, `secret_key`, `session_token`; boto3's own chain where they are not given.
        page_objects: Objects in one page of a listing.
    """

    capabilities = Capabilities(
        kind="s3",
        checksum="crc64nvme",
        object_bytes_max=min(_PARTS_MAX * MULTIPART_PART_BYTES, 5 * 1024 * GIB),
        lock_modes=frozenset(LockMode),
        lock_step_s=1.0,  # a service that speaks S3 refuses to extend a lock by less
        archive_classes=ARCHIVE_CLASSES,
        delete_batch=DELETE_BATCH,
    )

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        region_name: str = "us-east-1",
        credentials: Mapping[str, str],
        clock: Clock | None = None,
        page_objects: int = LIST_PAGE_OBJECTS,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._page_objects = page_objects
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._service = ("s3", endpoint or "aws", credentials.get("access_key", ""))
        over_tls = endpoint is None or endpoint.startswith("https:")
        config = Config(
            connect_timeout=connect_timeout_s,
            read_timeout=read_timeout_s,
            retries={"total_max_attempts": 1, "mode": "standard"},  # the retrying wrapper retries
            max_pool_connections=STORE_CONNECTIONS,
            request_checksum_calculation="when_required",  # each put below carries its own
            response_checksum_validation="when_supported",
            s3={
                "addressing_style": "path" if endpoint else "auto",
                # Over TLS the checksum protects the body, and hashing it again would cost a pass for nothing.
                "payload_signing_enabled": not over_tls,
            },
        )
        with self._boundary("open"):
            session = botocore.session.Session()
            session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
            self._client: S3Client = boto3.session.Session(botocore_session=session).client(
                "s3",
                endpoint_url=endpoint,
                region_name=region_name,
                aws_access_key_id=credentials.get("access_key"),
                aws_secret_access_key=credentials.get("secret_key"),
                aws_session_token=credentials.get("session_token"),
                config=config,
            )
        self.request_counter = RequestCounter(clock)
        self._body_reader = BodyReader(clock or SystemClock(), read_timeout_s, self.request_counter.received)
        self.put_checksums = PutChecksums(_digest)
        self._client.meta.events.register("before-send.s3", self._count)
        self._client.meta.events.register("response-received.s3", self._note_time)
        self._locks = S3Locks(
            client=self._client, named=self._named, boundary=self._boundary, step_s=self.capabilities.lock_step_s
        )
        self._batches = S3Batches(self._client, self._bucket, self._prefix, self._boundary, self)

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    # --- the contract -------------------------------------------------------------------------------------------------

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        return put_once(self, self._put_if_absent, name, body, retention)

    def _put_if_absent(self, name: str, body: Body, retention: ObjectRetention) -> PutOutcome:
        key = self._key(name)
        if body_bytes(body) > MULTIPART_BYTES_MIN:
            return self._put_in_parts(name, key, body, retention)
        checksum = _crc64nvme(body)
        self.put_checksums.note(name, _shown_checksum(checksum))
        try:
            with self._boundary(put_verb(retention), name), _sent(body) as data:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=data,
                    IfNoneMatch="*",
                    ChecksumCRC64NVME=_base64(checksum),
                    **retention_headers(retention),
                )
        except Exists:
            return compare_present(self, name, body, _digest)
        return PutOutcome.CREATED

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        check_range(offset, length)
        if length == 0:
            self.head(name)
            return b""
        wanted = Wanted(f"{self.url}/{name}", offset, length, bytes_max)
        request: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key(name)}
        if wanted.whole:
            request["ChecksumMode"] = "ENABLED"  # botocore then compares the bytes with the service's checksum
        else:
            request["Range"] = wanted.range_header
        try:
            with self._boundary("get", name):
                response = self._client.get_object(**request)
                skipped = offset if "Range" in request and response["ResponseMetadata"]["HTTPStatusCode"] == 200 else 0
                with contextlib.closing(response["Body"]) as stream:  # as a context it gives the unchecked stream
                    read, announced = promptly(stream).read, response.get("ContentLength")
                    return self._body_reader.read(read, wanted, announced=announced, skipped=skipped)
        except BeyondEnd:
            return b""

    def head(self, name: str) -> ObjectInfo:
        with self._boundary("head", name):
            response = self._client.head_object(Bucket=self._bucket, Key=self._key(name), ChecksumMode="ENABLED")
            checksum, version = response.get("ChecksumCRC64NVME", ""), response.get("VersionId", "")
            return ObjectInfo(
                name=name,
                size=response["ContentLength"],
                modified_utc=response["LastModified"].astimezone(UTC),
                checksum=f"crc64nvme:{base64.b64decode(checksum).hex()}" if checksum and "-" not in checksum else "",
                storage_class=response.get("StorageClass", ""),
                access=access_of(response.get("StorageClass", ""), response.get("Restore", "")),
                seen=version if version != "null" else "",  # a put replaces that one without another id
            )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return in_order(self._listed(prefix), self.url)

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._prefix + prefix,
            PaginationConfig={"PageSize": self._page_objects},
        )
        with self._boundary("list"):
            for entry in entries_of((page.get("Contents", []) for page in pages), self.url):
                yield ObjectInfo(
                    name=entry["Key"].removeprefix(self._prefix),
                    size=entry["Size"],
                    modified_utc=entry["LastModified"].astimezone(UTC),
                    storage_class=entry.get("StorageClass", ""),
                    access=access_of(entry.get("StorageClass", ""), ""),
                )

    def delete(self, name: str, seen: str) -> None:
        check_seen(f"{self.url}/{name}", seen)
        version: Any = {} if seen == ANY_OBJECT else {"VersionId": seen}
        with contextlib.suppress(ObjectNotFound), self._boundary("delete", name):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name), **version)

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        return self._batches.delete_many(objects)

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        return self._batches.see_many(names)

    def lock_state(self, name: str) -> LockState:
        return self._locks.state(name)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        return self._locks.extend(name, lock)

    def set_hold(self, name: str, *, held: bool) -> None:
        self._locks.set_hold(name, held=held)

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self._locks.warm(name, days=days, tier=tier)

    def now_utc(self) -> datetime:
        with self._boundary("now_utc"):
            response = self._client.head_bucket(Bucket=self._bucket)
            return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)

    def close(self) -> None:
        self._client.close()

    def copying(self) -> ServiceCopying:
        """Return copies by the service; see `farshore.stores.copying`."""
        return ServiceCopying(
            service=self._service,
            url=self.url,
            locate=lambda name: f"{self._bucket}/{self._key(name)}",
            start=copy_object(self._client, self._bucket, self._key, self._boundary),
            exists_error=Exists,
        )

    def probe_capability(self) -> S3ProbeCapability:
        """Return what only a probe does; see `farshore.stores.probe_capability`."""
        return S3ProbeCapability(
            client=self._client,
            bucket=self._bucket,
            prefix=self._prefix,
            boundary=self._boundary,
            exists_error=Exists,
            checksum=lambda data: _base64(crc64nvme(data)),
        )

    # --- parts --------------------------------------------------------------------------------------------------------

    def _put_in_parts(self, name: str, key: str, body: Body, retention: ObjectRetention) -> PutOutcome:
        """Put a large body. The condition is checked only at its end, so a look beforehand spares sending in vain."""
        if found := look_ahead(self, name):
            return compare_present(self, name, body, _digest, found)
        with self._boundary(put_verb(retention), name):
            upload_id = self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                ChecksumAlgorithm="CRC64NVME",
                ChecksumType="FULL_OBJECT",
                **retention_headers(retention),
            )["UploadId"]
        try:
            parts, checksum, size = self._send_parts(name, key, upload_id, body)
            self.put_checksums.note(name, _shown_checksum(checksum))
            with self._boundary("put", name):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                    ChecksumCRC64NVME=_base64(checksum),
                    ChecksumType="FULL_OBJECT",
                    MpuObjectSize=size,
                )
        except BaseException as error:
            with contextlib.suppress(sdk.BotoCoreError, sdk.ClientError):  # the first error is the one to raise
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
            if isinstance(error, Exists):
                return compare_present(self, name, body, _digest)
            raise
        return PutOutcome.CREATED

    def _send_parts(
        self, name: str, key: str, upload_id: str, body: Body
    ) -> tuple[Sequence[CompletedPartTypeDef], int, int]:
        """Send all parts; return them with the checksum and size of the whole."""
        parts: list[CompletedPartTypeDef] = []
        whole, size = crc64nvme(b""), 0
        for number, piece in enumerate(body_pieces(body, MULTIPART_PART_BYTES), start=1):
            checksum = crc64nvme(piece)
            whole, size = combine_crc64nvme(whole, checksum, len(piece)), size + len(piece)
            paced = PacedBody(piece, body) if isinstance(body, PacedBody) else piece
            with self._boundary("put", name), _sent(paced) as part:
                response = self._client.upload_part(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=part,
                    ChecksumCRC64NVME=_base64(checksum),
                )
            parts.append({"PartNumber": number, "ETag": response["ETag"], "ChecksumCRC64NVME": _base64(checksum)})
        return parts, whole, size

    # --- errors -------------------------------------------------------------------------------------------------------

    def _count(self, event_name: str, request: Any, **_: Any) -> None:
        """Count a request at the moment it is sent; a returned value would replace its answer.

        A body with a pace was read to be signed, if it was; from here on it is read to be sent. The SDK has each body
        wait for the service to agree to it, which is another trip there and back: only for a large one that the service
        may refuse is that worth it.
        """
        if int(request.headers.get("Content-Length", 0)) <= COMPARE_BYTES_MAX:
            request.headers.pop("Expect", None)
        if isinstance(request.body, PacedReader):
            request.body.start()
        request.body = counted(request.body, self.request_counter.sent)
        self.request_counter.add(BY_OPERATION.get(event_name.rpartition(".")[2], RequestKind.PUT))

    def _note_time(self, response_dict: Mapping[str, Any] | None = None, **_: Any) -> None:
        self.request_counter.service_clock.note_header((response_dict or {}).get("headers", {}).get("date"))

    def _key(self, name: str) -> str:
        return self._prefix + check_name(name)

    def _named(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._key(name)}

    @contextlib.contextmanager
    def _boundary(self, verb: str, name: str = "") -> Iterator[None]:
        """Turn what the SDK raises into the errors of the contract, most specific first."""
        place = f"{verb} {self.url}/{name}" if name else f"{verb} {self.url}"
        try:
            yield
        except sdk.ClientError as error:
            raise self._answered(error, verb, place) from error
        except _NO_CREDENTIALS as error:
            raise StoreDenied(f"{place}: {_text(error)}") from error
        except sdk.FlexibleChecksumError as error:
            raise ObjectCorrupt(f"{place}: the bytes do not have the service's checksum") from error
        except sdk.ParamValidationError as error:
            raise unsent(place, error.kwargs.get("report", "")) from error
        except sdk.DataNotFoundError as error:  # a service that it does not know, S3 or one that gives credentials
            raise ExtraMissing(f"{place}: the S3 SDK of this host is incomplete or too old", UPGRADE) from error
        except (sdk.BotoCoreError, HTTPError, OSError) as error:  # connections, time-outs, bodies cut short
            raise StoreUnavailable(f"{place}: {_text(error)}") from error
        except (ResponseParserError, *NONSENSE) as error:
            raise StoreUnavailable(f"{place}: no answer of S3 ({type(error).__name__})") from error

    def _answered(self, error: sdk.ClientError, verb: str, place: str) -> Exception:
        """Return the error for an answer of the service."""
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = error.response.get("Error", {}).get("Message", "").rstrip(".")
        text = f"{place}: {code or status}{': ' if message else ''}{message}"
        if verb == "now_utc" and status == 404:
            return BucketNotFound(text)
        kind = BY_CODE.get(code) or BY_STATUS.get(status) or (StoreUnavailable if status >= 500 else StoreDenied)
        if verb == LOCK_VERB and code == "ObjectLockConfigurationNotFoundError":  # of the bucket, or of the object
            return NotLocked(text)
        if kind is ObjectNotFound:
            return self._not_found(text)
        if code == "InvalidRequest" and verb in (LOCK_VERB, PUT_LOCKED_VERB):  # the bucket was made without locks
            return LockUnsupported(text)
        if verb == LOCK_VERB and kind is StoreDenied:
            return LockDenied(text)
        if code == "RequestTimeTooSkewed":
            return StoreDenied(text, "Set this host's clock: it differs too much from the service's.")
        if kind is StoreUnavailable:
            headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            return StoreUnavailable(text, wait_s=requested_wait_s(headers))
        return kind(text)

    def _not_found(self, text: str) -> FarshoreError:
        """Return the error of a missing bucket or object, which an answer without a body does not distinguish."""
        try:
            self.now_utc()
        except StoreDenied:  # these credentials may use objects and not look at their bucket
            return ObjectNotFound(text)
        except FarshoreError as error:
            return error
        return ObjectNotFound(text)


@contextlib.contextmanager
def _sent(body: Body) -> Iterator[bytes | IO[bytes]]:
    """Give a body as the SDK sends it, and close it afterwards."""
    data = as_sent(body)
    try:
        yield data
    finally:
        if not isinstance(data, bytes):
            data.close()


def _crc64nvme(body: Body) -> int:
    checksum: int = crc64nvme(b"")
    for piece in body_pieces(body):
        checksum = crc64nvme(piece, checksum)
    return checksum


def _digest(body: Body) -> str:
    """Return a body's checksum as `head` gives it."""
    return _shown_checksum(_crc64nvme(body))


def _shown_checksum(checksum: int) -> str:
    return f"crc64nvme:{checksum:016x}"


def _read_time(text: Any) -> datetime:
    """Return a time of an answer; the SDK's own reader guesses at forms and needs most of the time of a listing."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):  # a header, or a service with a form of its own
        moment: datetime = parse_timestamp(text)
        return moment


def _base64(checksum: int) -> str:
    return base64.b64encode(checksum.to_bytes(8, "big")).decode()


def _text(error: Exception) -> str:
    return str(error).rstrip(".")
