"""Calls that only a probe makes of an S3 bucket. No SDK is imported: the store passes in all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from farshore.errors import READ_ERRORS, FarshoreError, StoreConflict
from farshore.limits import MIB
from farshore.plural import count_of
from farshore.stores.base import PutOutcome, check_name
from farshore.stores.probe_capability import BucketSettings, LifecycleRule, Setting
from farshore.stores.s3.lifecycle import rules_of
from farshore.stores.s3.locks import LOCK_VERB

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MODE = "GOVERNANCE"  # an administrator can lift it, so a trial cannot leave what nobody can remove


class S3ProbeCapability:
    """See `farshore.stores.probe_capability`.

    Args:
        boundary: Turns what the SDK raises into errors of the contract.
        exists_error: Raised by the boundary when the condition of a put is not met.
        checksum: The service's checksum of bytes, as its requests carry it.
    """

    part_bytes_min = 5 * MIB

    def __init__(
        self,
        *,
        client: S3Client,
        bucket: str,
        prefix: str,
        boundary: Callable[[str, str], AbstractContextManager[None]],
        exists_error: type[Exception],
        checksum: Callable[[bytes], str],
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._boundary = boundary
        self._exists_error = exists_error
        self._checksum = checksum

    def put_mislabeled(self, name: str, body: bytes) -> None:
        with self._boundary("put", name):
            self._client.put_object(
                **self._named(name), Body=body, IfNoneMatch="*", ChecksumCRC64NVME=self._checksum(body + b"other")
            )

    def replace(self, name: str, body: bytes) -> None:
        with self._boundary("put", name):
            self._client.put_object(**self._named(name), Body=body, ChecksumCRC64NVME=self._checksum(body))

    def begin_upload(self, name: str) -> S3Upload:
        with self._boundary("put", name):
            begun = self._client.create_multipart_upload(
                **self._named(name), ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
            )
        return S3Upload(self, name, begun["UploadId"])

    def uploads_begun(self, prefix: str) -> int | None:
        try:
            with self._boundary("list", prefix):
                found = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix + prefix)
        except READ_ERRORS:
            return None
        return len(found.get("Uploads", []))

    def settings(self) -> BucketSettings:
        versioning, lock, retention = Setting.UNKNOWN, Setting.UNKNOWN, ""
        with contextlib.suppress(*READ_ERRORS), self._boundary("settings", ""):
            status = self._client.get_bucket_versioning(Bucket=self._bucket).get("Status", "")
            versioning = Setting.ON if status == "Enabled" else Setting.OFF
        try:
            with self._boundary("settings", ""):
                found = self._client.get_object_lock_configuration(Bucket=self._bucket)["ObjectLockConfiguration"]
        except FarshoreError as error:
            lock = Setting.OFF if "ObjectLockConfigurationNotFoundError" in error.message else Setting.UNKNOWN
        else:
            lock = Setting.ON if found.get("ObjectLockEnabled") == "Enabled" else Setting.OFF
            rule: Any = found.get("Rule", {}).get("DefaultRetention", {})
            if rule:
                years, days = int(rule.get("Years") or 0), int(rule.get("Days") or 0)
                length = count_of(years, "year") if years else count_of(days, "day")
                retention = f"{str(rule.get('Mode', '')).lower()} for {length}"
        return BucketSettings(
            versioning=versioning,
            lock=lock,
            retention=retention,
            testable=lock is Setting.ON,
            lifecycle=self._lifecycle(),
        )

    def _lifecycle(self) -> tuple[LifecycleRule, ...] | None:
        try:
            with self._boundary("settings", ""):
                found = self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except FarshoreError as error:
            return () if "NoSuchLifecycleConfiguration" in error.message else None
        return tuple(rules_of(found.get("Rules", []), self._prefix))

    def put_locked(self, name: str, body: bytes, until_utc: datetime) -> None:
        with self._boundary("put", name):
            self._client.put_object(
                **self._named(name),
                Body=body,
                IfNoneMatch="*",
                ChecksumCRC64NVME=self._checksum(body),
                ObjectLockMode=_MODE,  # type: ignore[arg-type] # a literal of the stubs
                ObjectLockRetainUntilDate=until_utc,
            )

    def relock(self, name: str, until_utc: datetime) -> None:
        retention: Any = {"Mode": _MODE, "RetainUntilDate": until_utc}
        with self._boundary(LOCK_VERB, name):
            self._client.put_object_retention(**self._named(name), Retention=retention)

    def erase(self, name: str, *, bypass: bool = False) -> None:
        for version in self._versions(name):
            options: dict[str, Any] = {"VersionId": version} if version not in ("", "null") else {}
            if bypass:
                options["BypassGovernanceRetention"] = True
            with self._boundary("delete", name):
                self._client.delete_object(**self._named(name), **options)

    def _versions(self, name: str) -> list[str]:
        """Return the ids of all versions and delete markers of one object; one empty id where none can be listed."""
        key = self._prefix + check_name(name)
        try:
            with self._boundary("list", name):
                found = self._client.list_object_versions(Bucket=self._bucket, Prefix=key)
        except READ_ERRORS:
            return [""]
        entries: list[Any] = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
        return [str(entry.get("VersionId", "")) for entry in entries if entry["Key"] == key]

    def _named(self, name: str) -> Any:
        return {"Bucket": self._bucket, "Key": self._prefix + check_name(name)}

    # --- parts, for S3Upload ------------------------------------------------------------------------------------------

    def send_part(self, name: str, upload_id: str, number: int, piece: bytes) -> Any:
        """Send one part; return what completion wants to know of it."""
        checksum = self._checksum(piece)
        with self._boundary("put", name):
            answer = self._client.upload_part(
                **self._named(name), UploadId=upload_id, PartNumber=number, Body=piece, ChecksumCRC64NVME=checksum
            )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC64NVME": checksum}

    def complete(self, name: str, upload_id: str, parts: list[Any]) -> PutOutcome:
        """Make the object, if its name is free."""
        try:
            with self._boundary("put", name):
                self._client.complete_multipart_upload(
                    **self._named(name), UploadId=upload_id, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                )
        except self._exists_error as error:
            raise StoreConflict(f"{name} is taken") from error
        return PutOutcome.CREATED

    def abort(self, name: str, upload_id: str) -> None:
        """Give the parts up."""
        with self._boundary("put", name):
            self._client.abort_multipart_upload(**self._named(name), UploadId=upload_id)


class S3Upload:
    """An object on its way in parts."""

    def __init__(self, capability: S3ProbeCapability, name: str, upload_id: str) -> None:
        self._capability = capability
        self._name = name
        self._upload_id = upload_id
        self._parts: list[Any] = []

    def send(self, piece: bytes) -> None:
        self._parts.append(self._capability.send_part(self._name, self._upload_id, len(self._parts) + 1, piece))

    def finish(self) -> PutOutcome:
        return self._capability.complete(self._name, self._upload_id, self._parts)

    def abandon(self) -> None:
        self._capability.abort(self._name, self._upload_id)
