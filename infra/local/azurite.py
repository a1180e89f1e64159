"""A real Azure Blob server: Azurite, from npm.

It does conditional writes, checksums, leases and SAS as Azure does; versions and immutability it does not have.
Data survives `stop`. Azurite writes its table of blobs every few seconds, so `kill` may lose the newest ones.
"""

from __future__ import annotations

import base64
import secrets
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from azure.storage.blob import BlobServiceClient

from infra.local.node import Node, find_node, npm_package
from infra.local.objects import ObjectServer
from infra.local.ports import pick_ports

AZURITE_PACKAGE = Path(__file__).with_name("azurite_package")  # locked, with all that it needs


class AzuriteServer(ObjectServer):
    """An Azure Blob server with one account and a key made for this run."""

    title: ClassVar[str] = "azurite"
    scheme: ClassVar[str] = "az"

    def __init__(self) -> None:
        super().__init__()
        self.credentials = {"account": "farshore", "key": base64.b64encode(secrets.token_bytes(64)).decode()}

    @cached_property
    def client(self) -> BlobServiceClient:
        """A client with the account's key."""
        return BlobServiceClient(
            f"{self.address}/{self.credentials['account']}",
            credential=self.credentials["key"],
            connection_timeout=5,
            read_timeout=30,
            retry_total=0,
        )

    def create_bucket(self, name: str) -> None:
        self.client.create_container(name)

    def delete_bucket(self, name: str) -> None:
        self.client.delete_container(name)

    def _pick_ports(self) -> list[int]:
        self.__dict__.pop("client", None)  # it is bound to the old port
        return pick_ports(1)

    def _prepare(self) -> None:
        self._node: Node = find_node()
        self._package: Path = npm_package(self._node, AZURITE_PACKAGE)
        (self.directory / "data").mkdir(exist_ok=True)

    def _command(self) -> list[str | Path]:
        return [
            self._node.program,
            self._package / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js",
            *("--blobHost", "127.0.0.1"),
            *("--blobPort", str(self._ports[0])),
            *("--location", self.directory / "data"),
            "--disableTelemetry",
            "--silent",
            "--skipApiVersionCheck",  # the SDK asks for a newer version than Azurite names
        ]

    def _environment(self) -> dict[str, str]:
        account, key = self.credentials["account"], self.credentials["key"]
        return super()._environment() | {"AZURITE_ACCOUNTS": f"{account}:{key}"}

    def _check_ready(self) -> None:
        name = f"ready-{secrets.token_hex(4)}"
        container = self.client.create_container(name)
        container.upload_blob("ready", b"ready")
        container.delete_container()
