"""The backup flow against a real Prefect server and real directories."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import SyncPrefectClient

from farshore.access import open_repository
from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.clock import SystemClock
from farshore.errors import QuorumNotReached
from farshore.results import BackupResult
from flows.backup import backup
from tasks.sessions import SESSIONS
from tests.flows.conftest import Repository, artifact, flow_run_id, task_states

pytestmark = pytest.mark.usefixtures("prefect_api")


def run(repository: Repository, **parameters: Any) -> State[Any]:
    state: State[Any] = backup("home", str(repository.config_path), return_state=True, **parameters)
    assert SESSIONS.count() == 0
    return state


def snapshots(repository: Repository) -> list[Snapshot]:
    with open_repository(repository.config, need=Need.READ, clock=SystemClock()) as opened:
        return list_snapshots(opened)


def test_it_commits_and_shows_every_step(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    state = run(repository)
    assert state.is_completed()
    assert state.name == "Completed"
    (snapshot,) = snapshots(repository)
    assert set(snapshot.replicas) == {"berlin", "oslo", "lima"}
    assert state.message == f"snapshot {snapshot.snapshot_id[:12]} is held by 3 of 3 replicas"
    tasks = ("snapshot-home", "seal", "replicate-berlin", "replicate-oslo", "replicate-lima", "commit", "audit")
    assert settled_tasks(prefect_api, state, len(tasks)) == dict.fromkeys(tasks, "Completed")
    assert prefect_api.read_flow_run(flow_run_id(state)).name.startswith("backup-home-20")
    page = artifact(prefect_api, state, "backup-home")
    assert "| berlin | yes |" in page
    assert snapshot.snapshot_id in page
    assert artifact(prefect_api, state, "progress-home") == 100.0


def settled_tasks(client: SyncPrefectClient, state: State[Any], count: int) -> dict[str, str]:
    """Return the tasks once the server, which learns of them by events, knows that all have ended."""
    deadline = time.monotonic() + 20
    while True:
        found = task_states(client, state)
        if len(found) >= count and not {"Pending", "Running"} & set(found.values()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_a_replica_that_is_gone_is_a_warning(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    shutil.rmtree(repository.replica("lima"))
    state = run(repository)
    assert state.is_completed()
    assert state.name == "Warning"
    assert "left behind: lima" in (state.message or "")
    (snapshot,) = snapshots(repository)
    assert set(snapshot.replicas) == {"berlin", "oslo"}
    found = settled_tasks(prefect_api, state, 7)
    assert found["replicate-lima"] == "Failed"
    assert found["replicate-oslo"] == "Completed"
    assert "| lima | **no** |" in artifact(prefect_api, state, "backup-home")


def test_below_the_quorum_it_fails_and_says_what_to_do(repository: Repository) -> None:
    for name in ("oslo", "lima"):
        shutil.rmtree(repository.replica(name))
    state = run(repository, attempts=1)
    assert state.is_failed()
    assert "(quorum-not-reached)" in (state.message or "")
    assert QuorumNotReached.default_hint in (state.message or "")
    for name in ("oslo", "lima"):
        shutil.copytree(repository.replica("berlin"), repository.replica(name))
    assert snapshots(repository) == []
    assert run(repository).is_completed()


def test_a_mistake_of_the_user_is_not_tried_again(repository: Repository) -> None:
    started_s = time.monotonic()
    state: State[Any] = backup("attic", str(repository.config_path), return_state=True)
    assert state.is_failed()
    assert "no source is named attic" in (state.message or "")
    assert time.monotonic() - started_s < 20


def test_the_same_identity_is_done_once(repository: Repository) -> None:
    first = run(repository, identity="2026-01-02T03:04:00+00:00")
    (repository.source / "new.txt").write_text("new\n")
    second = run(repository, identity="2026-01-02T03:04:00+00:00")
    assert first.name == "Completed"
    assert second.name == "AlreadyDone"
    assert second.is_completed()
    (snapshot,) = snapshots(repository)
    assert snapshot.identity == "2026-01-02T03:04:00+00:00"
    result: BackupResult = second.result()
    assert result.snapshot_id == snapshot.snapshot_id


def test_by_hand_every_run_is_a_backup(repository: Repository) -> None:
    run(repository)
    run(repository)
    assert [snapshot.identity for snapshot in snapshots(repository)] == ["", ""]


def test_a_source_that_vanishes_stops_every_step(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    shutil.rmtree(repository.source)
    state = run(repository, attempts=1)
    assert state.is_failed()
    assert snapshots(repository) == []


def test_a_source_that_fails_half_way_stops_every_step(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    with closing(sqlite3.connect(repository.root / "ledger.db")) as connection, connection:
        connection.execute("create table booking (purpose text)")
        connection.executemany("insert into booking values (?)", ((f"invoice {number}",) for number in range(10_000)))
    with (repository.root / "ledger.db").open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)
    state: State[Any] = backup("ledger", str(repository.config_path), return_state=True)
    assert state.is_failed()
    assert "(source-corrupt)" in (state.message or "")
    replicas = {f"replicate-{name}": "Cancelled" for name in ("berlin", "oslo", "lima")}
    assert settled_tasks(prefect_api, state, 5) == {"snapshot-ledger": "Completed", "seal": "Failed", **replicas}
    assert snapshots(repository) == []
    assert SESSIONS.count() == 0


def test_an_event_tells_of_the_commit(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    state = run(repository)
    (snapshot,) = snapshots(repository)
    wanted = {"filter": {"event": {"name": ["farshore.backup.committed"]}}}
    deadline = time.monotonic() + 20
    while True:
        events = prefect_api.request("POST", "/events/filter", json=wanted).json()["events"]
        found = [event for event in events if event["resource"]["farshore.snapshot"] == snapshot.snapshot_id]
        if found:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found[0]["resource"]["prefect.resource.id"] == "farshore.source.home"
    assert found[0]["payload"]["held_by"] == ["berlin", "oslo", "lima"]
    related = {resource["prefect.resource.id"] for resource in found[0]["related"]}
    assert {f"prefect.flow-run.{flow_run_id(state)}", "farshore.replica.oslo"} <= related


def test_the_audit_tables_name_the_flow_run(repository: Repository) -> None:
    state = run(repository)
    result = run_query(
        repository.config, "SELECT engine, state, flow_run_id FROM runs WHERE operation = 'backup'", clock=SystemClock()
    )
    assert result.rows == [("prefect", "completed", str(flow_run_id(state)))]


def test_another_source_is_refused_until_a_parameter_accepts_it(repository: Repository) -> None:
    """Trials D11 and F14."""
    assert run(repository).is_completed()
    other = repository.config_path.parent / "other"
    other.mkdir()
    text = repository.config_path.read_text()
    repository.config_path.write_text(text.replace(f'"{repository.source}"', f'"{other}"'))
    refused = run(repository)
    assert refused.is_failed()
    assert "source-moved" in (refused.message or "")
    empty = run(repository, accept_new=True)
    assert "source-missing" in (empty.message or "")
    assert run(repository, accept_new=True, allow_empty=True).is_completed()


def test_the_snapshot_has_the_tags_that_were_given(repository: Repository) -> None:
    assert run(repository, tags=["release", "version=4.2"]).is_completed()
    (snapshot,) = snapshots(repository)
    assert snapshot.tags == ("release", "version=4.2")
    refused = run(repository, tags=["two words"])
    assert refused.is_failed()
    assert "config-invalid" in (refused.message or "")
    assert len(snapshots(repository)) == 1
