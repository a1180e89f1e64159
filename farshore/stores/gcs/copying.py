"""Rewrites for `GcsStore`, on the condition that the target has no generation yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


def rewrite(
    client: Callable[[], Any],
    blob: Callable[[str], Any],
    timeout_s: tuple[float, float],
    boundary: Callable[[str, str], AbstractContextManager[None]],
) -> Callable[[str, str], None]:
    """Return how `ServiceCopying` starts a copy."""

    def start(address: str, name: str) -> None:
        bucket, _, key = address.partition("/")
        with boundary("copy", name):
            original = client().bucket(bucket).blob(key)
            target = blob(name)
            token: str | None = None
            while True:  # a copy to another place or class may need several calls
                token, _, _ = target.rewrite(
                    original, token=token, if_generation_match=0, timeout=timeout_s, retry=None
                )
                if token is None:
                    return

    return start
