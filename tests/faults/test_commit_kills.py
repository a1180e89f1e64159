"""A run that is killed at any call from its last checks on: what was decided is finished, and nothing is lost.

Step W5 checks, W6 decides, W7 puts the commit (docs/reference/format.md, section 6; tests/models/prune has the rules).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore import limits
from farshore.errors import FarshoreError
from farshore.format import names
from tests.doubles.faulty import FAIL, LOSE_REPLY, Fault
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import Calls, lacking, unfinished
from tests.unit.ops.tree_source import TreeSource


def dies_after_sealing(number: int, fault: Fault) -> Callable[[int, str, str, str], Fault | None]:
    """Return the faults of a process that is killed at a call, counted from the first run that it puts."""
    counted = itertools.count(1)
    begun: list[int] = []

    def plan(_at: int, _replica: str, verb: str, name: str) -> Fault | None:
        if not begun and not (verb == "put" and name.startswith(names.RUNS)):
            return None
        begun.append(next(counted))
        return FAIL if begun[-1] > number else fault if begun[-1] == number else None

    return plan


def calls_after_sealing(made: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    started = next(at for at, (_, verb, name) in enumerate(made) if verb == "put" and name.startswith(names.RUNS))
    return [(verb, name) for _, verb, name in made[started:]]


@pytest.mark.timeout(600)
def test_killed_at_every_call_from_w5_on_nothing_is_lost_and_what_was_decided_is_finished(
    tmp_path: Path,
) -> None:
    """O8 for a writer. After each kill all that is listed restores, and the next run finishes what was decided."""
    engine = Engine(tmp_path, urls=fresh_memory_urls("a", "b"), quorum=2).initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"old", b"old" * 100)
    engine.backup(source)
    source.file(b"new", b"new" * 100)
    with Calls(engine) as seen:
        engine.backup(source, identity="whole")
    calls = calls_after_sealing(seen.made)
    kills = [(number, FAIL) for number in range(1, len(calls) + 1)]
    kills += [(number, LOSE_REPLY) for number, (verb, _) in enumerate(calls, 1) if verb == "put"]
    decided = 0
    for number, fault in kills:
        identity = f"{number}-{fault.kind}"
        source.file(b"new", identity.encode() * 40)
        with Calls(engine, dies_after_sealing(number, fault)), contextlib.suppress(FarshoreError):
            engine.backup(source, identity=identity)
        assert not lacking(engine), identity
        decided += bool(unfinished(engine))
        engine.clock.advance(limits.LEASE_S + limits.CLOCK_SKEW_S_MAX)
        again = engine.backup(source, identity=identity)
        assert all(one.committed for one in again.replicas), identity
        assert not unfinished(engine), identity
        assert not lacking(engine), identity
    assert decided > 1, "no kill hit the moment between W6 and W7"
