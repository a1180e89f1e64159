"""Answers of S3 and compatible services, as errors of the contract; kinds of requests. No SDK is imported here."""

from __future__ import annotations

import re

from farshore.errors import (
    BucketNotFound,
    Bug,
    ConfigInvalid,
    ExtraMissing,
    Failure,
    ObjectArchived,
    ObjectNotFound,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from farshore.stores.s3.locks import NotLocked
from farshore.stores.traffic import RequestKind


class Exists(Exception):
    """The condition of a put was not met: the name exists."""


class BeyondEnd(Exception):
    """A range starts behind the object's last byte."""


# Codes first: one status means several things. A status in neither table passes when it is 500 or above; below
# that it is a refusal which no retry cures: wrong or expired credentials, and requests the service does not know. Of
# the passing ones some services say with a 4xx that they are too busy.
BY_CODE: dict[str, type[Exception]] = {
    "PreconditionFailed": Exists,
    "InvalidRange": BeyondEnd,
    "NoSuchBucket": BucketNotFound,
    "NoSuchKey": ObjectNotFound,
    "NoSuchUpload": StoreUnavailable,
    "NoSuchObjectLockConfiguration": NotLocked,
    "NoSuchObjectLegalHold": NotLocked,
    "InvalidObjectState": ObjectArchived,
    "BadDigest": StoreUnavailable,
    "XAmzContentChecksumMismatch": StoreUnavailable,
    "BandwidthLimitExceeded": StoreUnavailable,
    "IncompleteBody": StoreUnavailable,
    "KMS.ThrottlingException": StoreUnavailable,
    "RequestLimitExceeded": StoreUnavailable,
    "RequestTimeout": StoreUnavailable,
    "RequestTimeoutException": StoreUnavailable,
    "RequestThrottled": StoreUnavailable,
    "SlowDown": StoreUnavailable,
    "Throttling": StoreUnavailable,
    "ThrottlingException": StoreUnavailable,
    "TooManyRequests": StoreUnavailable,
    "InsufficientStorage": StoreFull,
    "QuotaExceeded": StoreFull,
    "StorageFull": StoreFull,
    "XMinioStorageFull": StoreFull,
}
BY_STATUS: dict[int, type[Exception]] = {
    404: ObjectNotFound,
    408: StoreUnavailable,
    409: StoreUnavailable,  # ConditionalRequestConflict, OperationAborted: another request was at work on the name
    412: Exists,
    416: BeyondEnd,
    425: StoreUnavailable,
    429: StoreUnavailable,
    501: StoreDenied,  # the service does not do what the request needs, conditional writes for instance
    507: StoreFull,
}

# Requests by kind.
BY_OPERATION = {
    "GetObject": RequestKind.GET,
    "HeadObject": RequestKind.HEAD,
    "HeadBucket": RequestKind.HEAD,
    "GetObjectRetention": RequestKind.HEAD,
    "GetObjectLegalHold": RequestKind.HEAD,
    "ListObjectsV2": RequestKind.LIST,
    "ListObjectVersions": RequestKind.LIST,
    "DeleteObject": RequestKind.DELETE,
    "DeleteObjects": RequestKind.DELETE,
    "AbortMultipartUpload": RequestKind.DELETE,
}  # all others write: an object, a part, the beginning or end of an object in parts

UPGRADE = "Install the SDK that fits: pip install --upgrade 'farshore[s3]'"
_PARAMETER = re.compile(r'parameter (?:in \S+ )?"?([\w.\[\]]+)')
_OF_ANSWERS = {"UploadId", "ETag", "VersionId", "ContinuationToken", "KeyMarker", "VersionIdMarker", "UploadIdMarker"}
_OF_CREDENTIALS = {"RoleArn", "RoleSessionName", "ExternalId", "SerialNumber", "TokenCode", "WebIdentityToken",
                   "DurationSeconds", "accessToken", "accountId", "roleName", "clientId", "clientSecret"}  # fmt: skip


def unsent(place: str, report: str) -> Failure:
    """Return the error for a request that the SDK refused to send, by its report on the parameters.

    A service or a configuration is the cause where the parameter is theirs. A bug is what only this code makes: a key,
    a body, a checksum, or a name that no configuration gives.
    """
    text = f"{place}: {report.splitlines()[0] if report else 'a request was refused before it was sent'}"
    if "Unknown parameter in" in report:
        return ExtraMissing(f"{text.partition(', must be')[0]}: the S3 SDK of this host is too old", UPGRADE)
    if report.startswith("Invalid bucket name"):
        return ConfigInvalid(text.partition(": Bucket name must")[0], "Write the URL as s3://bucket/prefix.")
    named = {found.rpartition(".")[2] for found in _PARAMETER.findall(report)}
    if named & _OF_CREDENTIALS:
        return StoreDenied(text, "Correct the profile from which the S3 SDK of this host takes its credentials.")
    if named and named <= _OF_ANSWERS:
        return StoreUnavailable(f"{text}: no answer of S3")
    return Bug(text)
