"""A flow has processes of its own read, hash and walk, and none of them outlives its run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farshore import limits
from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import SystemClock
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from flows.backup import backup
from tasks.sessions import SESSIONS
from tests.contract.child_processes import running
from tests.contract.directory_trees import differences
from tests.flows.conftest import Repository

pytestmark = pytest.mark.usefixtures("prefect_api")

READING, HASHING, WALKING = (
    "farshore.ops.backup.pipeline.reading_process",
    "farshore.ops.backup.pages.hashing_process",
    "walking_process",
)
FILES = limits.WALKING_PROCESSES_ENTRIES_MIN
IMAGE_BYTES = 160 * limits.MIB


@pytest.fixture
def wide(repository: Repository) -> Repository:
    """A repository whose source has enough small files for processes, and a large one of pages."""
    repository.config_path.write_text(
        repository.config_path.read_text().replace("[sources.home]\n", '[sources.home]\npaged = ["*.image"]\n')
    )
    for number in range(FILES):
        (repository.source / f"{number % 40}").mkdir(exist_ok=True)
        (repository.source / f"{number % 40}/{number}").write_bytes(b"%d\n" % number * 100)
    with (repository.source / "disk.image").open("wb") as image:
        for number in range(IMAGE_BYTES // limits.MIB):
            image.write(b"%8d" % number * (limits.MIB // 8))
    return repository


@contextmanager
def seen_beside() -> Iterator[set[str]]:
    """Collect which processes run meanwhile."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            seen.update(module for module in (READING, HASHING, WALKING) if running(module))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_flows_use_them_and_leave_none(wide: Repository, tmp_path: Path) -> None:
    with seen_beside() as seen:
        assert backup("home", str(wide.config_path), return_state=True).is_completed()
    assert {READING, HASHING} <= seen
    (wide.source / "7/7").write_bytes(b"changed")
    with (wide.source / "disk.image").open("r+b") as image:
        image.seek(9 * limits.MIB)
        image.write(b"changed")
    with seen_beside() as seen:
        assert backup("home", str(wide.config_path), return_state=True).is_completed()
    assert {WALKING, HASHING} <= seen
    assert not [one for module in (READING, HASHING, WALKING) for one in running(module)]
    assert SESSIONS.count() == 0
    with open_repository(wide.config, need=Need.READ, clock=SystemClock()) as opened:
        newest = max(list_snapshots(opened), key=lambda one: one.committed_utc)
        restore_snapshot(opened, newest, tmp_path / "back", run=Run.start(SystemClock()))
    assert list(differences(bytes(wide.source), bytes(tmp_path / "back"))) == []
