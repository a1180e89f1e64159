"""What signatures and the owner log cost a backup: `python -m tests.benchmarks.trust`.

Two repositories of the same tree, in turns: one whose processes sign and check, one whose processes store zeros for a
signature and believe every one. Each step is a process of its own. The first repository's processes also count what
they sign and check, and time it together with the reading of the owner log. Of what is stored, each object that a
snapshot adds to a replica is looked at. Past a bar the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farshore.access import read_trust
from farshore.audit.names import SEALS
from farshore.cli.main import run
from farshore.format import TRAILER_BYTES, names
from farshore.model import ED25519_SIGNATURE_BYTES, ML_DSA_65_SIGNATURE_BYTES, Signature
from farshore.replicas.owner_log import read_owner_log
from farshore.signing import SignatureSuite, SigningKey, VerifyKey
from tests.benchmarks.dataset import make_data
from tests.benchmarks.machine import describe_machine

FIRST_BAR = 1.03  # CPU of a first backup of the tree, to that of one without signatures
UNCHANGED_BAR_S = 0.050  # CPU of an unchanged backup of a small tree, above that of one without
STORED_BAR_BYTES = 12 * 1024  # for each snapshot at each replica
SMALL_FILES = 200
_ASKED = "FARSHORE_BENCH_TRUST"
_PASSPHRASE = "correct horse battery staple"


class Costs:
    """Counts and seconds of one process, by what they are spent on."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def watched(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same function, counted and timed; it may be a method, and run in several threads at once."""

        def watched(*args: Any, **named: Any) -> Any:
            started_s = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                self.counts[what] = self.counts.get(what, 0) + 1
                self.seconds[what] = self.seconds.get(what, 0.0) + time.thread_time() - started_s

        return watched


def watch(costs: Costs) -> None:
    """Count and time signatures and the owner log in this process."""
    for kind, attribute in ((SigningKey, "sign"), (VerifyKey, "check")):
        setattr(kind, attribute, costs.watched(attribute, getattr(kind, attribute)))
    # Its checks are in `check` as well.
    read_trust.read_owner_log = costs.watched("owner log", read_owner_log)  # type: ignore[attr-defined]


def believe_everything() -> None:
    """Sign with zeros and check nothing in this process, whose repository is thrown away."""

    def sign(self: SigningKey, _message: bytes, suite: SignatureSuite) -> Signature:
        hybrid = bytes(ML_DSA_65_SIGNATURE_BYTES) if suite is SignatureSuite.HYBRID else b""
        return Signature(self.signer_id, bytes(ED25519_SIGNATURE_BYTES), hybrid)

    SigningKey.sign = sign  # type: ignore[method-assign,assignment]
    VerifyKey.check = lambda *_: None  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Step:
    """What one process took, and what it spent on trust."""

    wall_s: float
    cpu_s: float
    costs: Mapping[str, Any]


class Place:
    """A repository of one replica."""

    def __init__(self, root: Path, source: Path, *, signed: bool) -> None:
        self._root = root
        self._how = "watched" if signed else "unsigned"
        self.replica = root / "replica"
        self.replica.mkdir(parents=True)
        (root / "farshore.toml").write_text(
            f'[repository]\nquorum = 1\npassphrase = {{ env = "FARSHORE_PASSPHRASE" }}\n[state]\ndir = "{root}/state"\n'
            f'[replicas.one]\nurl = "file://{self.replica}"\n[sources.tree]\ntype = "directory"\npath = "{source}"\n'
        )
        self.step("init")

    def step(self, *words: str) -> Step:
        """Run one command line, whose child this is, and return what it took."""
        spent = self._root / "costs.json"
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "FARSHORE_PASSPHRASE": _PASSPHRASE, "FARSHORE_CONFIG": str(self._root / "farshore.toml"),
            _ASKED: f"{self._how} {spent}",
        }  # fmt: skip
        os.sync()
        started_s = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmarks.trust", *words]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {said.decode()[-2000:]}")
        wall_s = time.monotonic() - started_s
        return Step(wall_s, usage.ru_utime + usage.ru_stime, json.loads(spent.read_text()))

    def objects(self) -> set[str]:
        """Return the names of what the replica has."""
        return {one.relative_to(self.replica).as_posix() for one in self.replica.rglob("*") if one.is_file()}


def signature_bytes(name: str, data: bytes) -> int:
    """Return how many bytes of an object are there for trust: its signature, and all of an audit seal."""
    if name.startswith(SEALS):
        return len(data)
    if name.startswith((names.PACKS, names.FRAGMENTS)):
        return TRAILER_BYTES
    last = data[data.rfind(b"\n", 0, -1) + 1 :]
    return len(last) if last.startswith(b'{"ed25519":') else 0


def stored_for_trust(place: Place, before: set[str]) -> tuple[int, list[str]]:
    """Return the bytes that a snapshot added for trust, without those of packs, which are as many as the data need."""
    found = {}
    for name in sorted(place.objects() - before):
        count = signature_bytes(name, (place.replica / name).read_bytes())
        if count and not name.startswith(names.PACKS):
            found[name] = count
    return sum(found.values()), [f"{name.split('/')[0]} {count}" for name, count in found.items()]


@dataclass(frozen=True, slots=True)
class Measured:
    """The steps with and without signatures, pair by pair, and the bytes that each of the former stored for trust."""

    signed: list[Step] = field(default_factory=list)
    unsigned: list[Step] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)

    def pair(self, signed: Place, unsigned: Place, *, first: bool) -> None:
        """Make a backup in both repositories."""
        for place in (signed, unsigned) if first else (unsigned, signed):
            before = place.objects()
            step = place.step("backup", "tree")
            (self.signed if place is signed else self.unsigned).append(step)
            if place is signed:
                total, parts = stored_for_trust(place, before)
                if total > max(self.stored, default=0):
                    print(f"  stored for trust: {total:,} bytes ({', '.join(parts)})")
                self.stored.append(total)

    def print(self, step: str) -> None:
        """Print the medians."""
        cpu, cpu_without = (statistics.median(one.cpu_s for one in steps) for steps in (self.signed, self.unsigned))
        wall, wall_without = (statistics.median(one.wall_s for one in steps) for steps in (self.signed, self.unsigned))
        print(f"  {step}, {len(self.signed)} pairs, medians with and without signatures:")
        print(f"    CPU {cpu:.3f} s and {cpu_without:.3f} s, wall {wall:.3f} s and {wall_without:.3f} s")
        print(f"    within pairs {self.ratio:.3f}, {self.difference_s * 1000:+.1f} ms of CPU")
        counts, seconds = (self.signed[-1].costs[one] for one in ("counts", "seconds"))
        print("    " + ", ".join(f"{what}: {counts[what]} in {seconds[what] * 1000:.1f} ms" for what in counts))

    @property
    def ratio(self) -> float:
        """The median of the ratios of CPU within pairs."""
        return statistics.median(a.cpu_s / b.cpu_s for a, b in zip(self.signed, self.unsigned, strict=True))

    @property
    def difference_s(self) -> float:
        """The median of the differences of CPU within pairs."""
        return statistics.median(a.cpu_s - b.cpu_s for a, b in zip(self.signed, self.unsigned, strict=True))


def measure_first(folder: Path, source: Path, pairs: int) -> Measured:
    """Make first backups, each pair in two new repositories."""
    measured = Measured()
    for number in range(pairs):
        root = folder / f"{number}"
        places = Place(root / "signed", source, signed=True), Place(root / "unsigned", source, signed=False)
        measured.pair(*places, first=bool(number % 2))
        shutil.rmtree(root)
    measured.print("first")
    return measured


def measure_unchanged(folder: Path, source: Path, pairs: int) -> Measured:
    """Make unchanged backups in two repositories, after a pair that fills the caches."""
    places = Place(folder / "signed", source, signed=True), Place(folder / "unsigned", source, signed=False)
    for place in places:
        for _ in range(2):
            place.step("backup", "tree")
    measured = Measured()
    for number in range(pairs):
        measured.pair(*places, first=bool(number % 2))
    measured.print("unchanged")
    return measured


def main() -> int:
    """Print the costs, and return 1 past a bar."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trust", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="share of the full size of the bench's tree")
    parser.add_argument("--first", type=int, default=5, help="pairs of first backups of the tree")
    parser.add_argument("--unchanged", type=int, default=15, help="pairs of unchanged backups of a small tree")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farshore-trust-bench-") as kept:
        folder = Path(kept)
        print(describe_machine(folder))
        data = make_data(folder / "data", scale=options.scale, say=lambda line: print(line, file=sys.stderr))
        data.warm("tree")
        facts = data.facts
        print(f"the bench's tree, scale {options.scale}: {facts.tree_files:,} files, {facts.tree_bytes:,} bytes")
        first = measure_first(folder / "first", data.directory("tree"), options.first)
        small = folder / "small"
        small.mkdir()
        for number in range(SMALL_FILES):
            (small / f"{number}").write_bytes(os.urandom(20_000))
        print(f"a tree of {SMALL_FILES} files")
        unchanged = measure_unchanged(folder / "unchanged", small, options.unchanged)
    stored = max(*first.stored, *unchanged.stored)
    print(f"first backup {first.ratio:.3f} (bar {FIRST_BAR})")
    print(f"unchanged backup {unchanged.difference_s * 1000:+.1f} ms (bar {UNCHANGED_BAR_S * 1000:.0f})")
    print(f"at most {stored:,} bytes a snapshot and replica (bar {STORED_BAR_BYTES:,})")
    within = first.ratio <= FIRST_BAR and unchanged.difference_s <= UNCHANGED_BAR_S and stored <= STORED_BAR_BYTES
    return 0 if within else 1


def _run_step(asked: str) -> None:
    """Be the process of one step."""
    how, _, spent = asked.partition(" ")
    costs = Costs()
    if how == "watched":
        watch(costs)
    else:
        believe_everything()
    try:
        run()
    finally:
        Path(spent).write_text(json.dumps({"counts": costs.counts, "seconds": costs.seconds}))


if __name__ == "__main__":
    if _ASKED in os.environ:
        _run_step(os.environ[_ASKED])
    sys.exit(main())
