"""Tasks without a server: policy, progress, pages, names, sessions."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

import flows
import tasks
from farshore.check_results import VerifyResult
from farshore.errors import Bug, FarshoreError, ObjectCorrupt, StoreDenied, StoreUnavailable
from farshore.model import DamagedObject, Problem, ProblemCode, SnapshotCounts
from farshore.results import BackupResult, Progress, ReplicaOutcome
from tasks.naming import artifact_key
from tasks.pages import backup_page, bytes_text, verify_page
from tasks.policy import SEND_RETRIES, attempt_wait_s, is_last_try, is_passing
from tasks.progress import ProgressBoard, describe, percent_done
from tasks.replicate import replicate_packs
from tasks.report import failed
from tasks.sessions import Sessions
from tests.doubles.clock import FixedClock

MOMENT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
RESULT = BackupResult(
    snapshot_id="ab" * 16,
    source="shop",
    run_id="cd" * 16,
    quorum=2,
    started_utc=MOMENT,
    finished_utc=MOMENT,
    counts=SnapshotCounts(entries=3, bytes_stored=5 * 1024 * 1024, problems=1),
    replicas=(
        ReplicaOutcome("oslo", committed=True, bytes_sent=2048, objects_sent=7, requests=9),
        ReplicaOutcome("lima", committed=False, error_code="store-denied", error="a|b says no"),
    ),
    problems=(Problem(b"secret/name.txt", ProblemCode.VANISHED, "secret/name.txt vanished"),),
)


def ours(package: str) -> list[object]:
    modules = importlib.import_module(package)
    found = [importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(modules.__path__)]
    return [value for module in found for value in vars(module).values()]


def test_every_task_says_that_nothing_is_cached_or_kept() -> None:
    found = {value.name: value for value in ours(tasks.__name__) if isinstance(value, Task)}
    assert {
        "snapshot",
        "seal",
        "replicate",
        "commit",
        "audit",
        "resolve",
        "restore",
        "verify",
        "heal",
        "prune",
    } == found.keys()
    for task in found.values():
        assert task.cache_policy is NO_CACHE
        assert task.persist_result is False
        assert task.retries == 0 or task.retry_condition_fn is is_passing
        assert task.retries == 0 or task.retry_jitter_factor


def test_every_flow_leaves_retries_to_itself() -> None:
    found = [value for value in ours(flows.__name__) if isinstance(value, Flow)]
    assert {flow.name for flow in found} == {"backup", "heal", "prune", "restore", "verify"}
    assert all(flow.retries == 0 and flow.persist_result is False for flow in found)


def test_waits_between_tries_double() -> None:
    assert replicate_packs.retry_delay_seconds == [2.0, 4.0, 8.0, 16.0]
    assert len(replicate_packs.retry_delay_seconds) == SEND_RETRIES
    assert attempt_wait_s(1, 0.5) == 30.0
    assert attempt_wait_s(2, 0.5) == 60.0
    assert attempt_wait_s(1, 0.0) == 15.0


@pytest.mark.parametrize(
    ("error", "passing"),
    [(StoreUnavailable("a"), True), (ObjectCorrupt("a"), False), (StoreDenied("a"), False), (OSError("a"), False)],
    ids=lambda value: type(value).__name__,
)
def test_only_passing_trouble_is_tried_again(error: Exception, passing: bool) -> None:
    run = TaskRun(task_key="a", dynamic_key="a")
    assert is_passing(replicate_packs, run, Failed(data=error)) is passing
    assert is_last_try(error)  # outside of a task run there is no other try


def test_a_board_keeps_the_latest_word_of_each_stage() -> None:
    board = ProgressBoard()
    board.note(Progress("seal", bytes_done=1))
    board.note(Progress("replicate:oslo", bytes_done=5))
    board.note(Progress("seal", entries=7, bytes_done=3 * 1024 * 1024, bytes_total=6 * 1024 * 1024))
    assert [describe(progress) for progress in board.latest()] == [
        "seal: 7 entries, 3.0 of 6.0 MiB",
        "replicate oslo: 0.0 MiB",
    ]
    assert percent_done(board.latest()) == 50.0
    assert percent_done([Progress("seal", bytes_done=9)]) == 0.0
    assert percent_done([Progress("seal", bytes_done=9, bytes_total=3)]) == 100.0


def test_a_page_names_replicas_and_troubles_but_no_file() -> None:
    page = backup_page(RESULT)
    assert "**Held by 1 of 2 replicas**" in page
    assert "| oslo | yes | 2.0 KiB | 7 | 9 |  |" in page
    assert "| lima | **no** | 0 bytes | 0 | 0 | a/b says no (store-denied) |" in page
    assert "| vanished | 1 |" in page
    assert "secret" not in page
    assert "INCOMPLETE" not in page
    lacking = replace(RESULT, counts=replace(RESULT.counts, lacking=1), shrunken_from=SnapshotCounts(entries=300))
    assert "**INCOMPLETE**: it lacks what 1 problems name" in backup_page(lacking)  # trial D5
    assert "**The source has shrunken**: 3 of 300 entries" in backup_page(lacking)
    assert "Done already" in backup_page(replace(RESULT, already_done=True))


def test_a_page_of_damage_is_bounded_and_names_no_file() -> None:
    damaged = [DamagedObject("oslo", f"packs/{n}", "altered", "x", ("s",), (b"secret",), 1) for n in range(250)]
    result = VerifyResult("r", ("oslo",), MOMENT, MOMENT, 1, 300, 4096, 5.0, tuple(damaged))
    page = verify_page(result)
    assert "250 objects are damaged or missing" in page
    assert "| oslo | `packs/199` | altered | 1 | 1 |" in page
    assert "packs/200" not in page
    assert "and 50 more" in page
    assert "secret" not in page


def test_sizes_read_well() -> None:
    assert [bytes_text(size) for size in (0, 1023, 1536, 5 * 1024**3, 3 * 1024**4)] == [
        "0 bytes",
        "1,023 bytes",
        "1.5 KiB",
        "5.0 GiB",
        "3.00 TiB",
    ]


def test_keys_of_artifacts_are_what_prefect_accepts() -> None:
    assert artifact_key("backup", "My_Shop.2") == "backup-my-shop-2"


def test_a_failure_says_what_happened_and_what_to_do() -> None:
    state = failed(StoreDenied("oslo says no"))
    assert state.is_failed()
    assert state.message == f"oslo says no (store-denied). {StoreDenied.default_hint}"


def test_a_session_is_found_while_it_lives_and_by_its_id_alone() -> None:
    sessions = Sessions()
    with sessions.enter(clock=FixedClock()) as session:
        found = []
        thread = threading.Thread(target=lambda: found.append(sessions.get(session.session_id)))
        thread.start()
        thread.join()
        assert found == [session]
        with pytest.raises(Bug, match="has no backup"):
            session.require_backup()
    with pytest.raises(Bug, match="no live session"):
        sessions.get(session.session_id)


def test_a_session_ends_when_its_flow_fails() -> None:
    sessions = Sessions()
    with pytest.raises(FarshoreError), sessions.enter(clock=FixedClock()):
        raise StoreUnavailable("gone")
    assert sessions.count() == 0
