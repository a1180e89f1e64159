"""A repository in a bucket that really locks: its whole life, and a thief who may do all but lift locks."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.clock import SystemClock
from farshore.config import Config, ReplicaConfig, RepositoryConfig, Secret
from farshore.errors import LifecycleDeletes, LockUnsupported
from farshore.ops.backup.backup import run_backup
from farshore.ops.locks.locking import check_locks
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import generate_identity
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from farshore.sources.directory.source import DirectorySource
from farshore.stores.object_retention import LockMode
from infra.local.seaweedfs import SeaweedServer

CLOCK = SystemClock()
_numbers = itertools.count(1)


class Vault:
    """A repository with one replica in a bucket of its own, and a tree that changes before each backup."""

    def __init__(self, server: SeaweedServer, root: Path, credentials: dict[str, str], **keys: Any) -> None:
        self.server = server
        self.bucket = f"vault-{next(_numbers)}"
        self.tree = root / "tree"
        self.tree.mkdir()
        self.root = root
        self.client = server.client
        environment = {**credentials}
        replica = ReplicaConfig(
            name="vault",
            url=server.url(self.bucket, "farshore"),
            endpoint=server.address,
            credentials={name: Secret("env", name) for name in credentials},
            **keys,
        )
        self.config = Config(
            RepositoryConfig(quorum=1, identity=root / "identity"),
            {"vault": replica},
            {},
            state_dir=root / "state",
            environment=environment,
        )
        self.states: dict[str, dict[str, bytes]] = {}

    def initialize(self) -> None:
        made = initialize(self.config, recipients=[generate_identity(self.root / "identity")], clock=CLOCK)
        self.config = replace(self.config, repository=replace(self.config.repository, fingerprint=made.fingerprint))

    def backup(self, seed: int) -> str:
        (self.tree / f"file-{seed}").write_bytes(random.Random(seed).randbytes(200_000))
        with open_repository(self.config, need=Need.WRITE, clock=CLOCK) as repository:
            result = run_backup(
                repository, DirectorySource(name="tree", path=self.tree, clock=CLOCK), run=Run.start(CLOCK)
            )
        assert [one.committed for one in result.replicas] == [True]
        self.states[result.snapshot_id] = self.contents(self.tree)
        return result.snapshot_id

    def snapshots(self) -> list[Snapshot]:
        with open_repository(self.config, need=Need.WRITE, clock=CLOCK) as repository:
            return list_snapshots(repository)

    def check_all_restore(self) -> None:
        """Restore every snapshot ever made, as a host that has only the bucket, its fingerprint and the identity."""
        shutil.rmtree(self.root / "state", ignore_errors=True)
        with open_repository(self.config, need=Need.READ, clock=CLOCK) as repository:
            found = {one.snapshot_id: one for one in list_snapshots(repository)}
            assert found.keys() == self.states.keys()
            for number, (snapshot_id, state) in enumerate(self.states.items()):
                target = self.root / f"restored-{number}"
                restore_snapshot(repository, found[snapshot_id], target, run=Run.start(CLOCK))
                assert self.contents(target) == state
                shutil.rmtree(target)

    def contents(self, root: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in root.iterdir()}

    def versions(self) -> dict[str, list[dict[str, Any]]]:
        """Return all versions of each key, oldest first, and then its delete markers.

        The server lists the latest first, and only this order is sure: times are of whole seconds.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        markers: list[Any] = []
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            markers += page.get("DeleteMarkers", [])
            for entry in page.get("Versions", []):
                found.setdefault(entry["Key"], []).insert(0, dict(entry))
        for marker in markers:
            found.setdefault(marker["Key"], []).append(marker)
        return found


@pytest.fixture(scope="module")
def thief(s3_server: SeaweedServer) -> dict[str, str]:
    """The login of a writer who was given every right but the one to lift locks."""
    return s3_server.create_identity("thief", allow=["s3:*"], deny=["s3:BypassGovernanceRetention"])


@pytest.fixture
def vault(s3_server: SeaweedServer, tmp_path: Path, thief: dict[str, str]) -> Vault:
    vault = Vault(s3_server, tmp_path, thief, lock=LockMode.GOVERNANCE, lock_for=timedelta(days=3))
    s3_server.create_locked_bucket(vault.bucket)
    return vault


def test_a_bucket_with_a_default_lock_serves_the_whole_life_of_a_repository(
    s3_server: SeaweedServer, tmp_path: Path, thief: dict[str, str]
) -> None:
    """Leases and audit files are locked by the bucket then; nothing on the way deletes or overwrites any."""
    vault = Vault(s3_server, tmp_path, thief)
    s3_server.create_locked_bucket(vault.bucket)
    s3_server.client.put_object_lock_configuration(
        Bucket=vault.bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
        },
    )
    vault.initialize()
    for seed in (1, 2):
        vault.backup(seed)
    with open_repository(vault.config, need=Need.READ, clock=CLOCK) as repository:
        assert verify_repository(repository, read_data_percent=100.0, run=Run.start(CLOCK)).clean
    vault.check_all_restore()
    assert {len(items) for items in vault.versions().values()} == {1}


def test_a_locked_repository_keeps_what_it_promises(vault: Vault) -> None:
    vault.initialize()
    for seed in (1, 2):
        vault.backup(seed)
    for snapshot in vault.snapshots():
        with open_repository(vault.config, need=Need.WRITE, clock=CLOCK) as repository:
            (found,) = check_locks(repository, snapshot, run=Run.start(repository.clock))
        (promised,) = snapshot.locks
        assert promised.until_utc == snapshot.committed_utc + timedelta(days=3)
        assert found.locked_until_utc is not None
        assert found.locked_until_utc >= promised.until_utc
        assert found.unlocked == 0
    vault.check_all_restore()
    assert {len(items) for items in vault.versions().values()} == {1}


def test_a_thief_of_the_login_ends_no_snapshot(vault: Vault, thief: dict[str, str], s3_server: SeaweedServer) -> None:
    vault.initialize()
    for seed in (1, 2, 3):
        vault.backup(seed)
    good = {key: items[0]["VersionId"] for key, items in vault.versions().items()}
    locked = {key: version for key, version in good.items() if "/leases/" not in key}

    client = _client(s3_server, thief)
    for key, version in locked.items():
        named: dict[str, Any] = {"Bucket": vault.bucket, "Key": key, "VersionId": version}
        soon = datetime.now(UTC) + timedelta(seconds=30)
        shorter: dict[str, Any] = {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": soon}}
        for bypass in ({}, {"BypassGovernanceRetention": True}):
            with pytest.raises(ClientError):
                client.delete_object(**named, **bypass)
            with pytest.raises(ClientError):
                client.put_object_retention(**named, **shorter, **bypass)
    answer = client.delete_objects(
        Bucket=vault.bucket,
        Delete={"Objects": [{"Key": key, "VersionId": version} for key, version in locked.items()]},
    )
    assert len(answer.get("Errors", [])) == len(locked)
    with pytest.raises(ClientError):
        client.put_bucket_versioning(Bucket=vault.bucket, VersioningConfiguration={"Status": "Suspended"})
    with pytest.raises(ClientError):
        client.delete_bucket(Bucket=vault.bucket)

    # What he can do: hide every object, by a delete marker or by a newer version.
    for number, key in enumerate(locked):
        if number % 2:
            client.delete_object(Bucket=vault.bucket, Key=key)
        else:
            client.put_object(Bucket=vault.bucket, Key=key, Body=b"pay")
    with contextlib.suppress(ClientError):
        client.put_bucket_lifecycle_configuration(
            Bucket=vault.bucket,
            LifecycleConfiguration={
                "Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        )

    # The way back of docs/stores/immutability.md: nothing is ever written twice, so the oldest version is the good one.
    for key, items in vault.versions().items():
        for item in items[1:]:
            vault.client.delete_object(Bucket=vault.bucket, Key=key, VersionId=item["VersionId"])
    assert {key: items[0]["VersionId"] for key, items in vault.versions().items()}.items() >= locked.items()
    vault.check_all_restore()


def test_setup_refuses_a_bucket_that_cannot_lock_and_a_rule_that_deletes(
    s3_server: SeaweedServer, tmp_path: Path
) -> None:
    vault = Vault(s3_server, tmp_path, s3_server.credentials, lock=LockMode.GOVERNANCE, lock_for=timedelta(days=3))
    s3_server.create_bucket(vault.bucket)
    with pytest.raises(LockUnsupported, match="vault: objects cannot be locked in this bucket"):
        vault.initialize()
    vault.bucket = f"vault-{next(_numbers)}"
    (tmp_path / "other").mkdir()
    ruled = Vault(s3_server, tmp_path / "other", s3_server.credentials)
    s3_server.create_bucket(ruled.bucket)
    s3_server.client.put_bucket_lifecycle_configuration(
        Bucket=ruled.bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}}]
        },
    )
    with pytest.raises(LifecycleDeletes, match="the lifecycle rule 'tidy' deletes objects of this"):
        ruled.initialize()
    assert ruled.client.list_objects_v2(Bucket=ruled.bucket)["KeyCount"] == 0


def _client(server: SeaweedServer, credentials: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.address,
        region_name="us-east-1",
        aws_access_key_id=credentials["access_key"],
        aws_secret_access_key=credentials["secret_key"],
        config=ClientConfig(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
