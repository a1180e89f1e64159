"""The restore and verify flows against a real Prefect server and real directories."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import SyncPrefectClient

from flows.backup import backup
from flows.restore import restore
from flows.verify import verify
from tests.flows.conftest import Repository, artifact

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def backed_up(repository: Repository) -> Repository:
    assert backup("home", str(repository.config_path), return_state=True).is_completed()
    return repository


def ruin(replica: Path) -> list[Path]:
    """Flip a byte in every pack of a replica."""
    packs = [path for path in (replica / "packs").rglob("*") if path.is_file()]
    for path in packs:
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 0xFF
        path.chmod(0o600)
        path.write_bytes(body)
    return packs


def test_restore_brings_everything_back(backed_up: Repository, tmp_path: Path, prefect_api: SyncPrefectClient) -> None:
    target = tmp_path / "restored"
    state: State[Any] = restore("home", str(target), config_path=str(backed_up.config_path), return_state=True)
    assert state.name == "Completed", state.message
    assert (target / "letters" / "one.txt").read_text() == "one\n" * 100
    assert (target / "large.bin").read_bytes() == (backed_up.source / "large.bin").read_bytes()
    assert "## Restore of home" in artifact(prefect_api, state, "restore-home")


def test_restore_takes_patterns_and_one_replica(backed_up: Repository, tmp_path: Path) -> None:
    target = tmp_path / "restored"
    state: State[Any] = restore(
        "home", str(target), "lima", ["letters/**"], str(backed_up.config_path), return_state=True
    )
    assert state.name == "Completed", state.message
    assert (target / "letters" / "one.txt").exists()
    assert not (target / "large.bin").exists()


def test_restore_leaves_powers_out_on_request(repository: Repository, tmp_path: Path) -> None:
    (repository.source / "letters" / "one.txt").chmod(0o4755)
    assert backup("home", str(repository.config_path), return_state=True).is_completed()
    leave_out: tuple[list[str], ...] = ([], ["devices", "setuid"])
    for left_out, mode in zip(leave_out, (0o4755, 0o755), strict=True):
        target = tmp_path / f"restored-{len(left_out)}"
        where: dict[str, Any] = {"config_path": str(repository.config_path), "return_state": True}
        state: State[Any] = restore("home", str(target), leave_out=left_out, **where)
        assert state.name == "Completed", state.message
        assert (target / "letters" / "one.txt").stat().st_mode & 0o7777 == mode


def test_restore_places_a_subtree_and_names_what_matched_nothing(backed_up: Repository, tmp_path: Path) -> None:
    target = tmp_path / "restored"
    state: State[Any] = restore(
        "home:/letters",
        str(target),
        include=["one.txt", "typo"],
        config_path=str(backed_up.config_path),
        exclude=["two.txt"],
        return_state=True,
    )
    assert "nothing matches typo" in str(state.message)
    assert [path.name for path in target.iterdir()] == ["one.txt"]


def test_restore_brings_back_what_differs(backed_up: Repository, tmp_path: Path) -> None:
    target = tmp_path / "restored"
    where: dict[str, Any] = {"target": str(target), "config_path": str(backed_up.config_path), "return_state": True}
    first: State[Any] = restore("home", **where)
    assert first.is_completed()
    (target / "letters" / "one.txt").write_text("changed")
    (target / "more").write_text("more")
    dry: State[Any] = restore("home", delta=["delete", "dry-run"], **where)
    assert "3 names differ" in str(dry.message)  # the root's time, too
    assert (target / "more").exists()
    done: State[Any] = restore("home", delta=["delete"], **where)
    assert done.is_completed()
    assert (target / "letters" / "one.txt").read_text() == "one\n" * 100
    assert not (target / "more").exists()


def test_restore_steps_over_damage_and_says_so(backed_up: Repository, tmp_path: Path) -> None:
    assert ruin(backed_up.replica("berlin"))
    target = tmp_path / "restored"
    state: State[Any] = restore("home", str(target), config_path=str(backed_up.config_path), return_state=True)
    assert state.is_completed()
    assert (target / "large.bin").read_bytes() == (backed_up.source / "large.bin").read_bytes()


def test_restore_into_what_is_not_empty_fails(backed_up: Repository) -> None:
    state: State[Any] = restore(
        "home", str(backed_up.source), config_path=str(backed_up.config_path), return_state=True
    )
    assert state.is_failed()
    assert "(target-not-empty)" in (state.message or "")


def test_verify_of_sound_replicas_completes(backed_up: Repository, prefect_api: SyncPrefectClient) -> None:
    state: State[Any] = verify(None, 100.0, str(backed_up.config_path), return_state=True)
    assert state.name == "Completed", state.message
    assert "**Nothing is damaged.**" in artifact(prefect_api, state, "verify-all")


def test_verify_fails_on_damage_and_names_it(backed_up: Repository, prefect_api: SyncPrefectClient) -> None:
    packs = ruin(backed_up.replica("oslo"))
    state: State[Any] = verify(None, 100.0, str(backed_up.config_path), return_state=True)
    assert state.is_failed()
    assert "damaged or missing at oslo (verify-failed)" in (state.message or "")
    page = artifact(prefect_api, state, "verify-all")
    assert all(path.name in page for path in packs)
    sound: State[Any] = verify("lima", 100.0, str(backed_up.config_path), return_state=True)
    assert sound.is_completed()


def test_a_remote_verify_reads_nothing_and_finds_what_is_cut(
    backed_up: Repository, prefect_api: SyncPrefectClient
) -> None:
    state: State[Any] = verify(config_path=str(backed_up.config_path), remote=True, return_state=True)
    assert state.name == "Completed", state.message
    assert "| lima |" in artifact(prefect_api, state, "verify-all")
    for path in ruin(backed_up.replica("oslo")):
        path.write_bytes(path.read_bytes()[:-1])
    cut: State[Any] = verify(config_path=str(backed_up.config_path), remote=True, return_state=True)
    assert cut.is_failed()
    assert "damaged or missing at oslo (verify-failed)" in (cut.message or "")


def test_verify_names_a_replica_that_is_gone(backed_up: Repository) -> None:
    shutil.rmtree(backed_up.replica("lima"))
    state: State[Any] = verify(None, 0.0, str(backed_up.config_path), return_state=True)
    assert state.is_failed()
    assert "lima" in (state.message or "")
