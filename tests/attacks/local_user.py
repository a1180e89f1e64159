"""Another user of this machine, who runs an attack beside the code under test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def attack_running(script: Path, *arguments: str) -> Iterator[list[int]]:
    """Run a script as nobody until the block ends; the number it prints then is appended to the list."""
    outcome: list[int] = []
    # By its text, on an interpreter of the system: nobody need not be able to read the files of the tests.
    process = subprocess.Popen(
        [_interpreter(), "-I", "-c", script.read_text(), *arguments],
        stdout=subprocess.PIPE, text=True, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield outcome
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    outcome.append(int(rest))


def _interpreter() -> str:
    for candidate in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(candidate).exists():
            return candidate
    return sys.executable
