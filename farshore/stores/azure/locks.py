"""Locks, holds and tiers of Azure Blob Storage. The store passes in the SDK's clients and types.

A lock is a blob's immutability policy: `Unlocked` for governance, `Locked` for compliance. An unlocked one can be made
shorter by anyone who may set it, so the policy that is there is read before one is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from farshore.errors import LockDenied, StoreDenied
from farshore.stores.object_retention import Access, Lock, LockMode, LockState, ObjectRetention, lock_to_set

LOCK_VERB = "lock"  # the verb for which the store's boundary raises LockDenied instead of StoreDenied
ARCHIVE_TIER = "Archive"
_WARM_TIER = "Hot"
_MODES = {LockMode.GOVERNANCE: "Unlocked", LockMode.COMPLIANCE: "Locked"}
_LOCK_MODES = {word.lower(): mode for mode, word in _MODES.items()}


def access_of(tier: str, status: str) -> Access:
    """Return whether a blob can be read, from its tier and the state of a change of tier."""
    if tier != ARCHIVE_TIER:
        return Access.READY
    return Access.WARMING if status.startswith("rehydrate") else Access.ARCHIVED


class AzureLocks:
    """Reads and sets the locks and holds of a blob. See the contract of stores.

    Args:
        blob: Gives the SDK's client of one blob by its name in the store.
        tier: Makes the SDK's tier of its name.
        policy: Makes the SDK's immutability policy of a time and a mode.
        boundary: Turns what the SDK raises into errors of the contract.
    """

    def __init__(
        self,
        *,
        blob: Callable[[str], Any],
        policy: Callable[..., Any],
        tier: Callable[[str], Any],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        step_s: float,
    ) -> None:
        self._blob = blob
        self._policy = policy
        self._tier = tier
        self._boundary = boundary
        self._step_s = step_s

    def retention_options(self, retention: ObjectRetention) -> dict[str, Any]:
        """Return lock and tier of a new blob, as options of the call that makes it."""
        options: dict[str, Any] = {}
        if retention.lock is not None:
            options["immutability_policy"] = self._policy_of(retention.lock)
        if retention.storage_class:
            try:
                options["standard_blob_tier"] = self._tier(retention.storage_class)
            except ValueError as error:
                raise StoreDenied(
                    f"Azure has no tier {retention.storage_class!r}", "Use Hot, Cool, Cold or Archive."
                ) from error
        return options

    def state(self, name: str) -> LockState:
        with self._boundary(LOCK_VERB, name):
            found = self._blob(name).get_blob_properties()
            mode = _LOCK_MODES.get(str(found.immutability_policy.policy_mode or "").lower())
            until = found.immutability_policy.expiry_time
            lock = None if mode is None or until is None else Lock(mode, until)
            return LockState(lock, bool(found.has_legal_hold))

    def extend(self, name: str, lock: Lock) -> Lock:
        found = self.state(name).lock
        needed = lock_to_set(found, lock, self._step_s)
        if needed is None:
            return found or lock
        with self._boundary(LOCK_VERB, name):
            answer = self._blob(name).set_immutability_policy(self._policy_of(needed))
        if not answer.get("immutability_policy_until_date"):
            raise LockDenied(f"{name}: the service accepted a lock and does not report it")
        return needed

    def set_hold(self, name: str, *, held: bool) -> None:
        with self._boundary(LOCK_VERB, name):
            self._blob(name).set_legal_hold(held)

    def warm(self, name: str, *, tier: str = "") -> None:
        with self._boundary("head", name):
            found = self._blob(name).get_blob_properties()
        if access_of(str(found.blob_tier or ""), str(found.archive_status or "")) is not Access.ARCHIVED:
            return
        with self._boundary("warm", name):
            self._blob(name).set_standard_blob_tier(_WARM_TIER, rehydrate_priority=tier or "Standard")

    def _policy_of(self, lock: Lock) -> Any:
        """Azure keeps whole seconds, so an end is rounded up."""
        until_utc = datetime.fromtimestamp(math.ceil(lock.until_utc.timestamp()), UTC)
        return self._policy(expiry_time=until_utc, policy_mode=_MODES[lock.mode])
