"""What `verify --remote` takes for many packs: `python -m tests.benchmarks.scrub [--packs 1000000] [--replicas 2]`.

The audit tables are real, written by the recorder into directories as backups of 64 GiB would; the listings of packs
are made up as they come, each with its right checksum, because a million packs are 16 TiB. Prints how much of the
tables is fetched for a pack, the time and memory of a first check and a second, and of choosing a rotating sample.
"""

from __future__ import annotations

import argparse
import heapq
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from blake3 import blake3

from farshore import limits
from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.audit import run_rows
from farshore.audit.rows import (
    Against,
    AuditRow,
    CheckRow,
    CopyRow,
    CopyState,
    NeedRow,
    NeedsChange,
    ObjectKind,
    ProofRow,
    ProofState,
)
from farshore.check_results import CheckMethod
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.format import names
from farshore.ops.setup.initialize import initialize
from farshore.ops.verify.history import read_history
from farshore.ops.verify.remote.scrub import scrub_repository
from farshore.ops.verify.rotation import plan_sample
from farshore.replicas.repository import Repository
from farshore.run import Run
from farshore.stores.base import ObjectInfo
from farshore.stores.directory import DirectoryStore

PACK_BYTES = 16 * limits.MIB
RUN_PACKS = 4096  # 64 GiB a backup
PUT_UTC = datetime(2026, 1, 1, tzinfo=UTC)


def pack_id(number: int) -> str:
    """Return a pack id that is as random as one."""
    return blake3(number.to_bytes(8, "big")).hexdigest()


def checksum_of(name: str) -> str:
    """Return a checksum that is as random as one."""
    return f"crc32c:{blake3(name.encode()).hexdigest(4)}"


class ListedStore(DirectoryStore):
    """A directory that also lists packs it does not have, with checksums, as GCS would."""

    capabilities = replace(DirectoryStore.capabilities, kind="gcs", checksum="crc32c", checksum_listed=True)
    packs: tuple[str, ...] = ()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        listed = super().list(prefix)
        if prefix:
            return listed
        made = (ObjectInfo(name, PACK_BYTES, PUT_UTC, checksum_of(name)) for name in self.packs)
        return heapq.merge(listed, made, key=lambda info: info.name)


def write_rows(repository: Repository, packs: list[str], replicas: list[str]) -> None:
    """Record the packs as backups of `RUN_PACKS` each, and one reading of a twentieth of them."""
    clock = repository.clock
    for start in range(0, len(packs), RUN_PACKS):
        run_id = clock.random_bytes(16).hex()
        rows: list[AuditRow] = []
        for name in packs[start : start + RUN_PACKS]:
            reported = checksum_of(name)
            rows.append(NeedRow(run_id=run_id, object=name, change=NeedsChange.MADE, kind=ObjectKind.PACK,
                                bytes=PACK_BYTES, source_id="5a" * 16, snapshot_id=run_id, sequence=start + 1,
                                checksums=(reported,)))  # fmt: skip
            rows += [
                CopyRow(run_id=run_id, object=name, replica=replica, provider="gcs", state=CopyState.ACKNOWLEDGED,
                        bytes=PACK_BYTES, checksum=reported, acknowledged_utc=PUT_UTC, snapshot_id=run_id)
                for replica in replicas
            ]  # fmt: skip
        run_rows.record(repository, run_id, rows)
    run_id = clock.random_bytes(16).hex()
    now = clock.now_utc()
    read: list[AuditRow] = [
        ProofRow(run_id=run_id, replica=replicas[0], object=name, method=CheckMethod.READ,
                 state=ProofState.OK, against=Against.NAME, checksum=checksum_of(name), bytes=PACK_BYTES,
                 checked_utc=now + timedelta(microseconds=number))
        for number, name in enumerate(packs[: len(packs) // 20])
    ]  # fmt: skip
    check = CheckRow(run_id=run_id, check_id=run_id, replica=replicas[0], state="ok", started_utc=now,
                     finished_utc=now + timedelta(hours=1), method=CheckMethod.READ, read_data_percent=5.0)  # fmt: skip
    run_rows.record(repository, run_id, [*read, check])


@contextmanager
def timed(what: str) -> Iterator[dict[str, Any]]:
    """Print how long something took, and the most memory that the process had so far."""
    reported: dict[str, Any] = {}
    start = time.perf_counter()
    yield reported
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    more = ", ".join(f"{key} {value}" for key, value in reported.items())
    print(f"{what}: {time.perf_counter() - start:.1f} s, peak {rss:,.0f} MiB{', ' if more else ''}{more}", flush=True)


def main() -> None:
    """Make the tables, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=int, default=1_000_000)
    parser.add_argument("--replicas", type=int, default=2)
    arguments = parser.parse_args()
    clock = SystemClock()
    replicas = [f"r{number}" for number in range(arguments.replicas)]
    with tempfile.TemporaryDirectory(prefix="farshore-bench-") as folder:
        root = Path(folder)
        lines = [
            '[repository]\nquorum = 1\npassphrase = { env = "FARSHORE_PASSPHRASE" }',
            f'[state]\ndir = "{root}/state"',
        ]
        for name in replicas:
            (root / name).mkdir()
            lines.append(f'[replicas.{name}]\nurl = "file://{root / name}"')
        (root / "farshore.toml").write_text("\n".join(lines) + "\n")
        config = load_config(root / "farshore.toml", {"FARSHORE_PASSPHRASE": "bench", "HOME": str(root)})
        initialize(config, clock=clock)
        packs = sorted(names.pack(pack_id(number)) for number in range(arguments.packs))
        with open_repository(config, need=Need.WRITE, clock=clock) as repository, timed("writing rows"):
            write_rows(repository, packs, replicas)
        for table in ("objects", "copies", "proofs"):
            size = sum(path.stat().st_size for path in (root / replicas[0] / "audit" / table).rglob("*.parquet"))
            count = {"objects": len(packs), "copies": len(packs) * len(replicas), "proofs": len(packs) // 20}[table]
            print(f"{table}: {size:,} bytes, {size / count:.1f} a row, {size / len(packs):.1f} a pack", flush=True)
        ListedStore.packs = tuple(packs)
        with timed("before any check"):
            pass
        for attempt in ("first check", "second check"):
            with open_repository(config, need=Need.NONE, clock=clock) as repository:
                repository.replicas = {
                    name: replace(one, store=ListedStore(path=root / name, clock=clock))
                    for name, one in repository.replicas.items()
                }
                with timed(attempt) as reported:
                    result = scrub_repository(repository, run=Run.start(clock))
                    reported["proven"] = f"{sum(one.proven for one in result.proofs):,}"
                    reported["damaged"] = len(result.damaged)
        with (
            open_repository(config, need=Need.NONE, clock=clock) as repository,
            timed("choosing a sample of 5 %") as reported,
        ):
            history = read_history(repository, replicas[0])
            assert history is not None
            reported["packs"] = f"{len(plan_sample(dict.fromkeys(packs, PUT_UTC), history, 5.0)):,}"


if __name__ == "__main__":
    main()
