"""CopyObject for `S3Store`, on the condition that the target's name is free; objects up to the service's own 5 GiB."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def copy_object(
    client: S3Client,
    bucket: str,
    key: Callable[[str], str],
    boundary: Callable[[str, str], AbstractContextManager[None]],
) -> Callable[[str, str], None]:
    """Return how `ServiceCopying` starts a copy."""

    def start(address: str, name: str) -> None:
        with boundary("put", name):
            client.copy_object(
                Bucket=bucket,
                Key=key(name),
                CopySource=address,
                IfNoneMatch="*",
                ChecksumAlgorithm="CRC64NVME",
            )

    return start
