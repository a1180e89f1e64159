"""Rewrites for `GcsStore`, on the condition that the target has no generation yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from farshore.errors import StoreConflict
from farshore.stores.base import check_name
from farshore.stores.copying import Copying


class GcsCopying:
    """Copies between buckets that one credential may use."""

    def __init__(
        self,
        *,
        client: Callable[[], Any],
        bucket: str,
        prefix: str,
        service: tuple[str, ...],
        timeout_s: tuple[float, float],
        boundary: Callable[[str, str], AbstractContextManager[None]],
        exists_error: type[Exception],
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._boundary = boundary
        self._exists_error = exists_error
        self.service = service

    def address(self, name: str) -> str:
        return f"{self._bucket}/{self._prefix}{check_name(name)}"

    def copy_from(self, source: Copying, source_name: str, name: str) -> None:
        bucket, _, key = source.address(source_name).partition("/")
        try:
            with self._boundary("copy", name):
                client = self._client()
                original = client.bucket(bucket).blob(key)
                target = client.bucket(self._bucket).blob(self._prefix + check_name(name))
                token: str | None = None
                while True:  # a copy to another place or class may need several calls
                    token, _, _ = target.rewrite(
                        original, token=token, if_generation_match=0, timeout=self._timeout_s, retry=None
                    )
                    if token is None:
                        return
        except self._exists_error as error:
            raise StoreConflict(f"{name} is taken at gs://{self._bucket}/{self._prefix}") from error
