"""The prune flow against a real Prefect server and real directories."""

from __future__ import annotations

from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import SyncPrefectClient

from flows.backup import backup
from flows.prune import prune
from tests.flows.conftest import Repository, artifact

pytestmark = pytest.mark.usefixtures("prefect_api")


def run(repository: Repository, **parameters: Any) -> State[Any]:
    state: State[Any] = prune(config_path=str(repository.config_path), return_state=True, **parameters)
    return state


def test_a_prune_says_what_it_deleted(repository: Repository, prefect_api: SyncPrefectClient) -> None:
    assert backup("home", str(repository.config_path), return_state=True).is_completed()
    state = run(repository, max_delete="80%", max_hours=1.0)
    assert state.name == "Completed", state.message
    assert "| oslo | clean |" in artifact(prefect_api, state, "prune-all")


def test_a_share_that_is_none_fails(repository: Repository) -> None:
    state = run(repository, max_delete="many")
    assert state.is_failed()
    assert "must be a number of packs" in (state.message or "")
