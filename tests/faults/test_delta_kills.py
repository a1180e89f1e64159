"""A restore killed at any instruction is completed by `restore --delta`, and no name ever has half of its content."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.contract.delta_trees import scribble
from tests.contract.directory_trees import differences
from tests.end_to_end.preloaded import Started
from tests.faults.world import World, succeed

KILLS = 8
PAGES = 1500


def start_restore(world: World, target: Path, *more: str) -> Started:
    return world.start("--quiet", "restore", "home", "--target", str(target), *more)


def killed_after(process: Started, wait_s: float) -> bool:
    """Kill a process after a while; return whether it was still there."""
    with process:
        time.sleep(wait_s)
        return process.poll() is None


def restore(world: World, target: Path, *more: str) -> None:
    succeed(start_restore(world, target, *more))


def spoil(target: Path, good: Path, chance: random.Random) -> dict[Path, bytes]:
    """Change much of a tree; return what each changed file that is not patched in place holds now."""
    spoiled: dict[Path, bytes] = {}
    for path in sorted(good.rglob("*")):
        if not path.is_file() or path.suffix == ".img":
            continue
        other = target / path.relative_to(good)
        choice = chance.randrange(4)
        if choice == 0:
            other.unlink(missing_ok=True)
        elif choice == 1:
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(spoiled.setdefault(other, b"old " + chance.randbytes(1000)))
    scribble(target / "disk.img", chance.sample(range(PAGES), 100), chance)
    (target / f"extra-{chance.randrange(1000)}").mkdir(exist_ok=True)
    return spoiled


@pytest.mark.timeout(600)
def test_a_delta_restore_killed_at_random_moments_is_completed_by_the_next(tmp_path: Path) -> None:
    seed = int(time.time())
    print(f"seed {seed}")
    chance = random.Random(seed)
    world = World(tmp_path, seed)
    world.initialize()
    world.advance()
    (world.source / "disk.img").write_bytes(chance.randbytes(PAGES * 4096))
    world.backup()
    target = tmp_path / "target"
    restore(world, target)
    spoil(target, world.source, chance)
    started = time.monotonic()
    restore(world, target, "--delta", "--delete")
    usual_s = time.monotonic() - started
    killed = finished = 0
    while killed < KILLS:
        spoiled = spoil(target, world.source, chance)
        if killed_after(start_restore(world, target, "--delta", "--delete"), chance.uniform(0.05, 1.0) * usual_s):
            killed += 1
        else:
            finished += 1
            usual_s *= 0.9
        for path, old in spoiled.items():
            good = (world.source / path.relative_to(target)).read_bytes()
            assert path.read_bytes() in (old, good), f"{path} has half of its content"
        assert finished < 4 * KILLS, "the kills come too late to hit anything"
    restore(world, target, "--delta", "--delete")
    assert differences(os.fsencode(world.source), os.fsencode(target)) == []


@pytest.mark.timeout(600)
def test_an_ordinary_restore_that_was_killed_is_completed(tmp_path: Path) -> None:
    chance = random.Random(5)
    world = World(tmp_path, seed=5, files=600, large_bytes=60_000_000)
    world.initialize()
    world.advance()
    world.backup()
    target = tmp_path / "target"
    cut = 0
    for _ in range(20):
        shutil.rmtree(target, ignore_errors=True)
        process = start_restore(world, target)
        while process.poll() is None and not (target.is_dir() and len(list(target.iterdir())) > 2):
            time.sleep(0.001)
        if killed_after(process, chance.uniform(0, 0.1)):
            with start_restore(world, target) as refused:
                refused.wait(60)
                assert "--delta" in "".join(refused.printed())
            cut += bool(differences(os.fsencode(world.source), os.fsencode(target)))
            restore(world, target, "--delta")
            assert differences(os.fsencode(world.source), os.fsencode(target)) == []
        if cut >= 3:
            return
    pytest.fail("the kills come too late to hit anything")
