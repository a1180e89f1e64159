"""`farshore lock`, `snapshots --locks`, `status` and `warm` by their words, over a bucket that really locks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.local.seaweedfs import SeaweedServer
from tests.end_to_end.shore import Shore

BUCKET = "cli-locks"


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedServer) -> Shore:
    """One replica in a bucket with locks, one in a directory."""
    s3_server.create_locked_bucket(BUCKET)
    shore = Shore(tmp_path_factory.mktemp("locks"), replicas=("plain",), quorum=1)
    shore.more = (
        f'[replicas.strong]\nurl = "s3://{BUCKET}/farshore"\nendpoint = "{s3_server.address}"\n'
        'credentials = { access_key = { env = "KEY" }, secret_key = { env = "SECRET" } }\n'
        'lock = "governance"\nlock_for = "5d"\n'
    )
    shore.variables = {"KEY": s3_server.credentials["access_key"], "SECRET": s3_server.credentials["secret_key"]}
    shore.write_config()
    shore.initialize()
    shore.good("backup", "ledger")
    return shore


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_what_is_promised_is_shown_with_the_snapshots(shore: Shore) -> None:
    (snapshot,) = shore.good("snapshots", "--json").of("snapshot")
    (lock,) = snapshot["locks"]
    assert (lock["replica"], lock["mode"]) == ("strong", "governance")
    assert moment(lock["until_utc"]) == moment(snapshot["committed_utc"]) + timedelta(days=5)
    assert "(governance)" in shore.good("snapshots", "--locks").stdout
    assert "(governance)" not in shore.good("snapshots").stdout


def test_every_object_is_asked_for_and_the_least_reported(shore: Shore) -> None:
    plain, strong = shore.good("lock", "check", "ledger", "--json").of("locks")
    assert (plain["replica"], plain["locked_until_utc"], plain["unlocked"]) == ("plain", None, plain["objects"])
    assert moment(strong["locked_until_utc"]) >= moment(strong["promised_until_utc"])
    assert (strong["unlocked"], strong["held"]) == (0, 0)
    assert "not locked" in shore.good("lock", "check", "ledger").stdout


def test_a_snapshot_is_locked_for_longer_and_held(shore: Shore) -> None:
    (extended,) = shore.good("lock", "extend", "ledger", "--for", "100d", "--json").of("locks")
    assert extended["changed"] == extended["objects"] > 5
    assert moment(extended["locked_until_utc"]) > datetime.now(UTC) + timedelta(days=100)
    for state, held in (("on", extended["objects"]), ("off", 0)):
        done = shore.good("lock", "hold", "ledger", state, "--replica", "strong", "--json")
        (one,) = done.of("locks")
        assert one["held"] == held


def test_a_directory_cannot_be_held_and_the_others_are(shore: Shore) -> None:
    done = shore.run("lock", "hold", "ledger", "on")
    assert done.code == 3
    assert "plain: a directory has no locks, so nothing is changed there" in done.stderr
    shore.good("lock", "hold", "ledger", "off", "--replica", "strong")
    alone = shore.run("lock", "hold", "ledger", "on", "--replica", "plain")
    assert alone.code == 75


def test_status_tells_until_when_a_replica_keeps_something_of_each_source(shore: Shore) -> None:
    plain, strong = shore.good("status", "--json").of("replica")
    assert plain["locked_until_utc"] is None
    assert moment(strong["locked_until_utc"]) > datetime.now(UTC) + timedelta(days=4)
    assert "LOCKED_UNTIL" in shore.good("status").stdout


def test_what_is_not_archived_can_be_read_already(shore: Shore) -> None:
    done = shore.good("warm", "ledger", "--json")
    (warmth,) = done.of("warmth")
    assert (warmth["ready"], warmth["archived"], warmth["asked"]) == (True, 0, 0)


def test_a_lock_in_a_directory_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    shore = Shore(tmp_path, replicas=("vault",), quorum=1)
    shore.more = '[replicas.other]\nurl = "file://other"\nlock = "governance"\nlock_for = "5d"\n'
    shore.write_config()
    done = shore.run("init")
    assert done.code == 10
    assert "a directory has no locks" in done.stderr


def test_a_new_replica_that_cannot_keep_what_it_is_given_is_refused(shore: Shore, s3_server: SeaweedServer) -> None:
    s3_server.create_bucket("cli-no-locks")
    before = shore.more
    try:
        shore.more += before.replace("replicas.strong", "replicas.weak").replace(BUCKET, "cli-no-locks")
        shore.write_config()
        done = shore.run("replica", "add", "weak")
    finally:
        shore.more = before
        shore.write_config()
    assert done.code == 75
    assert "weak: objects cannot be locked in this bucket" in done.stderr
    assert s3_server.client.list_objects_v2(Bucket="cli-no-locks")["KeyCount"] == 0
