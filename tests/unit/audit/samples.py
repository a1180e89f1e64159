"""Rows of a small, made-up repository: two sources, eight backups each, one replica that misses some."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from farshore.audit.rows import (
    Against,
    AuditRow,
    CheckRow,
    CopyRow,
    CopyState,
    DeletionRow,
    LockAction,
    LockRow,
    NeedRow,
    NeedsChange,
    ObjectKind,
    Operation,
    PartState,
    ProofRow,
    ProofState,
    RepairMethod,
    RepairRow,
    ReplicaPart,
    RestoreRow,
    RunResult,
    RunRow,
    SnapshotMade,
)
from farshore.check_results import CheckMethod
from farshore.results import Found, RepairAction
from farshore.targets.base import TargetKind
from tests.doubles import signers
from tests.doubles.clock import FixedClock

REPOSITORY = "ab" * 16
SOURCES = {name: source_id for source_id, name in signers.SOURCES.items()}
BACKUPS = 8
PACKS = 3  # new ones of each backup
START = datetime(2026, 11, 20, 21, 30, 0, 123456, tzinfo=UTC)  # the backups pass midnight


def repository_rows() -> Iterator[AuditRow]:
    """Yield the rows run by run."""
    clock = FixedClock(START, seed=7)
    needed: dict[str, list[str]] = {source: [] for source in SOURCES}
    before = dict.fromkeys(SOURCES, "")
    for number in range(BACKUPS):
        for source, source_id in SOURCES.items():
            clock.advance(1200.5)
            new = [f"packs/aa/{clock.random_bytes(32).hex()}" for _ in range(PACKS)]
            needed[source] += new
            snapshot_id = clock.random_bytes(16).hex()
            yield from _backup(clock, number, source, source_id, snapshot_id, before[source], new)
            before[source] = snapshot_id
    yield from _check(clock, needed["shop"][0])
    yield from _repairs(needed["shop"])
    yield LockRow(
        run_id="lock-1",
        replica="iowa",
        snapshot_id=before["shop"],
        source_id=SOURCES["shop"],
        source="shop",
        action=LockAction.CHECKED,
        mode="governance",
        locked_until_utc=clock.now_utc() + timedelta(days=30),
        objects=12,
    )
    yield DeletionRow(
        run_id="prune-1", replica="iowa", provider="s3", object="packs/aa/aa", kind="pack", bytes=100, plan=3,
        rule="keep_daily = 7", approvals=("a" * 64,), deleted_utc=clock.now_utc(),
    )  # fmt: skip
    yield RestoreRow(
        run_id="restore-1",
        snapshot_id=before["shop"],
        source_id=SOURCES["shop"],
        source="shop",
        target_kind=TargetKind.DIRECTORY,
        state=RunResult.COMPLETED,
        started_utc=clock.now_utc(),
        finished_utc=clock.now_utc() + timedelta(seconds=2.5),
        entries=5,
        files=4,
        bytes_restored=1_000_000,
        replicas=("vault",),
        verified=True,
        fell_over=1,
    )
    yield RunRow(
        run_id="failed-1",
        operation=Operation.BACKUP,
        state=RunResult.FAILED,
        started_utc=clock.now_utc(),
        finished_utc=clock.now_utc(),
        source="home",
        source_id=SOURCES["home"],
        error_code="quorum-not-reached",
        error="1 of 2 replicas hold it",
    )


def _repairs(needed: list[str]) -> Iterator[AuditRow]:
    for number, (found, action) in enumerate(
        (
            (Found.ALTERED, RepairAction.REFUSED),
            (Found.ALTERED, RepairAction.REPLACED),
            (Found.MISSING, RepairAction.LEFT),
        )
    ):
        yield RepairRow(
            run_id=f"heal-{number}",
            replica="vault",
            object=needed[number],
            found=found,
            action=action,
            source_replica="iowa" if action is RepairAction.REPLACED else "",
            method=RepairMethod.PUT if action is RepairAction.REPLACED else RepairMethod.NONE,
            bytes=1000 if action is RepairAction.REPLACED else 0,
            snapshot_ids=("s1", "s2"),
        )


def _backup(
    clock: FixedClock,
    number: int,
    source: str,
    source_id: str,
    snapshot_id: str,
    parent: str,
    new: list[str],
) -> Iterator[AuditRow]:
    run_id = clock.random_bytes(16).hex()
    now = clock.now_utc()
    iowa_is_away = number % 4 == 3
    held_by = ("vault",) if iowa_is_away else ("vault", "iowa")
    for name in new:
        yield NeedRow(
            run_id=run_id,
            object=name,
            change=NeedsChange.MADE,
            kind=ObjectKind.PACK,
            bytes=1000,
            source_id=source_id,
            snapshot_id=snapshot_id,
            sequence=number + 1,
        )
        for replica in ("vault", "iowa"):
            sent = replica in held_by
            yield CopyRow(
                run_id=run_id,
                object=name,
                replica=replica,
                region="gcp:us-central1" if replica == "iowa" else "",
                provider="gcs" if replica == "iowa" else "directory",
                state=CopyState.ACKNOWLEDGED if sent else CopyState.FAILED,
                bytes=1000,
                checksum="crc32c:00000000" if sent else "",
                acknowledged_utc=now if sent else None,
                snapshot_id=snapshot_id,
                error_code="" if sent else "store-unavailable",
            )
    yield from _outcome(number, source, source_id, snapshot_id, parent, run_id, now, held_by)


def _outcome(
    number: int,
    source: str,
    source_id: str,
    snapshot_id: str,
    parent: str,
    run_id: str,
    now: datetime,
    held_by: tuple[str, ...],
) -> Iterator[AuditRow]:
    yield RunRow(
        run_id=run_id,
        operation=Operation.BACKUP,
        state=RunResult.COMPLETED if len(held_by) == 2 else RunResult.COMPLETED_WITH_WARNINGS,
        started_utc=now,
        finished_utc=now + timedelta(seconds=4.5),
        source=source,
        source_id=source_id,
        snapshot_id=snapshot_id,
        host="büro",
        version="0.1.0",
        replicas=tuple(
            ReplicaPart(replica=name, state=PartState.COMMITTED, bytes_sent=3000, objects_sent=3, requests=4)
            for name in held_by
        ),
        made=SnapshotMade(
            parent_snapshot_id=parent,
            kind="directory",
            reading_utc=now,
            committed_utc=now + timedelta(seconds=3),
            entries=5,
            files=4,
            bytes_total=10**15 + number,  # more than a float holds exactly when summed
            bytes_read=100,
            bytes_new=50,
            bytes_stored=3000,
            chunks_new=3,
            packs_new=PACKS,
            quorum=1,
            replicas_committed=held_by,
            facts=(("server", "18.6"),),
            sequence=number + 1,
            needs_since=1,
        ),
    )


def _check(clock: FixedClock, damaged: str) -> Iterator[AuditRow]:
    now = clock.now_utc()
    yield CheckRow(
        run_id="check-1",
        check_id="check-1",
        replica="vault",
        state="damaged",
        started_utc=now,
        finished_utc=now + timedelta(seconds=1),
        objects_checked=48,
        damaged=1,
        bytes_read=48_000,
        read_data_percent=100.0,
    )
    yield CheckRow(
        run_id="check-1",
        check_id="check-1",
        replica="vault",
        object=damaged,
        state="altered",
        detail="segment 2 does not open",
        snapshot_ids=("s1", "s2"),
        started_utc=now,
        finished_utc=now + timedelta(seconds=1),
        paths_total=2,
        paths=("secret plans.txt", "/etc/shadow"),
    )
    for method in (CheckMethod.READ, CheckMethod.REMOTE):
        yield CheckRow(
            run_id=f"check-{method}",
            check_id=f"check-{method}",
            replica="vault",
            state="damaged",
            started_utc=now,
            finished_utc=now + timedelta(seconds=2 if method is CheckMethod.READ else 3),
            objects_checked=48,
            damaged=1,
            bytes_read=1000 if method is CheckMethod.READ else 0,
            read_data_percent=5.0 if method is CheckMethod.READ else 0.0,
            method=method,
            oldest_read_utc=START if method is CheckMethod.READ else None,
        )
        yield ProofRow(
            run_id=f"check-{method}",
            replica="vault",
            object=damaged,
            method=method,
            state=ProofState.ALTERED,
            against=Against.NAME if method is CheckMethod.READ else Against.SENT,
            bytes=1000,
            checked_utc=now + timedelta(seconds=1),
            detail="its bytes do not hash to its name",
        )
