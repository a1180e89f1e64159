"""Calls that only a probe makes of an Azure container. No SDK is imported: the store passes in all of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from farshore.errors import READ_ERRORS, Bug, StoreConflict
from farshore.limits import MIB
from farshore.stores.base import PutOutcome
from farshore.stores.probe_capability import BucketSettings, Setting


class AzureProbeCapability:
    """See `farshore.stores.probe_capability`.

    Args:
        container: The SDK's client of the container.
        blob: Gives the SDK's client of one blob by its name in the store.
        boundary: Turns what the SDK raises into errors of the contract.
        exists_error: Raised by the boundary when the condition of a put is not met.
        commit: Commits a list of block ids as a blob on the condition that its name is free.
    """

    part_bytes_min = 1 * MIB  # any size will do

    def __init__(
        self,
        *,
        container: Any,
        prefix: str,
        blob: Callable[[str], Any],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        exists_error: type[Exception],
        commit: Callable[[Any, list[str]], None],
    ) -> None:
        self._container = container
        self._prefix = prefix
        self._blob = blob
        self._boundary = boundary
        self._exists_error = exists_error
        self._commit = commit

    def put_mislabeled(self, name: str, body: bytes) -> None:
        other = base64.b64encode(hashlib.md5(body + b"other", usedforsecurity=False).digest()).decode()
        with self._boundary("put", name):
            self._blob(name).upload_blob(body, overwrite=False, headers={"Content-MD5": other})

    def replace(self, name: str, body: bytes) -> None:
        try:
            with self._boundary("put", name):
                self._blob(name).upload_blob(body, overwrite=True)
        except self._exists_error as error:  # an immutability policy answers like a condition that is not met
            raise StoreConflict(f"{name} cannot be replaced") from error

    def begin_upload(self, name: str) -> AzureUpload:
        return AzureUpload(self, name)

    def uploads_begun(self, prefix: str) -> int | None:
        try:
            with self._boundary("list", ""):
                found = self._container.list_blobs(name_starts_with=self._prefix + prefix, include=["uncommittedblobs"])
                return sum(1 for blob in found if not blob.size and not blob.etag)
        except READ_ERRORS:
            return None

    def settings(self) -> BucketSettings:
        rules: list[str] = []
        lock = Setting.UNKNOWN
        with contextlib.suppress(*READ_ERRORS), self._boundary("settings", ""):
            found = self._container.get_container_properties()
            if found.has_immutability_policy:
                rules.append("an immutability policy of the container")
            if found.has_legal_hold:
                rules.append("a legal hold")
            each = getattr(found, "immutable_storage_with_versioning_enabled", None)
            lock = Setting.UNKNOWN if each is None else Setting.ON if each else Setting.OFF
        return BucketSettings(lock=lock, retention=" and ".join(rules))

    def put_locked(self, name: str, body: bytes, until_utc: datetime) -> None:
        raise Bug(f"a lock of {name} until {until_utc} on a kind of store that has no trial of it")

    def relock(self, name: str, until_utc: datetime) -> None:
        raise Bug(f"a lock of {name} until {until_utc} on a kind of store that has no trial of it")

    def erase(self, name: str, *, bypass: bool = False) -> None:
        with contextlib.suppress(*READ_ERRORS):
            if not self._exists(name):
                return
        with self._boundary("delete", name):
            self._blob(name).delete_blob(delete_snapshots="include")

    def _exists(self, name: str) -> bool:
        with self._boundary("head", name):
            return bool(self._blob(name).exists())

    # --- blocks, for AzureUpload --------------------------------------------------------------------------------------

    def stage(self, name: str, block: str, piece: bytes) -> None:
        """Send one block."""
        with self._boundary("put", name):
            self._blob(name).stage_block(block, piece, validate_content=True)

    def commit(self, name: str, blocks: list[str]) -> PutOutcome:
        """Make the blob, if its name is free."""
        try:
            with self._boundary("put", name):
                self._commit(self._blob(name), blocks)
        except self._exists_error as error:
            raise StoreConflict(f"{name} is taken") from error
        return PutOutcome.CREATED


class AzureUpload:
    """A blob on its way in blocks. Their ids hold the MD5 of the first one, so that two writers do not mix theirs."""

    def __init__(self, capability: AzureProbeCapability, name: str) -> None:
        self._capability = capability
        self._name = name
        self._writer = ""
        self._blocks: list[str] = []

    def send(self, piece: bytes) -> None:
        self._writer = self._writer or hashlib.md5(piece, usedforsecurity=False).hexdigest()
        block = f"{self._writer}-{len(self._blocks):06}"
        self._capability.stage(self._name, block, piece)
        self._blocks.append(block)

    def finish(self) -> PutOutcome:
        return self._capability.commit(self._name, self._blocks)

    def abandon(self) -> None:
        """Do nothing: Azure has no word for it, and forgets such blocks after a week."""
