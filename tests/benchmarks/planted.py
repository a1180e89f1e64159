"""What ten thousand planted objects of each kind cost each command: `python -m tests.benchmarks.planted`.

One replica of two has them (`tests/attacks/a14_ten_thousand.py`, put by somebody without a key). Each command is a
process of its own, before and after: its CPU, its peak of memory and its requests. Past a bar, or where a command ends
that did not before, the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.machine import describe_machine

ATTACKS = Path(__file__).parents[1] / "attacks"
CROWD, LARGE, THIEF = "a14_ten_thousand.py", "a15_large_objects.py", "a16_hostile_snapshots.py"
CPU_BAR = 2.0  # of what it took before
LISTED_S = 0.5  # of CPU, beside that, to list the names at a replica; a store has pages for it
MEMORY_BAR_BYTES = 100 * (1 << 20)
READ_BAR = 1000  # objects more that are read
RECEIVED_BAR = 100 * (1 << 20)  # bytes more that are received, beside twice those before
LARGE_COUNT = {"packs": 16, "fragments": 16, "audit-files": 16, "condemning-plans": 16, "seals-of-a-chain": 64}
SNAPSHOTS = 8
FILES = 200
COMMANDS: dict[str, tuple[str, ...]] = {
    "backup": ("backup", "home"),
    "snapshots": ("snapshots",),
    "restore": ("restore", "home", "--target", "OUT", "--no-repair"),
    "status": ("status",),
    "verify": ("verify",),
    "heal": ("heal",),
}
SLOW_COMMANDS: dict[str, tuple[str, ...]] = {  # besides, of few and large objects
    "ls": ("ls", "home"),
    "retain": ("retain", "--dry-run", "--keep-last", "2"),
    "prune": ("prune", "--dry-run"),
    "verify --read-data": ("verify", "--read-data"),
}
_PASSPHRASE = "correct horse battery staple"
_WENT_ON = (0, 3)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one process took, and how it ended.

    `read`: gets and heads at all replicas, where the command says them; `received`: their bytes.
    """

    code: int
    cpu_s: float
    memory_bytes: int
    read: int
    received: int
    said: str


class Place:
    """A repository of two replicas with a few snapshots, kept so that each kind begins with the same."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._work, self._kept = root / "work", root / "kept"
        source = root / "home"
        source.mkdir(parents=True)
        for name in ("one", "two"):
            (self._work / name).mkdir(parents=True)
        replicas = "".join(f'[replicas.{name}]\nurl = "file://{self._work / name}"\n' for name in ("one", "two"))
        (root / "farshore.toml").write_text(
            f'[repository]\nquorum = 1\npassphrase = {{ env = "FARSHORE_PASSPHRASE" }}\n{replicas}'
            f'[sources.home]\ntype = "directory"\npath = "{source}"\n[state]\ndir = "{self._work}/state"\n'
        )
        self._good("init")
        for number in range(SNAPSHOTS):
            for file in range(FILES):
                (source / f"{file}").write_text(f"{number} {file} " * 500)
            self._good("backup", "home")
        self._good("key", "enroll", "thief", "--out", str(root / "thief"))
        self._good("heal")
        shutil.copytree(self._work, self._kept, symlinks=True)

    def _good(self, *words: str) -> None:
        done = self.run(*words)
        if done.code not in _WENT_ON:
            raise SystemExit(f"{' '.join(words)} ended with {done.code}: {done.said}")

    def renew(self) -> None:
        """Put everything back as it was."""
        shutil.rmtree(self._work)
        shutil.copytree(self._kept, self._work, symlinks=True)

    def plant(self, script: str, kind: str, count: int) -> None:
        """Let the attacker at one replica: with a credential of a writer, which they stole, or with nothing."""
        words = [sys.executable, str(ATTACKS / script), kind, str(self._work / "one")]
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        words += [str(self._root / "thief"), moment] if script == THIEF else [str(count)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def run(self, *words: str) -> Taken:
        """Run one command."""
        out = self._root / "out"
        shutil.rmtree(out, ignore_errors=True)
        given = [str(out) if word == "OUT" else word for word in words]
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "FARSHORE_PASSPHRASE": _PASSPHRASE, "FARSHORE_CONFIG": str(self._root / "farshore.toml"),
        }  # fmt: skip
        command = [sys.executable, "-m", "farshore", *given, "--json"]
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            stdout.seek(0)
            stderr.seek(0)
            records = [json.loads(line) for line in stdout.read().splitlines()]
            said = stderr.read().decode()
        requests = [one for record in records for one in record.get("requests", [])]
        read = sum(one["gets"] + one["heads"] for one in requests)
        received = sum(one["bytes_down"] for one in requests)
        cpu_s = usage.ru_utime + usage.ru_stime
        return Taken(process.returncode, cpu_s, usage.ru_maxrss * 1024, read, received, said)


def measure(place: Place, script: str, kinds: Sequence[str], commands: Sequence[str], count: int) -> list[str]:
    """Print a row for each kind; return what is past a bar."""
    before: dict[str, Taken] = {}
    for name in commands:
        place.renew()
        before[name] = place.run(*_words(name))
    print("| planted | " + " | ".join(commands) + " |\n| --- |" + " ---: |" * len(commands))
    print("| nothing | " + " | ".join(_cell(before[name]) for name in commands) + " |", flush=True)
    past: list[str] = []
    for kind in kinds:
        place.renew()
        place.plant(script, kind, LARGE_COUNT.get(kind, count) if script == LARGE else count)
        cells = []
        for name in commands:
            after = place.run(*_words(name))
            cells.append(_cell(after, before[name]))
            past += [f"{kind}, {name}: {one}" for one in _past(before[name], after)]
        print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)
    return past


def _words(command: str) -> tuple[str, ...]:
    return {**COMMANDS, **SLOW_COMMANDS}[command]


def _cell(taken: Taken, before: Taken | None = None) -> str:
    ended = f" **{taken.code}**" if taken.code not in _WENT_ON else ""
    if before is None:
        return f"{taken.cpu_s:.2f} s, {taken.memory_bytes >> 20} MB{ended}"
    more = (taken.memory_bytes - before.memory_bytes) / (1 << 20)
    received = (taken.received - before.received) / (1 << 20)
    read = f"{taken.read - before.read:+,}" + (f" ({received:+.0f} MB)" if abs(received) >= 1 else "")
    return f"{taken.cpu_s - before.cpu_s:+.2f} s, {more:+.0f} MB, {read}{ended}"


def _past(before: Taken, after: Taken) -> list[str]:
    found = []
    if after.code != before.code and after.code not in _WENT_ON:
        found.append(f"ended with {after.code}: {after.said.strip()[:300]}")
    if after.cpu_s > CPU_BAR * before.cpu_s + LISTED_S:
        found.append(f"{after.cpu_s:.2f} s of CPU, {before.cpu_s:.2f} s before")
    if after.memory_bytes > before.memory_bytes + MEMORY_BAR_BYTES:
        found.append(f"{after.memory_bytes >> 20} MB, {before.memory_bytes >> 20} MB before")
    if after.read > before.read + READ_BAR:
        found.append(f"{after.read} objects read, {before.read} before")
    if after.received > 2 * before.received + RECEIVED_BAR:
        found.append(f"{after.received >> 20} MB received, {before.received >> 20} MB before")
    return found


def main() -> int:
    """Print the table, and return 1 past a bar."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.planted", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="objects of each kind")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--large", action="store_true", help="as large as any of their kind: 16 to 256 of each")
    chosen.add_argument("--thief", action="store_true", help="snapshots that a stolen writer signed")
    parser.add_argument("--kinds", nargs="*", help="some of the kinds")
    parser.add_argument("--commands", nargs="*", help="some of the commands")
    options = parser.parse_args()
    script = LARGE if options.large else THIEF if options.thief else CROWD
    count = min(options.count, 256) if options.large else options.count
    listed = [sys.executable, str(ATTACKS / script), "kinds"]
    kinds = options.kinds or subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    commands = options.commands or [*COMMANDS, *(SLOW_COMMANDS if script != CROWD else ())]
    with tempfile.TemporaryDirectory(prefix="farshore-planted-") as folder:
        print(describe_machine(Path(folder)))
        past = measure(Place(Path(folder)), script, kinds, commands, count)
    print(*(past or ["within the bars"]), sep="\n")
    return 1 if past else 0


if __name__ == "__main__":
    sys.exit(main())
