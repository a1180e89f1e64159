from __future__ import annotations

import dataclasses
import inspect
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from farshore import model, results
from farshore.check_results import VerifyResult
from farshore.model import DamagedObject, EntryKind, Problem, ProblemCode, SnapshotCounts
from farshore.results import BackupResult, ReplicaOutcome

RECORDS = [
    cls
    for module in (model, results)
    for _, cls in inspect.getmembers(module, inspect.isclass)
    if dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def backup_result(**changes: Any) -> BackupResult:
    result = BackupResult(
        snapshot_id="0" * 32,
        source="shop",
        run_id="1" * 32,
        quorum=1,
        started_utc=NOON,
        finished_utc=NOON,
        counts=SnapshotCounts(entries=3),
        replicas=(ReplicaOutcome("vault", committed=True),),
    )
    return dataclasses.replace(result, **changes)


def verify_result(*damaged: DamagedObject) -> VerifyResult:
    return VerifyResult("1" * 32, ("vault",), NOON, NOON, 1, 2, 3, 0.0, damaged)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_records_are_frozen_small_and_in_the_glossary_of_units(cls: Any) -> None:
    assert cls.__dataclass_params__.frozen
    assert "__slots__" in vars(cls)
    for field in dataclasses.fields(cls):
        if "datetime" in str(field.type):
            assert field.name.endswith("_utc"), f"{cls.__name__}.{field.name} does not say its zone"
        assert "list" not in str(field.type), f"{cls.__name__}.{field.name} could be changed by its reader"


def test_results_survive_the_way_to_another_process() -> None:
    for result in (backup_result(problems=(Problem(b"\xff", ProblemCode.VANISHED, "m"),)), verify_result()):
        twin = pickle.loads(pickle.dumps(result))
        assert twin == result
        assert hash(twin) == hash(result)


def test_a_backup_warns_of_problems_and_of_replicas_left_behind() -> None:
    assert not backup_result().warned
    assert backup_result(counts=SnapshotCounts(problems=1)).warned
    left = ReplicaOutcome("iowa", committed=False, error_code="store-unavailable", error="no answer")
    behind = backup_result(replicas=(*backup_result().replicas, left))
    assert behind.warned
    assert behind.complete
    assert [(one.code, one.subject, one.cause) for one in behind.warnings] == [
        ("replica-left-behind", "iowa", "store-unavailable")
    ]
    odd = backup_result(counts=SnapshotCounts(problems=1))
    assert odd.complete, "a problem that does not matter"
    assert [one.code for one in odd.warnings] == ["entries-incomplete"]
    unread = backup_result(counts=SnapshotCounts(problems=1, lacking=1))
    assert not unread.complete
    assert [one.code for one in unread.warnings] == ["snapshot-incomplete", "entries-incomplete"]


def test_a_verify_is_clean_only_when_nothing_was_found() -> None:
    assert verify_result().clean
    assert not verify_result(DamagedObject("vault", "packs/00/00", "missing", "")).clean


def test_a_hole_is_no_hash() -> None:
    assert len(model.HOLE) == 32
    assert not any(model.HOLE)


def test_kinds_are_the_words_of_the_format() -> None:
    assert {kind.value for kind in EntryKind} == {
        "file",
        "directory",
        "symlink",
        "hardlink",
        "fifo",
        "socket",
        "character-device",
        "block-device",
    }


def test_progress_can_be_reported_to_nobody() -> None:
    results.no_progress(results.Progress("scan"))
