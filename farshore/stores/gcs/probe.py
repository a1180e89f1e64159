"""Calls that only a probe makes of a GCS bucket. No SDK is imported: the store passes in all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from farshore.errors import READ_ERRORS, Bug, StoreConflict
from farshore.limits import MIB
from farshore.stores.base import PutOutcome, check_name
from farshore.stores.probe_capability import BucketSettings, Effect, LifecycleRule, Setting, overlaps

_MOVED_ON = (200, 204, 308, 404, 410, 499)  # a session's answers to a part, or to being given up


class GcsProbeCapability:
    """See `farshore.stores.probe_capability`.

    Args:
        bucket: The SDK's client of the bucket.
        session: Sends requests with the credential, on kept connections.
        address: Of uploads to the bucket.
        boundary: Turns what the SDK raises into errors of the contract.
        exists_error: Raised by the boundary when the condition of a put is not met.
        checked: Returns an answer that is one, or raises the SDK's error for it.
        put: Sends name, body and the CRC32C to be claimed, on the condition that the name is free.
    """

    part_bytes_min = 1 * MIB  # a multiple of 256 KiB

    def __init__(
        self,
        *,
        bucket: Any,
        session: Any,
        address: str,
        prefix: str,
        timeout_s: tuple[float, float],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        exists_error: type[Exception],
        checked: Callable[[Any], Any],
        put: Callable[[str, bytes, bytes], object],
    ) -> None:
        self._bucket = bucket
        self._session = session
        self._address = address
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._boundary = boundary
        self._exists_error = exists_error
        self._checked = checked
        self._put = put

    def put_mislabeled(self, name: str, body: bytes) -> None:
        self._put(name, body, b"\0\0\0\1")

    def replace(self, name: str, body: bytes) -> None:
        with self._boundary("put", name):
            self._blob(name).upload_from_string(body, checksum=None, timeout=self._timeout_s, retry=None)

    def begin_upload(self, name: str) -> GcsUpload:
        with self._boundary("put", name):
            answer = self._checked(
                self._session.post(
                    self._address,
                    params={"uploadType": "resumable", "ifGenerationMatch": "0"},
                    json={"name": self._prefix + check_name(name)},
                    timeout=self._timeout_s,
                )
            )
            return GcsUpload(self, name, answer.headers["Location"])

    def uploads_begun(self, prefix: str) -> int | None:
        return None  # GCS lists no sessions; it forgets them after a week

    def settings(self) -> BucketSettings:
        rules: list[str] = []
        versioning = lock = Setting.UNKNOWN
        lifecycle: tuple[LifecycleRule, ...] | None = None
        with contextlib.suppress(*READ_ERRORS), self._boundary("settings", ""):
            self._bucket.reload(timeout=self._timeout_s, retry=None)
            versioning = Setting.ON if self._bucket.versioning_enabled else Setting.OFF
            lock = Setting.ON if self._bucket.object_retention_mode == "Enabled" else Setting.OFF
            lifecycle = tuple(_rules_of(self._bucket.lifecycle_rules, self._prefix))
            if self._bucket.retention_period:
                rules.append(f"a retention policy of {int(self._bucket.retention_period)} s")
            if self._bucket.default_event_based_hold:
                rules.append("an event-based hold on every object")
        return BucketSettings(versioning=versioning, lock=lock, retention=" and ".join(rules), lifecycle=lifecycle)

    def put_locked(self, name: str, body: bytes, until_utc: datetime) -> None:
        raise Bug(f"a lock of {name} until {until_utc} on a kind of store that has no trial of it")

    def relock(self, name: str, until_utc: datetime) -> None:
        raise Bug(f"a lock of {name} until {until_utc} on a kind of store that has no trial of it")

    def erase(self, name: str, *, bypass: bool = False) -> None:
        key = self._prefix + check_name(name)
        with self._boundary("delete", name):
            found = self._bucket.list_blobs(prefix=key, versions=True, timeout=self._timeout_s, retry=None)
            for blob in [one for one in found if one.name == key]:
                blob.delete(timeout=self._timeout_s, retry=None)

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._prefix + check_name(name))

    # --- sessions, for GcsUpload --------------------------------------------------------------------------------------

    def send(self, name: str, session: str, piece: bytes, span: str) -> None:
        """Send bytes of one session."""
        try:
            with self._boundary("put", name):
                answer = self._session.put(
                    session, data=piece, headers={"Content-Range": f"bytes {span}"}, timeout=self._timeout_s
                )
                if answer.status_code not in _MOVED_ON[:3]:
                    self._checked(answer)
        except self._exists_error as error:
            raise StoreConflict(f"{name} is taken") from error

    def give_up(self, name: str, session: str) -> None:
        """End a session without an object."""
        with self._boundary("put", name):
            answer = self._session.delete(session, headers={"Content-Length": "0"}, timeout=self._timeout_s)
            if answer.status_code not in _MOVED_ON:
                self._checked(answer)


class GcsUpload:
    """An object on its way in one session. The last part is kept back, because the object appears when it arrives."""

    def __init__(self, capability: GcsProbeCapability, name: str, session: str) -> None:
        self._capability = capability
        self._name = name
        self._session = session
        self._pending = b""
        self._sent = 0

    def send(self, piece: bytes) -> None:
        if self._pending:
            self._send_pending("*")
        self._pending = piece

    def finish(self) -> PutOutcome:
        self._send_pending(str(self._sent + len(self._pending)))
        return PutOutcome.CREATED

    def abandon(self) -> None:
        self._capability.give_up(self._name, self._session)

    def _send_pending(self, total: str) -> None:
        end = self._sent + len(self._pending)
        self._capability.send(self._name, self._session, self._pending, f"{self._sent}-{end - 1}/{total}")
        self._sent = end


def _rules_of(rules: Iterable[Mapping[str, Any]], prefix: str) -> Iterator[LifecycleRule]:
    """Yield what rules do to objects below a prefix. Rules have no names here, so their place in the list serves."""
    for number, rule in enumerate(rules, start=1):
        action, condition = rule.get("action", {}), rule.get("condition", {})
        prefixes = condition.get("matchesPrefix") or [""]
        if not any(overlaps(one, prefix) for one in prefixes):
            continue
        hidden = condition.get("isLive") is False or any(
            condition.get(key) for key in ("numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore")
        )
        when = ", ".join(f"{key} {value}" for key, value in sorted(condition.items()) if key != "matchesPrefix")
        name = f"number {number}"
        if action.get("type") == "Delete":
            yield LifecycleRule(name, Effect.DELETES_HIDDEN if hidden else Effect.DELETES, when or "at once")
        elif action.get("type") == "SetStorageClass" and not hidden:
            yield LifecycleRule(name, Effect.MOVES, when or "at once", str(action.get("storageClass", "")))
