"""A process killed at any instruction loses at most its own unfinished snapshot (design, invariant 10)."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from farshore.access.query import run_query
from tests.faults.world import REPLICAS, World

KILLS = 50


@pytest.mark.timeout(600)
def test_killed_at_fifty_random_moments_every_committed_snapshot_restores(tmp_path: Path) -> None:
    seed = int(time.time())
    print(f"seed {seed}")
    world = World(tmp_path, seed)
    world.initialize()
    world.advance()
    started = time.monotonic()
    world.backup()
    usual_s = time.monotonic() - started
    killed = finished = 0
    while killed < KILLS:
        world.advance()
        with world.start_backup() as process:
            # Spread over a run; what is left after its commit is of less interest.
            time.sleep(world.random.uniform(0.02 * usual_s, 0.9 * usual_s))
            if process.poll() is None:
                process.kill()
                killed += 1
                usual_s *= 1.02  # the machine may be slower or faster now than it was at first
            else:
                finished += 1
                usual_s *= 0.9
        assert finished < 3 * KILLS, "the kills come too late to hit anything"
    before = len(world.snapshots())
    world.advance()
    world.backup()
    snapshots = world.snapshots()
    assert len(snapshots) == before + 1
    assert set(snapshots[-1].replicas) == set(REPLICAS)
    restored = world.check_everything()
    print(f"{killed} killed, {finished} finished before, {len(snapshots)} snapshots, {restored} restores")


def test_an_interrupted_first_backup_is_continued_and_not_begun_again(tmp_path: Path) -> None:
    """What a killed run uploaded is adopted by the next, though no index fragment named it."""
    world = World(tmp_path, seed=7, files=20, large_bytes=80_000_000)
    world.initialize()
    world.advance()
    packs = tmp_path / "one" / "packs"
    with world.start_backup():  # killed at its end
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len([path for path in packs.rglob("*") if path.is_file()]) < 2:
            time.sleep(0.01)
    left = sum(path.stat().st_size for path in packs.rglob("*") if path.is_file() and len(path.name) == 64)
    assert left > 16_000_000
    assert not world.snapshots()
    world.backup()
    (snapshot,) = world.snapshots()
    assert snapshot.counts.bytes_new < snapshot.counts.bytes_total - 0.8 * left
    assert set(snapshot.replicas) == set(REPLICAS)
    untold = "SELECT count(*) FROM lineage WHERE object NOT IN (SELECT object FROM objects)"
    assert run_query(world.config, untold, clock=world.clock).rows == [(0,)], "adopted packs are of this run"
    world.check_everything()


def test_ctrl_c_ends_with_its_exit_code_and_the_next_run_works(tmp_path: Path) -> None:
    world = World(tmp_path, seed=8, large_bytes=60_000_000)
    world.initialize()
    world.advance()
    with world.start_backup() as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any((tmp_path / "one" / "packs").rglob("*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        printed = "".join(process.printed())
    assert code == 130, printed
    assert "Traceback" not in printed
    world.backup()
    world.check_everything()
