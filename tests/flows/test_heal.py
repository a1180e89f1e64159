"""The heal flow against a real Prefect server and real directories."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import SyncPrefectClient

from flows.backup import backup
from flows.heal import heal
from tests.flows.conftest import Repository, artifact

pytestmark = pytest.mark.usefixtures("prefect_api")


def run(repository: Repository, **parameters: Any) -> State[Any]:
    state: State[Any] = heal(config_path=str(repository.config_path), return_state=True, **parameters)
    return state


def back_up(repository: Repository) -> None:
    assert backup("home", str(repository.config_path), return_state=True).is_completed()


def packs(replica: Path) -> set[str]:
    return {path.name for path in (replica / "packs").rglob("*") if path.is_file()}


def test_a_replica_that_was_left_behind_is_brought_level(
    repository: Repository, prefect_api: SyncPrefectClient
) -> None:
    away = repository.replica("lima").rename(repository.root / "away")
    back_up(repository)
    away.rename(repository.replica("lima"))
    state = run(repository, replica="lima")
    assert state.name == "Completed", state.message
    assert packs(repository.replica("lima")) == packs(repository.replica("oslo"))
    assert "| lima | level |" in artifact(prefect_api, state, "heal-lima")
    again = run(repository)
    assert again.name == "Completed", again.message
    assert (again.message or "").startswith("nothing to do")


def test_what_cannot_be_mended_fails_the_run(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    back_up(repository)
    for name in ("berlin", "oslo", "lima"):
        for path in (repository.replica(name) / "packs").rglob("*"):
            if path.is_file():
                path.chmod(0o600)
                path.write_bytes(path.read_bytes()[:-1])
    state = run(repository)
    assert state.is_failed()
    assert "(heal-incomplete)" in (state.message or "")
    assert "**Not every replica is in sync.**" in artifact(prefect_api, state, "heal-all")


def test_a_replica_that_does_not_answer_is_tried_again_and_then_fails(repository: Repository) -> None:
    back_up(repository)
    shutil.rmtree(repository.replica("lima"))
    state = run(repository, replica="lima", attempts=1)
    assert state.is_failed()
