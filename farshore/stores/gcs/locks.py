"""Locks and holds of Cloud Storage. The store passes in the SDK's clients and errors; no SDK is imported here.

A lock is an object's retention: `Unlocked` for governance, `Locked` for compliance. A legal hold is a temporary hold.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from farshore.stores.object_retention import Lock, LockMode, LockState, ObjectRetention, extend_or_find

LOCK_VERB = "lock"  # the verb for which the store's boundary raises LockDenied instead of StoreDenied
_MODES = {LockMode.GOVERNANCE: "Unlocked", LockMode.COMPLIANCE: "Locked"}
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_LOCK_MODES = {word: mode for mode, word in _MODES.items()}


def retention_metadata(retention: ObjectRetention) -> dict[str, Any]:
    """Return lock and class of a new object, as metadata of the request that makes it."""
    metadata: dict[str, Any] = {}
    if retention.lock is not None:
        metadata["retention"] = _retention(retention.lock)
    if retention.storage_class:
        metadata["storageClass"] = retention.storage_class
    return metadata


class GcsLocks:
    """Reads and sets the locks and holds of an object. See the contract of stores.

    Args:
        blob: Gives the SDK's client of one object by its name in the store.
        boundary: Turns what the SDK raises into errors of the contract.
    """

    def __init__(
        self,
        *,
        blob: Callable[[str], Any],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        timeout_s: tuple[float, float],
        step_s: float,
    ) -> None:
        self._blob = blob
        self._boundary = boundary
        self._options: dict[str, Any] = {"timeout": timeout_s, "retry": None}
        self._step_s = step_s

    def state(self, name: str) -> LockState:
        with self._boundary(LOCK_VERB, name):
            blob = self._blob(name)
            blob.reload(**self._options)
            return LockState(_lock(blob), bool(blob.temporary_hold or blob.event_based_hold))

    def extend(self, name: str, lock: Lock) -> Lock:
        return extend_or_find(
            lock,
            apply=lambda wanted: self._patch(name, "retention", _retention(wanted)),
            find=lambda: self.state(name).lock,
            step_s=self._step_s,
        )

    def set_hold(self, name: str, *, held: bool) -> None:
        self._patch(name, "temporaryHold", held)

    def _patch(self, name: str, key: str, value: Any) -> None:
        """Change one property without the right to lift locks, so that the service refuses to shorten one."""
        with self._boundary(LOCK_VERB, name):
            blob = self._blob(name)
            blob._patch_property(key, value)  # noqa: SLF001 - the public setters send two requests for a retention
            blob.patch(**self._options)


def _retention(lock: Lock) -> dict[str, str]:
    return {"mode": _MODES[lock.mode], "retainUntilTime": lock.until_utc.astimezone(UTC).strftime(_TIME)}


def _lock(blob: Any) -> Lock | None:
    """Return the lock of an object; a retention policy of the bucket alone counts as one that can be lifted."""
    retention = blob.retention
    mode = _LOCK_MODES.get(str(retention.mode or ""))
    until: datetime | None = retention.retain_until_time
    if mode is not None and until is not None:
        return Lock(mode, until)
    expires: datetime | None = blob.retention_expiration_time or retention.retention_expiration_time
    return None if expires is None else Lock(LockMode.GOVERNANCE, expires)
