"""The cost of a prune at ten thousand, a hundred thousand, a million packs: memory, requests, time.

    python -m tests.benchmarks.prune [PACKS...]

Packs are names in a store in memory with 100 bytes each; commits, needs and tombstones are real and signed. Every
snapshot has a thousand packs of its own; three in ten are forgotten. Each size runs in its own process, whose memory is
measured from when the repository is made, less that of one bare listing: the names that a store in memory holds and
sorts are no cost of a prune. A listing counts as one
request for each thousand names, as services ask for, and a deletion as one, because a store in memory has no batches.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from farshore.access.unlock import Need
from farshore.format import names
from farshore.format.commit import RunRef
from farshore.format.needs import NeededKey, NeededPack, Needs, encode_needs
from farshore.format.tombstone import Tombstone, encode_tombstone
from farshore.ops.prune.outcome import DeleteMax, PruneOptions
from farshore.ops.prune.prune_replica import prune_replica
from farshore.replicas.lease_holder import known_log
from farshore.replicas.repository import Repository
from farshore.replicas.signed_texts import sign_text
from farshore.run import Run
from farshore.signing import SignedKind
from tests.doubles.commits import signed_commit
from tests.unit.ops.engine import Engine, fresh_memory_urls

SIZES = (10_000, 100_000, 1_000_000)
PACKS_EACH = 1000
FORGOTTEN_SHARE = 0.3
PAGE = 1000  # names in one answer of a service
MEMORY_MAX = 300 * 10**6  # bytes, at a million packs
REQUESTS_MAX = 1.2  # times those that listings and deletions need
_BODY = bytes(100)
_HWM_RESET = "5"


@dataclass(frozen=True)
class Cost:
    """The cost of one prune."""

    packs: int
    deleted: int
    seconds: float
    memory_bytes: int
    requests: int
    needed_requests: float

    @property
    def ratio(self) -> float:
        """Requests by those that listings and deletions need."""
        return self.requests / self.needed_requests


def build(engine: Engine, packs: int) -> None:
    """Make a repository of one replica with so large a number of packs, and forget three snapshots in ten."""
    shelf, random_bytes = engine.shelf("a"), random.Random(packs).randbytes
    with engine.opened(Need.READ) as repository:
        for number in range(max(packs // PACKS_EACH, 1)):
            ids = sorted(random_bytes(32).hex() for _ in range(PACKS_EACH))
            for one in ids:
                shelf.objects[names.pack(one)] = (_BODY, engine.clock.now_utc())
            _commit(engine, repository, number, ids)
    engine.clock.advance(timedelta(days=30).total_seconds())


def _commit(engine: Engine, repository: Repository, number: int, ids: list[str]) -> None:
    objects, now_utc = engine.shelf("a").objects, engine.clock.now_utc()
    manifest, key = f"manifest {number}".encode(), f"key {number}".encode()
    data_key = NeededKey(f"{number:032x}", "1" * 32, names.hash_of(key))
    needs = encode_needs(Needs(tuple(NeededPack(one, len(_BODY)) for one in ids), (data_key,)))
    runs = {
        role: (RunRef(names.hash_of(data), len(data)),)
        for role, data in (("manifest", manifest), ("needs", needs))
    }  # fmt: skip
    commit, stored = signed_commit(repository, number, runs=runs)
    for name, data in (
        (names.run(names.hash_of(manifest)), manifest), (names.run(names.hash_of(needs)), needs),
        (data_key.name, key), (commit.name, stored),
    ):  # fmt: skip
        objects[name] = (data, now_utc)
    if number % 10 < FORGOTTEN_SHARE * 10:
        subject = f"{names.FORGOTTEN}{commit.snapshot}"
        stone = Tombstone(commit.snapshot, commit.hash, "a benchmark", "none", now_utc, known_log(repository))
        text = sign_text(repository.writing_keys(), SignedKind.TOMBSTONE, subject, encode_tombstone(stone))
        objects[names.tombstone(subject, names.hash_of(text))] = (text, now_utc)


def measure(packs: int) -> Cost:
    """Build, prune, and return the cost of the prune."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder) / "engine", urls=fresh_memory_urls("a"), quorum=1).initialize()
        build(engine, packs)
        names_listed = sum(1 for name in engine.shelf("a").objects if name.startswith((names.PACKS, names.RUNS)))
        options = PruneOptions(delete_max=DeleteMax(percent=90), even_last=True)
        with engine.opened(Need.READ) as repository:
            before = _resident("VmRSS") + _listing_bytes(repository)
            repository.drain_requests()
            Path("/proc/self/clear_refs").write_text(_HWM_RESET)
            begun = time.perf_counter()
            found = prune_replica(repository, repository.replicas["a"], options, Run.start(engine.clock))
            seconds = time.perf_counter() - begun
            memory = _resident("VmHWM") - before
            (asked,) = repository.drain_requests()
        if str(found.state) != "pruned":
            raise SystemExit(f"the prune ended as {found.state}: {found.error}")
        pages = names_listed / PAGE
        requests = asked.puts + asked.gets + asked.heads + asked.deletes + asked.lists + pages
        return Cost(packs, found.freed.objects, seconds, memory, int(requests), pages + found.freed.objects)


def _listing_bytes(repository: Repository) -> int:
    """Return what a bare listing costs: a store in memory sorts all of its names at once, which no service does."""
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text(_HWM_RESET)
    for _ in repository.replicas["a"].store.list(names.PACKS):
        pass
    return max(_resident("VmHWM") - before, 0)


def _resident(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"this system does not say {key}")


def main(words: list[str]) -> int:
    """Measure each size in a process of its own; 1 where a bar does not hold."""
    if words[:1] == ["--one"]:
        one = measure(int(words[1]))
        print(one.packs, one.deleted, f"{one.seconds:.1f}", one.memory_bytes, one.requests, f"{one.ratio:.2f}")
        return 0
    print("packs deleted seconds memory requests ratio")
    held = True
    for packs in [int(word) for word in words] or SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.prune", "--one", str(packs)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(line, flush=True)
        memory, ratio = int(line.split()[3]), float(line.split()[5])
        held = held and memory <= MEMORY_MAX and ratio <= REQUESTS_MAX
    print("the bars hold" if held else f"a bar does not hold: {MEMORY_MAX} bytes, {REQUESTS_MAX} times the requests")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
