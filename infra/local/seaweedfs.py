"""A real S3 server: SeaweedFS, from its wheel, as `weed mini`.

Checked to do conditional writes, checksums, multipart, versions and object lock as S3 does. It asks for signatures; the
`reader` identity may only read and list.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sysconfig
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import boto3
from botocore.config import Config

from infra.local.objects import ObjectServer
from infra.local.ports import pick_ports
from infra.local.process import ServerFailed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REGION = "us-east-1"
_EVERYWHERE = ["arn:aws:s3:::*", "arn:aws:s3:::*/*"]


class SeaweedServer(ObjectServer):
    """An S3 server. `credentials` are the administrator's; data survives `stop` and `kill`."""

    title: ClassVar[str] = "seaweedfs"
    scheme: ClassVar[str] = "s3"

    def __init__(self) -> None:
        super().__init__()
        self.credentials = {"access_key": "admin", "secret_key": secrets.token_hex(16)}
        self.reader_credentials = {"access_key": "reader", "secret_key": secrets.token_hex(16)}

    @cached_property
    def client(self) -> S3Client:
        """An administrator's client."""
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            region_name=_REGION,
            aws_access_key_id=self.credentials["access_key"],
            aws_secret_access_key=self.credentials["secret_key"],
            config=Config(
                connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
            ),
        )

    def create_bucket(self, name: str) -> None:
        self.client.create_bucket(Bucket=name)

    def create_locked_bucket(self, name: str) -> None:
        """Make a bucket with versions whose objects can be locked."""
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)

    def create_identity(self, name: str, *, allow: Sequence[str], deny: Sequence[str] = ()) -> dict[str, str]:
        """Make an identity that may do `allow` and nothing of `deny` in every bucket; return its credentials."""
        iam = boto3.client(
            "iam",
            endpoint_url=self.address,
            region_name=_REGION,
            aws_access_key_id=self.credentials["access_key"],
            aws_secret_access_key=self.credentials["secret_key"],
        )
        statements: list[dict[str, object]] = [{"Effect": "Allow", "Action": list(allow), "Resource": _EVERYWHERE}]
        if deny:  # without it whoever may write may also delete here
            statements.append({"Effect": "Deny", "Action": list(deny), "Resource": _EVERYWHERE})
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        policy = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]
        iam.attach_user_policy(UserName=name, PolicyArn=policy["Arn"])
        iam.close()
        return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}

    def delete_bucket(self, name: str) -> None:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                self.client.delete_object(Bucket=name, Key=entry["Key"])
        self.client.delete_bucket(Bucket=name)

    def _pick_ports(self) -> list[int]:
        self.__dict__.pop("client", None)  # it is bound to the old port
        return pick_ports(5, with_grpc=True)

    def _prepare(self) -> None:
        (self.directory / "data").mkdir(exist_ok=True)
        identities = [
            _identity(self.credentials, ["Admin", "Read", "Write", "List", "Tagging"]),
            _identity(self.reader_credentials, ["Read", "List"]),
        ]
        (self.directory / "s3.json").write_text(json.dumps({"identities": identities}))

    def _command(self) -> list[str | Path]:
        s3, master, volume, filer, admin = self._ports
        return [
            _weed(),
            f"-logdir={self.directory}",
            "mini",
            f"-dir={self.directory / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            f"-s3.port={s3}",
            f"-s3.config={self.directory / 's3.json'}",
            f"-s3.localSocket={self.directory / 's3.sock'}",
            "-s3.iam.readOnly=false",  # tests make identities with policies of their own
            "-s3.autoCreateBucket=false",  # a bucket that is not there must be an error, as it is on S3
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            f"-filer.localSocket={self.directory / 'filer.sock'}",
            f"-master.port={master}",
            f"-volume.port={volume}",
            "-volume.max=1000",  # each bucket takes one; the default is counted from the free space
            f"-filer.port={filer}",
            f"-admin.port={admin}",
        ]

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"WEED_S3_SSE_KEY": "test-only-passphrase", "HOME": str(self.directory)}

    def _check_ready(self) -> None:
        bucket = f"ready-{secrets.token_hex(4)}"
        self.client.create_bucket(Bucket=bucket)
        self.client.put_object(Bucket=bucket, Key="ready", Body=b"ready")
        self.client.delete_object(Bucket=bucket, Key="ready")
        self.client.delete_bucket(Bucket=bucket)


def _identity(credentials: dict[str, str], actions: list[str]) -> dict[str, object]:
    keys = {"accessKey": credentials["access_key"], "secretKey": credentials["secret_key"]}
    return {"name": credentials["access_key"], "credentials": [keys], "actions": actions}


def _weed() -> str:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise ServerFailed("no 'weed' program here: install the dependency group 'servers'")
    return found
