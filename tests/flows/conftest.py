"""One real Prefect server for the session, and repositories of directory replicas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from farshore.clock import SystemClock
from farshore.config import Config, load_config
from farshore.ops.setup.initialize import initialize
from infra.demo.prefect_server import PrefectServer
from infra.demo.programs import clean_environment
from tests.doubles.keys import CHEAP

REPLICAS = ("berlin", "oslo", "lima")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with PrefectServer(clean_environment(tmp_path_factory.mktemp("user")), schedules=True) as server:
        yield server


@pytest.fixture(scope="session")
def prefect_api(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    """Every flow of the test process runs against the server, and never against a user's own."""
    settings = {
        PREFECT_API_URL: f"{prefect_server.address}/api",
        PREFECT_HOME: prefect_server.directory / "home",
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings), get_client(sync_client=True) as client:
        yield client


@dataclass(frozen=True)
class Repository:
    """A repository at three directories with quorum 2, and a source of a few files."""

    root: Path
    config_path: Path
    source: Path

    @property
    def config(self) -> Config:
        return load_config(self.config_path, {"FARSHORE_PASSPHRASE": "tests only"})

    def replica(self, name: str) -> Path:
        return self.root / name


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("FARSHORE_PASSPHRASE", "tests only")
    source = tmp_path / "home"
    (source / "letters").mkdir(parents=True)
    (source / "letters" / "one.txt").write_text("one\n" * 100)
    (source / "large.bin").write_bytes(bytes(range(256)) * 8192)
    sections = [f'[replicas.{name}]\nurl = "file://{tmp_path / name}"\n' for name in REPLICAS]
    for name in REPLICAS:
        (tmp_path / name).mkdir()
    config_path = tmp_path / "farshore.toml"
    config_path.write_text(
        '[repository]\nquorum = 2\npassphrase = { env = "FARSHORE_PASSPHRASE" }\n'
        + "".join(sections)
        + f'[sources.home]\ntype = "directory"\npath = "{source}"\n'
        + f'[sources.ledger]\ntype = "sqlite"\npath = "{tmp_path / "ledger.db"}"\n'
        + f'[state]\ndir = "{tmp_path / "state"}"\n'
    )
    made = Repository(tmp_path, config_path, source)
    initialize(made.config, passphrase_cost=CHEAP, clock=SystemClock())
    return made


def flow_run_id(state: State[Any]) -> UUID:
    found = state.state_details.flow_run_id
    assert found is not None
    return found


def task_states(client: SyncPrefectClient, state: State[Any]) -> dict[str, str]:
    """Return the name of every task run of a flow run with the name of its state, as the server has them."""
    runs: list[TaskRun] = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id(state)]))
    )
    return {run.name: run.state_name or "" for run in runs}


def artifact(client: SyncPrefectClient, state: State[Any], key: str) -> Any:
    """Return the data of the artifact that a flow run left under a key."""
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id(state)])),
    )
    assert len(found) == 1, key
    return found[0].data
