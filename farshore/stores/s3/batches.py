"""Requests about many objects for `S3Store`: DeleteObjects, and which versions names have, by listing versions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farshore.errors import FarshoreError, ObjectNotFound, StoreDenied, StoreUnavailable
from farshore.stores.base import ANY_OBJECT, DeletionErrors, SeenObjects, Store, check_name
from farshore.stores.one_by_one import delete_in_batches, heads_of
from farshore.stores.s3.answers import BY_CODE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DELETE_BATCH = 1000  # by S3's own rules
_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})
_PASSING = frozenset({"InternalError", "ServiceUnavailable", "ServiceFailure"})

Boundary = Callable[[str, str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class S3Batches:
    """Requests about many objects of one bucket, and those about one where these are refused.

    store: Asked one by one.
    """

    client: S3Client
    bucket: str
    prefix: str
    boundary: Boundary
    store: Store

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        """As the contract says."""
        return delete_in_batches(self.store, objects, DELETE_BATCH, self._delete)

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        """As the contract says: by listing versions, and one by one what that does not name."""
        keys, found = sorted(self.prefix + check_name(name) for name in names), {}
        if len(keys) > 1:
            with contextlib.suppress(StoreDenied, ObjectNotFound):  # these credentials may not list versions
                found = {key.removeprefix(self.prefix): version for key, version in self._versions(keys)}
        return {**found, **heads_of(self.store.head, [name for name in names if name not in found])}

    def _delete(self, objects: SeenObjects) -> DeletionErrors:
        """Delete objects in one request; return the error of each.

        Raises:
            FarshoreError: Of the request as a whole, so that nothing is known of any.
        """
        asked: list[Any] = [
            {"Key": self.prefix + name, **({} if seen == ANY_OBJECT else {"VersionId": seen})} for name, seen in objects
        ]
        with self.boundary("delete", ""):
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": asked, "Quiet": False})
            failed = {(one.get("Key", ""), one.get("VersionId", "")): one for one in answer.get("Errors", [])}
            gone = {one.get("Key", "") for one in answer.get("Deleted", [])}
        return [_error_of(one["Key"], one.get("VersionId", ""), failed, gone) for one in asked]

    def _versions(self, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield for sorted keys the version that each has now; at most a page for each key.

        Keys that the pages do not reach, or do not name, are left out.
        """
        wanted, last = set(keys), keys[0][:-1]  # before the first of them: a marker is not listed itself
        position: Any = {"KeyMarker": last}
        for _ in keys:
            with self.boundary("list", ""):
                page: Any = self.client.list_object_versions(Bucket=self.bucket, Prefix=_common(keys), **position)
                for one in page.get("Versions", []):
                    if one["Key"] in wanted and one.get("IsLatest") and one.get("VersionId", "null") != "null":
                        yield one["Key"], one["VersionId"]
                last = str(page.get("NextKeyMarker", ""))
                if not page.get("IsTruncated") or not last or last > keys[-1]:
                    return
                position = {"KeyMarker": last, "VersionIdMarker": str(page.get("NextVersionIdMarker", ""))}


def _error_of(key: str, version: str, failed: dict[tuple[str, str], Any], gone: set[str]) -> FarshoreError | None:
    """Return the error of one object; one that the answer does not name may still be there."""
    error = failed.get((key, version)) or failed.get((key, ""))
    if error is None:
        return None if key in gone else StoreUnavailable(f"delete {key}: the answer of S3 does not name it")
    code = str(error.get("Code", ""))
    if code in _GONE:
        return None
    kind = BY_CODE.get(code, StoreUnavailable if code in _PASSING else StoreDenied)
    text = f"delete {key}: {code}: {error.get('Message', '')}".rstrip(": .")
    return kind(text) if issubclass(kind, FarshoreError) else StoreDenied(text)


def _common(keys: Sequence[str]) -> str:
    first, last = keys[0], keys[-1]
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]
