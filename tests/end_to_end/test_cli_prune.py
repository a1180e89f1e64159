"""`farshore prune` by its words: a directory, and buckets of a real server that lock, keep versions, or neither."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from infra.local.seaweedfs import SeaweedServer
from tests.end_to_end.shore import Shore

LOCKED, VERSIONED, LOOSE = "prune-locked", "prune-versioned", "prune-loose"


@pytest.fixture
def shore(tmp_path: Path, s3_server: SeaweedServer) -> Shore:
    """Three snapshots of one source at four replicas; the first is forgotten."""
    s3_server.create_locked_bucket(LOCKED)
    s3_server.create_bucket(LOOSE)
    s3_server.create_bucket(VERSIONED)
    s3_server.client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    shore = Shore(tmp_path, replicas=("plain",), quorum=1)
    for name, bucket, more in (
        ("locked", LOCKED, 'lock = "governance"\nlock_for = "5d"\n'),
        ("versioned", VERSIONED, ""),
        ("loose", LOOSE, ""),
    ):
        shore.more += (
            f'[replicas.{name}]\nurl = "s3://{bucket}/farshore"\nendpoint = "{s3_server.address}"\n'
            f'credentials = {{ access_key = {{ env = "KEY" }}, secret_key = {{ env = "SECRET" }} }}\n{more}'
        )
    shore.variables = {"KEY": s3_server.credentials["access_key"], "SECRET": s3_server.credentials["secret_key"]}
    shore.write_config()
    shore.initialize()
    for number in range(3):
        shutil.rmtree(shore.root / "home")
        (shore.root / "home").mkdir()
        (shore.root / "home" / f"{number}").write_bytes(os.urandom(300_000))
        shore.good("backup", "home")
    shore.good("forget", shore.good("snapshots", "--json").of("snapshot")[0]["snapshot_id"])
    return shore


def versions(server: SeaweedServer, bucket: str, folder: str) -> int:
    found = server.client.list_object_versions(Bucket=bucket, Prefix=f"farshore/{folder}")
    return len(found.get("Versions", [])) + len(found.get("DeleteMarkers", []))


def test_each_kind_of_place_is_pruned_as_it_can_be(shore: Shore, s3_server: SeaweedServer) -> None:
    before = {bucket: versions(s3_server, bucket, "packs/") for bucket in (LOCKED, VERSIONED, LOOSE)}
    (dry,) = shore.good("prune", "--dry-run", "--grace", "0", "--json").of("prune")
    found = {one["replica"]: one for one in dry["replicas"]}
    assert {name: one["state"] for name, one in found.items()} == dict.fromkeys(found, "planned")
    assert found["locked"]["garbage"]["objects"] == 0
    assert found["locked"]["locked"]["objects"] == found["plain"]["garbage"]["objects"] - 1  # its fragment is not asked
    assert found["locked"]["locked_until_utc"]
    assert {bucket: versions(s3_server, bucket, "packs/") for bucket in before} == before

    kept = shore.good("prune")
    assert "may still be taken back" in kept.stdout

    done = shore.run("prune", "--grace", "0", "--max-delete", "10%")
    assert done.code == 88
    assert "at most 10% of the bytes may" in done.stderr

    (result,) = shore.good("prune", "--grace", "0", "--max-delete", "60%", "--json").of("prune")
    states = {one["replica"]: one["state"] for one in result["replicas"]}
    assert states == {"plain": "pruned", "locked": "clean", "versioned": "pruned", "loose": "pruned"}
    after = {bucket: versions(s3_server, bucket, "packs/") for bucket in before}
    assert after == {LOCKED: before[LOCKED], VERSIONED: before[VERSIONED] - 1, LOOSE: before[LOOSE] - 1}, result
    assert "in the trash since" in shore.good("status").stdout
    shore.good("verify", "--read-data")
    shore.good("heal")
    assert {bucket: versions(s3_server, bucket, "packs/") for bucket in before} == after
    rows = shore.good("sql", "select replica, count(*) n from deletions group by all order by 1", "--json").of("row")
    assert [one["row"]["replica"] for one in rows] == ["loose", "plain", "versioned"]
    shore.good("prune", "--empty-trash")
    assert "trash" not in shore.good("status").stdout
