"""A heal that is killed leaves a replica that lists only whole snapshots, and the next one goes on from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from farshore.access.open_repository import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from tests.faults.world import World, fingerprint

KILLS = 4
BACKUPS = 4


def start_heal(world: World, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "farshore", "--config", str(world.config_path), "--quiet", "heal", *words],
        env=world.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def files(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


def restore_from_three(world: World) -> int:
    """Restore each snapshot that the third replica lists from it alone; return how many it lists."""
    with open_repository(world.config, need=Need.READ, clock=world.clock) as repository:
        listed = [one for one in list_snapshots(repository) if "three" in one.replicas]
        for snapshot in listed[-2:]:
            target = world.root / "restored"
            result = restore_snapshot(repository, snapshot, target, replica="three", run=Run.start(world.clock))
            assert not result.fell_over
            assert fingerprint(target) == world.expected[(target / "round.txt").read_text()]
            shutil.rmtree(target)
    return len(listed)


def test_killed_at_random_moments_it_converges(tmp_path: Path) -> None:
    seed = int(time.time())
    print(f"seed {seed}")
    world = World(tmp_path, seed, files=60, large_bytes=3_000_000)
    world.initialize()
    three, away = tmp_path / "three", tmp_path / "away"
    three.rename(away)
    for _ in range(BACKUPS):
        world.advance()
        process = world.start_backup()
        process.communicate(timeout=120)
        assert process.returncode == 0
    away.rename(three)
    killed, counts = 0, []
    for _ in range(KILLS):
        (damaged, *_) = sorted(path for path in (tmp_path / "two/packs").rglob("*") if path.is_file())
        damaged.chmod(0o600)
        damaged.write_bytes(b"?" + damaged.read_bytes()[1:-1])
        there = files(three)
        process = start_heal(world, "--bandwidth", "4M")
        enough = there + world.random.randint(2, 12)  # its lease is the first
        deadline = time.monotonic() + 60
        while process.poll() is None and files(three) < enough and time.monotonic() < deadline:
            time.sleep(0.002)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.communicate(timeout=60)
        counts.append(restore_from_three(world))
    assert killed >= KILLS // 2, "the heals end before anything hits them"
    assert counts == sorted(counts)
    last = start_heal(world)
    printed, _ = last.communicate(timeout=120)
    assert last.returncode == 0, printed.decode()
    again = start_heal(world)
    printed, _ = again.communicate(timeout=120)
    assert "nothing to do" in printed.decode()
    assert restore_from_three(world) == BACKUPS
    world.check_everything(samples=1)
