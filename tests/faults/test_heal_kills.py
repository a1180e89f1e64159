"""A heal that is killed leaves a replica that lists only whole snapshots, and the next one goes on from there."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from tests.end_to_end.preloaded import Started
from tests.faults.world import World, fingerprint, succeed

KILLS = 4
BACKUPS = 4


def start_heal(world: World, *words: str) -> Started:
    return world.start("--quiet", "heal", *words)


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
        world.backup()
    away.rename(three)
    killed, counts = 0, []
    for _ in range(KILLS):
        (damaged, *_) = sorted(path for path in (tmp_path / "two/packs").rglob("*") if path.is_file())
        damaged.chmod(0o600)
        damaged.write_bytes(b"?" + damaged.read_bytes()[1:-1])
        there = files(three)
        with start_heal(world, "--bandwidth", "4M") as process:
            enough = there + world.random.randint(2, 12)  # its lease is the first
            deadline = time.monotonic() + 60
            while process.poll() is None and files(three) < enough and time.monotonic() < deadline:
                time.sleep(0.002)
            killed += process.poll() is None
        counts.append(restore_from_three(world))
    assert killed >= KILLS // 2, "the heals end before anything hits them"
    assert counts == sorted(counts)
    succeed(start_heal(world))
    assert "nothing to do" in succeed(start_heal(world))
    assert restore_from_three(world) == BACKUPS
    world.check_everything(samples=1)
