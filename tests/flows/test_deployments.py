"""deployments/ against a real server, and one scheduled run by a real worker."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events import emit_event

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import SystemClock
from infra.demo.prefect_server import POOL, PrefectServer, PrefectWorker
from infra.demo.programs import REPOSITORY, Programs, clean_environment
from tests.flows.conftest import Repository

DEPLOYMENTS = REPOSITORY / "deployments"


@pytest.fixture(scope="module")
def programs(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The `prefect` of a user, after `prefect deploy` as docs/operate/prefect.md has it."""
    made = Programs(clean_environment(tmp_path_factory.mktemp("user")) | prefect_server.client_environment)
    made.prefect("work-pool", "create", POOL, "--type", "process")
    made.prefect("deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
    return made


def declared() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]
    return found


def flow_name(deployment: dict[str, Any]) -> str:
    return str(deployment["entrypoint"]).rpartition(":")[2]


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("deployment", declared(), ids=lambda deployment: str(deployment["name"]))
def test_deploy_registers_it_as_declared(deployment: dict[str, Any], prefect_api: SyncPrefectClient) -> None:
    found = prefect_api.read_deployment_by_name(f"{flow_name(deployment)}/{deployment['name']}")
    assert found.entrypoint == deployment["entrypoint"]
    assert found.parameters == deployment.get("parameters", {})
    assert set(found.tags) == set(deployment["tags"])
    assert found.work_pool_name == POOL
    assert found.job_variables == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    schedules = [made.schedule.model_dump(include={"cron", "timezone"}) for made in found.schedules]
    assert schedules == deployment.get("schedules", [])
    if flow_name(deployment) != "restore":
        assert found.global_concurrency_limit is not None
        assert found.global_concurrency_limit.limit == 1


@pytest.mark.usefixtures("programs")
def test_the_checkout_is_resolved_on_the_worker(prefect_api: SyncPrefectClient) -> None:
    found = prefect_api.read_deployment_by_name("backup/home")
    (step,) = found.pull_steps or []
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $FARSHORE_CHECKOUT }}"}}


@pytest.mark.parametrize("page", ["README.md", "docs/operate/prefect.md", "deployments/prefect.yaml"])
def test_every_page_deploys_without_the_checkout_and_gives_it_to_the_worker(page: str) -> None:
    """Trial N7: one way, which `test_the_checkout_is_resolved_on_the_worker` and a scheduled run try."""
    text = (REPOSITORY / page).read_text()
    deploy = re.search(r"^.*prefect .*deploy --prefect-file .*$", text, re.MULTILINE)
    variable = re.search(r"FARSHORE_CHECKOUT=", text)
    worker = re.search(r"prefect worker start", text)
    assert deploy is not None
    assert variable is not None
    assert worker is not None
    assert "FARSHORE_CHECKOUT" not in deploy[0]
    assert deploy.end() < variable.start() < worker.start()


@pytest.mark.parametrize("path", sorted((DEPLOYMENTS / "automations").glob("*.yaml")), ids=lambda path: path.stem)
def test_automations_are_accepted(path: Path, programs: Programs) -> None:
    programs.prefect("automation", "create", "--from-file", path)
    assert yaml.safe_load(path.read_text())["name"] in programs.prefect("automation", "ls").stdout


def test_a_scheduled_run_is_of_its_moment(
    programs: Programs, repository: Repository, prefect_api: SyncPrefectClient
) -> None:
    environment = programs.environment | {
        "FARSHORE_CHECKOUT": str(REPOSITORY),
        "FARSHORE_CONFIG": str(repository.config_path),
        "FARSHORE_PASSPHRASE": "tests only",
    }
    deployment = prefect_api.read_deployment_by_name("backup/home")
    with PrefectWorker(environment):
        first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=12)  # after the schedule is read, mostly
        schedule = IntervalSchedule(interval=timedelta(minutes=1), anchor_date=first)  # a busy server misses the first
        prefect_api.create_deployment_schedules(deployment.id, [DeploymentScheduleCreate(schedule=schedule)])
        prefect_api.resume_deployment(deployment.id)  # counts as an update, after which schedules are read at once
        run = ended_run(prefect_api, deployment.id)
    assert run.expected_start_time is not None
    moment = datetime.fromtimestamp(run.expected_start_time.timestamp(), UTC)
    assert (moment - first) % timedelta(minutes=1) == timedelta(0)
    assert run.state_name == "Completed", run.state
    assert run.name == f"backup-home-{moment:%Y-%m-%dT%H:%MZ}"
    with open_repository(repository.config, need=Need.READ, clock=SystemClock()) as opened:
        identities = [snapshot.identity for snapshot in list_snapshots(opened)]
    assert identities.count(moment.isoformat()) == 1


@pytest.mark.usefixtures("programs")
def test_an_event_asks_for_a_backup(prefect_api: SyncPrefectClient) -> None:
    deployment = prefect_api.read_deployment_by_name("backup/shop")
    event = emit_event("farshore.backup.requested", {"prefect.resource.id": "farshore.source.shop"})
    assert event is not None
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    deadline = time.monotonic() + 60
    while True:
        runs = prefect_api.read_flow_runs(deployment_filter=wanted)
        if any(run.parameters == {"source": "shop", "identity": f"event-{event.id}"} for run in runs):
            return
        assert time.monotonic() < deadline, [run.parameters for run in runs]
        time.sleep(0.2)


@pytest.mark.usefixtures("programs")
def test_a_replica_that_was_left_behind_is_healed(prefect_api: SyncPrefectClient) -> None:
    deployment = prefect_api.read_deployment_by_name("heal/heal")
    resource = {"prefect.resource.id": "farshore.replica.oslo", "prefect.resource.name": "oslo"}
    emit_event("farshore.replica.behind", resource)
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    deadline = time.monotonic() + 60
    while True:
        runs = prefect_api.read_flow_runs(deployment_filter=wanted)
        if any(run.parameters == {"replica": "oslo"} for run in runs):
            return
        assert time.monotonic() < deadline, [run.parameters for run in runs]
        time.sleep(0.2)


def ended_run(client: SyncPrefectClient, deployment_id: Any) -> FlowRun:
    """Wait until a run that a schedule made has ended."""
    deadline = time.monotonic() + 240
    while True:
        runs = client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])))
        for run in runs:
            if run.auto_scheduled and run.state is not None and run.state.is_final():
                return run
        assert time.monotonic() < deadline, [(run.name, run.state) for run in runs]
        time.sleep(0.5)
