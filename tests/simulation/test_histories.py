from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.find_mutants import known_seeds

_ROOT = Path(__file__).parents[2]
_HISTORIES = 50  # of each half
_SEEDS_LOOKED_AT = 40  # from the one in the table on: what a seed means changes with the program
_SLOW = pytest.mark.timeout(1800)  # of a machine that does other things as well


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, cwd=_ROOT, env=environment, text=True, capture_output=True, check=False)


@_SLOW
@pytest.mark.parametrize("first", [0, _HISTORIES])
def test_in_every_history_the_obligations_hold_and_what_is_listed_is_restored(first: int) -> None:
    played = _simulate("--first", str(first), "--histories", str(_HISTORIES), "--processes", "1")
    assert played.returncode == 0, played.stdout[-5000:] + played.stderr[-5000:]
    assert f"{_HISTORIES} histories from seed {first}, 0 failed" in played.stdout


@_SLOW
def test_a_seed_repeats_to_the_last_call() -> None:
    first, again = _simulate("--seed", "3", "--reads"), _simulate("--seed", "3", "--reads")
    assert first.returncode == again.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    assert len(first.stdout.splitlines()) > 200
    assert first.stdout == again.stdout


@_SLOW
@pytest.mark.parametrize("mutant", known_seeds())
def test_a_rule_that_is_taken_out_is_found_missing(mutant: str) -> None:
    seed = known_seeds()[mutant]
    found = _simulate(
        "--mutant", mutant, "--first", str(seed), "--histories", str(_SEEDS_LOOKED_AT), "--processes", "1"
    )
    assert found.returncode == 1, found.stdout + found.stderr[-5000:]
    assert "DOES NOT HOLD" in found.stdout
