"""Run the programs a user runs: `farshore` and `prefect`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from infra.demo.diary import DemoFailed

REPOSITORY = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 600.0
_LINES_QUOTED = 30
_FOREIGN = ("FARSHORE_", "PREFECT_", "PG", "AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_")


def clean_environment(home: Path) -> dict[str, str]:
    """Return this process's environment without settings of the user's own that would change what the programs do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = os.pathsep.join([sysconfig.get_path("scripts"), kept.get("PATH", "")])
    return kept | {"HOME": str(home), "PATH": path, "NO_COLOR": "1", "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}


def program(name: str) -> Path:
    """Return an installed console script of this environment."""
    return Path(sysconfig.get_path("scripts")) / name


class Programs:
    """Runs programs with one environment. Safe from many threads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def farshore(self, *arguments: str | Path, expect: Collection[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run `farshore`; its exit code must be one of `expect`."""
        return self._run([program("farshore"), *arguments], expect)

    def records(self, *arguments: str | Path, expect: Collection[int] = (0,)) -> list[dict[str, Any]]:
        """Run `farshore ... --json` and return its records."""
        done = self.farshore(*arguments, "--json", expect=expect)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def prefect(self, *arguments: str | Path, expect: Collection[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run `prefect` from the root of the checkout."""
        return self._run([program("prefect"), "--no-prompt", *arguments], expect)

    def _run(self, command: list[str | Path], expect: Collection[int]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            list(map(str, command)),
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode not in expect:
            words = " ".join([Path(command[0]).name, *map(str, command[1:])])
            quoted = "\n".join((done.stdout + done.stderr).splitlines()[-_LINES_QUOTED:])
            raise DemoFailed(f"'{words}' ended with exit code {done.returncode}\n{quoted}")
        return done
