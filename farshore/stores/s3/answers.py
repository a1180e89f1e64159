"""What S3 and its likes answer, as errors of the contract. No SDK is imported here."""

from __future__ import annotations

from farshore.errors import BucketNotFound, ObjectArchived, ObjectNotFound, StoreDenied, StoreFull, StoreUnavailable
from farshore.stores.s3.locks import NotLocked


class Exists(Exception):
    """The condition of a put was not met: the name is taken."""


class BeyondEnd(Exception):
    """A range starts behind the object's last byte."""


# Codes first: one status stands for several things. What is in neither table passes when it is 500 or above; below
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
