"""What the local object servers share: how to reach them, and buckets."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from infra.local.process import LocalServer


class ObjectServer(LocalServer):
    """A server of buckets (or containers). `credentials` has the names that `farshore.toml` gives them."""

    scheme: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.credentials: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def url(self, bucket: str, prefix: str = "") -> str:
        """Return the URL of a prefix of a bucket here, as `farshore.toml` has it."""
        return f"{self.scheme}://{bucket}/{prefix}".rstrip("/")

    @abstractmethod
    def create_bucket(self, name: str) -> None:
        """Make an empty bucket."""

    @abstractmethod
    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with all that is in it."""
