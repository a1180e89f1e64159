"""A host that gives a process little: it makes do, or says what it lacks (trial F12)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.shore import FARSHORE, Shore, tree

FOLDERS = 40


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    shore = Shore(tmp_path, replicas=("alpha", "beta"), more='[sources.wide]\ntype = "directory"\npath = "wide"\n')
    for number in range(FOLDERS):
        folder = tmp_path / f"wide/{number}/e/f"
        folder.mkdir(parents=True)
        for name in range(20):
            (folder / str(name)).write_text(f"{number} {name}")
    shore.initialize()
    return shore


def run(shore: Shore, open_files: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that may have only so many files open."""
    limited = ["sh", "-c", f'ulimit -n {open_files}; exec "$0" "$@"', FARSHORE, *words]
    return subprocess.run(
        limited, cwd=shore.root, env=shore.environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_few_open_files_are_enough(shore: Shore) -> None:
    """Trial F12: with 64, 555 of 2,001 entries were committed, the others `unreadable`."""
    done = run(shore, 64, "backup", "wide", "--json")
    assert done.returncode == 0, done.stderr
    done = run(shore, 64, "restore", "wide", "--target", "out")
    assert done.returncode == 0, done.stderr
    assert tree(shore.root / "out") == tree(shore.root / "wide")


def test_too_few_end_the_run_and_are_named(shore: Shore) -> None:
    done = run(shore, 12, "backup", "wide", "--json")
    assert done.returncode == 29, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["code"] == "host-exhausted"
    assert "this process may have 12" in record["message"]
    assert "ulimit -n" in record["hint"]
    assert not shore.good("snapshots", "--json").records
    shore.good("backup", "wide")
