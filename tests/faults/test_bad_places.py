"""Trials F3 and F4: every command while cache, state or temporary directory is read-only, full, a file, denied.

A run goes on without it, with a warning, or ends with an error that names the directory and the setting; never a bug.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.bad_places import COMMANDS, RUNS

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "FARSHORE_CACHE": ("cache directory", "FARSHORE_CACHE, or cache under [state]"),
    "FARSHORE_STATE_DIR": ("state directory", "FARSHORE_STATE_DIR, or dir under [state]"),
    "XDG_STATE_HOME": ("state directory", "FARSHORE_STATE_DIR, or dir under [state]"),
    "TMPDIR": ("temporary directory", "TMPDIR"),
}
USUAL = {"plan check": 82, "replica probe one --only permissions": 3}
HOPELESS = {  # commands that end with an error, and its code
    ("FARSHORE_CACHE", "nearly-full"): {"backup home ledger": 17},
    ("FARSHORE_STATE_DIR", "dangling"): {"key enroll": 10},
    ("FARSHORE_STATE_DIR", "denied"): {"key enroll": 10},
    ("FARSHORE_STATE_DIR", "denied-inside"): {"key enroll": 10},
    ("FARSHORE_STATE_DIR", "full"): {"key enroll": 17},
    ("FARSHORE_STATE_DIR", "nearly-full"): {"key enroll": 17},
    ("XDG_STATE_HOME", "read-only"): {"key enroll": 10},
    ("TMPDIR", "nowhere"): {"backup home ledger": 22, "heal": 10, "heal --read-data": 10, "replica add two": 10},
}
# Each state once or twice: a case takes ten seconds. `bad_places.py` makes any other pair by hand.
CASES = [
    *(("FARSHORE_CACHE", state) for state in ("missing", "below-a-file", "read-only", "nearly-full", "denied-inside")),
    *(("FARSHORE_STATE_DIR", state) for state in ("dangling", "denied", "denied-inside", "full", "nearly-full")),
    ("XDG_STATE_HOME", "read-only"),
    ("TMPDIR", "nowhere"),
]


def survey(root: Path, variable: str, state: str) -> dict[str, dict[str, Any]]:
    """Run every command where only this test sees what is mounted, without the right to ignore permissions."""
    root.mkdir(exist_ok=True)
    without = "--bounding-set=-dac_override,-dac_read_search"
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    script = Path(__file__).with_name("bad_places.py")
    done = subprocess.run(
        [*namespace, "setpriv", without, "--inh-caps=-dac_override,-dac_read_search", sys.executable, str(script),
         str(root), variable, state],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("FARSHORE_", "XDG_"))}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize(("variable", "state"), CASES, ids=str)
def test_every_command_goes_on_or_names_the_directory(tmp_path: Path, variable: str, state: str) -> None:
    """Trials F3, F4."""
    usual = dict.fromkeys(COMMANDS, 0) | USUAL

    seen = survey(tmp_path, variable, state)

    hopeless = HOPELESS.get((variable, state), {})
    assert {command: one["code"] for command, one in seen.items()} == usual | hopeless, seen
    name, setting = SETTINGS[variable]
    for command, one in seen.items():
        assert "error[bug]" not in one["said"], (command, one)
        if command in hopeless:
            assert str(tmp_path / "bad/place") in one["said"], (command, one)
            assert setting in one["said"], (command, one)
    if state not in ("missing", "nearly-full") and variable != "TMPDIR":
        about = [line for line in seen["verify --remote"]["said"].splitlines() if f"the {name} " in line]
        assert len(about) == 1, "said once"
        assert "going on without it" in about[0]
        assert str(tmp_path / "bad/place") in about[0]
        assert setting in about[0]
    operations = {"backup", "init", "restore", "verify", *(() if "heal" in hopeless else ("heal",))}
    assert operations <= set(seen[RUNS]["printed"].split()), "rows reach the replicas all the same"
    restored = tmp_path / f"out{COMMANDS.index('restore home --target {out}')}"
    for file in ("letter.txt", "blob"):
        assert (restored / file).read_bytes() == (tmp_path / "home" / file).read_bytes()
