"""Answers of Azure as errors of the contract. Texts of the SDK's errors may hold a signed address; it is cut out."""

from __future__ import annotations

import re

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from farshore.errors import (
    BucketNotFound,
    LockDenied,
    ObjectArchived,
    ObjectNotFound,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from farshore.stores.azure.locks import LOCK_VERB
from farshore.stores.retry_after import requested_wait_s

_SIGNATURE = re.compile(r"(?i)\b(sig|sv|se|sp|st|spr|sr|skoid|sktid)=[^&\s'\")]+")


class Exists(Exception):
    """The condition of a put was not met: the name exists."""


class Replaced(Exception):
    """The blob is not the one that a delete is for."""


class BeyondEnd(Exception):
    """A range starts behind the blob's last byte."""


# Codes first: one status means several things. A status in neither table is a refusal that no retry cures when it
# is a 4xx; others mean a service or gateway in trouble.
_BY_CODE: dict[str, type[Exception]] = {
    "BlobAlreadyExists": Exists,
    "BlobImmutableDueToPolicy": Exists,
    "BlobArchived": ObjectArchived,
    "BlobBeingRehydrated": ObjectArchived,
    "ContainerNotFound": BucketNotFound,
    "ContainerBeingDeleted": BucketNotFound,
    "ContainerDisabled": BucketNotFound,
    "BlobNotFound": ObjectNotFound,
    "ResourceNotFound": ObjectNotFound,
    "InvalidBlockList": StoreUnavailable,  # another writer committed, which drops the blocks of everybody else
    "Md5Mismatch": StoreUnavailable,
    "Crc64Mismatch": StoreUnavailable,
    "ServerBusy": StoreUnavailable,
    "OperationTimedOut": StoreUnavailable,
    "InvalidRange": BeyondEnd,
}
_BY_STATUS: dict[int, type[Exception]] = {
    404: ObjectNotFound,
    408: StoreUnavailable,
    409: StoreUnavailable,
    412: Exists,
    416: BeyondEnd,
    429: StoreUnavailable,
    501: StoreDenied,  # the service does not do what the request needs
    507: StoreFull,
}


def to_error(error: HttpResponseError, verb: str, place: str) -> Exception:
    """Return the error for an answer of the service, or for a request that the SDK gave up on."""
    code = getattr(error, "error_code", None) or ""  # the SDK's own enumeration, or text where it does not know it
    code = str(getattr(code, "value", code))
    status = error.status_code or 0
    text = f"{place}: {code or status or 'no answer'}: {message_of(error)}"
    if not status:
        return (StoreDenied if isinstance(error, ClientAuthenticationError) else StoreUnavailable)(text)
    if status == 404 and verb in ("list", "now_utc"):
        return BucketNotFound(text)
    if verb == LOCK_VERB and 400 <= status < 500 and status not in (404, 408, 429):
        return LockDenied(text)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (StoreDenied if 400 <= status < 500 else StoreUnavailable)
    if code == "ConditionNotMet" and verb == "delete":
        return Replaced(text)
    if kind is Exists and verb in ("delete", "warm"):  # a lock or hold keeps it
        return StoreDenied(text)
    if kind is StoreUnavailable:
        return StoreUnavailable(text, wait_s=requested_wait_s(getattr(error.response, "headers", None)))
    return kind(text)


def message_of(error: Exception) -> str:
    """Return the first line of an error without what signs an address."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return _SIGNATURE.sub(r"\1=...", line).rstrip(".")
