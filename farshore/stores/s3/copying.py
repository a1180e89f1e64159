"""CopyObject for `S3Store`, on the condition that the target's name is free."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from farshore.errors import StoreConflict
from farshore.stores.base import check_name
from farshore.stores.copying import Copying

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Copying:
    """Copies within one service with one credential; objects up to 5 GiB, which is the service's own limit."""

    def __init__(
        self,
        *,
        client: S3Client,
        bucket: str,
        prefix: str,
        service: tuple[str, ...],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        exists_error: type[Exception],
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._boundary = boundary
        self._exists_error = exists_error
        self.service = service

    def address(self, name: str) -> str:
        return f"{self._bucket}/{self._prefix}{check_name(name)}"

    def copy_from(self, source: Copying, source_name: str, name: str) -> None:
        try:
            with self._boundary("put", name):
                self._client.copy_object(
                    Bucket=self._bucket,
                    Key=self._prefix + check_name(name),
                    CopySource=source.address(source_name),
                    IfNoneMatch="*",
                    ChecksumAlgorithm="CRC64NVME",
                )
        except self._exists_error as error:
            raise StoreConflict(f"{name} is taken at s3://{self._bucket}/{self._prefix}") from error
