"""Processes that hold keys leave no core dump, and work as before, without privilege too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.host_resources import forbid_core_dumps
from farshore.model import Entry, EntryKind
from farshore.targets.directory.target import DirectoryTarget
from tests.contract.directory_trees import ROOT, as_nobody
from tests.unit.worker_facts import facts


def seen_at_the_end_of(script: str) -> dict[str, object]:
    """Return what a program sees of itself when it ends."""
    hook = (
        f"import atexit, json, sys; sys.path[:] = {sys.path!r}\n"
        "from tests.unit.worker_facts import facts\n"
        "atexit.register(lambda: print(json.dumps(facts())))\n"
    )
    done = subprocess.run([sys.executable, "-c", hook + script], capture_output=True, text=True, check=False)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_command_line_leaves_none() -> None:
    script = "sys.argv = ['farshore', 'version']\nfrom farshore.cli.main import run\nrun()"
    found = seen_at_the_end_of(script)
    assert (found["core_bytes_max"], found["dumpable"]) == (0, 0)


def test_a_process_that_opens_a_repository_leaves_none() -> None:
    script = (
        "import tempfile, pathlib\n"
        "from tests.unit.ops.engine import Engine, fresh_memory_urls\n"
        "engine = Engine(pathlib.Path(tempfile.mkdtemp()), urls=fresh_memory_urls('a'), quorum=1).initialize()\n"
        "with engine.opened():\n    pass\n"
    )
    found = seen_at_the_end_of(script)
    assert (found["core_bytes_max"], found["dumpable"]) == (0, 0)


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_user_without_privilege_restores_as_before(tmp_path: Path) -> None:
    """The flag gives /proc/self to root, and a restore works through /proc/self/fd."""
    place = tmp_path / "place"
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    tmp_path.chmod(0o777)

    def restore() -> tuple[object, list[str]]:
        forbid_core_dumps()
        owner = os.geteuid(), os.getegid()
        target = DirectoryTarget(path=place, clock=SystemClock(), processes=0)
        target.begin()
        target.make(Entry(b"", EntryKind.DIRECTORY, 0o755, *owner))
        target.make(Entry(b"fifo", EntryKind.FIFO, 0o640, *owner, mtime_ns=1_000))
        target.make(Entry(b"link", EntryKind.SYMLINK, 0o777, *owner, mtime_ns=1_000, target=b"fifo"))
        target.place(Entry(b"file", EntryKind.FILE, 0o604, *owner, size=1), b"x")
        target.finish()
        return facts()["dumpable"], [one.message for one in target.problems()]

    assert as_nobody(restore) == (0, [])
    assert (place / "fifo").stat().st_mode & 0o777 == 0o640
    assert (place / "link").lstat().st_mtime_ns == 1_000
