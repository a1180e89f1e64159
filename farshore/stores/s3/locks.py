"""Locks, holds and archived objects of S3. The store passes in the client and its errors; no SDK is imported here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from farshore.errors import LockUnsupported, StoreUnavailable
from farshore.stores.object_retention import Access, Lock, LockMode, LockState, ObjectRetention, extend_or_find

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOCK_VERB = "lock"  # the verb for which the store's boundary raises LockDenied instead of StoreDenied
PUT_LOCKED_VERB = "put-locked"
ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})  # GLACIER_IR is read like any other
_WARMING = "RestoreAlreadyInProgress"


class NotLocked(Exception):
    """The object has no lock or hold."""


def put_verb(retention: ObjectRetention) -> str:
    """Return the verb of a put for the store's boundary, which distinguishes a bucket without locks."""
    return "put" if retention.lock is None else PUT_LOCKED_VERB


def retention_headers(retention: ObjectRetention) -> Any:
    """Return lock and class of a new object, as parameters of the request that makes it."""
    headers: dict[str, Any] = {}
    if retention.lock is not None:
        headers["ObjectLockMode"] = retention.lock.mode.value.upper()
        headers["ObjectLockRetainUntilDate"] = retention.lock.until_utc
    if retention.storage_class:
        headers["StorageClass"] = retention.storage_class
    return headers


def access_of(storage_class: str, restore: str) -> Access:
    """Return whether an object can be read, from its class and what `head` says of a copy asked for."""
    if storage_class not in ARCHIVE_CLASSES:
        return Access.READY
    if 'ongoing-request="true"' in restore:
        return Access.WARMING
    return Access.READY if 'ongoing-request="false"' in restore else Access.ARCHIVED


class S3Locks:
    """Reads and sets the locks and holds of an object. See the contract of stores.

    Args:
        named: Bucket and key of a name.
        boundary: Turns what the SDK raises into errors of the contract.
        step_s: A lock is not extended by less than this.
    """

    def __init__(
        self,
        *,
        client: S3Client,
        named: Callable[[str], Any],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        step_s: float,
    ) -> None:
        self._client = client
        self._named = named
        self._boundary = boundary
        self._step_s = step_s

    def state(self, name: str) -> LockState:
        held = False
        with contextlib.suppress(NotLocked, LockUnsupported), self._boundary(LOCK_VERB, name):
            answer = self._client.get_object_legal_hold(**self._named(name))
            held = answer.get("LegalHold", {}).get("Status") == "ON"
        return LockState(self._lock(name), held)

    def extend(self, name: str, lock: Lock) -> Lock:
        return extend_or_find(
            lock,
            apply=lambda wanted: self._set(name, wanted),
            find=lambda: self._lock(name),
            step_s=self._step_s,
        )

    def set_hold(self, name: str, *, held: bool) -> None:
        with self._boundary(LOCK_VERB, name):
            self._client.put_object_legal_hold(**self._named(name), LegalHold={"Status": "ON" if held else "OFF"})

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        with self._boundary("head", name):
            answer = self._client.head_object(**self._named(name))
        if access_of(answer.get("StorageClass", ""), answer.get("Restore", "")) is not Access.ARCHIVED:
            return
        request: Any = {"Days": days}
        if tier:
            request["GlacierJobParameters"] = {"Tier": tier}
        try:
            with self._boundary("warm", name):
                self._client.restore_object(**self._named(name), RestoreRequest=request)
        except StoreUnavailable as error:
            if _WARMING not in error.message:
                raise

    def _lock(self, name: str) -> Lock | None:
        with contextlib.suppress(NotLocked, LockUnsupported), self._boundary(LOCK_VERB, name):
            found = self._client.get_object_retention(**self._named(name)).get("Retention", {})
            if found.get("Mode") and found.get("RetainUntilDate"):
                return Lock(LockMode(found["Mode"].lower()), found["RetainUntilDate"])
        return None

    def _set(self, name: str, lock: Lock) -> None:
        """Ask for a lock without the right to lift one, so that the service refuses to shorten what is there."""
        retention: Any = {"Mode": lock.mode.value.upper(), "RetainUntilDate": lock.until_utc}
        try:
            with self._boundary(LOCK_VERB, name):
                self._client.put_object_retention(**self._named(name), Retention=retention)
        except NotLocked as error:
            raise LockUnsupported(str(error)) from error
