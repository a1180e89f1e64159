"""A8: bytes that take memory or time, at one replica: nobody else is stopped, and reading them costs little."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from farshore.limits import MIB
from tests.attacks.world import Done, Victim, attack

MORE_BYTES_MAX = 100 * MIB
CODES = {  # of what names the replica; a backup and a restore go on
    "status": (0, 3, 20, 33, 61, 71), "verify": (0, 3, 20, 62), "heal": (0, 3, 20, 65),
    "prune": (0, 3, 88),
}  # fmt: skip


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    return victim


def measured(victim: Victim, *words: object) -> tuple[Done, int, int]:
    """Run a command; return also its peak of memory, and the bytes that it received."""
    tracemalloc.start()
    try:
        done = victim.run(*words)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    received = [one["bytes_down"] for record in done.records for one in record.get("requests", [])]
    return done, peak, sum(received)


@pytest.mark.parametrize("what", ["field", "features", "header", "slot", "commit", "end"])
def test_one_bad_replica_stops_nobody_and_costs_nobody_else_anything(victim: Victim, what: str) -> None:
    _, honest_peak, honest_bytes = measured(victim, "backup", "home")
    snapshots = victim.listed()
    attack("a08_hostile_bytes.py", what, victim.replica("one"))
    for words in (["backup", "home"], ["restore", snapshots[0], "--no-repair"], ["status"], ["verify"], ["heal"]):
        target = ["--target", victim.root / f"out-{what}"] if words[0] == "restore" else []
        done, peak, received = measured(victim, *words, *target)
        assert done.code in CODES.get(str(words[0]), (0, 3)), (words, done.code, done.said)
        assert peak < honest_peak + MORE_BYTES_MAX, words
        assert words[0] != "backup" or received <= 2 * honest_bytes + MIB
    for snapshot in snapshots:
        assert victim.restored(snapshot, "--replica", "two") is not None
