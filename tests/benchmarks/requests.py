"""What runs ask of a replica on S3: `python -m tests.benchmarks.requests [--image-gib 2] [--tree-files 20000]`.

Backs up an image and a tree to the local S3 server, then verifies and restores them, and prints the tables of
docs/stores/requests.md: requests by kind for each run, the same for a terabyte of source, objects by kind, and other
sizes of packs. The server's own count of requests is compared with what the runs tell; a difference ends the bench.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from farshore import limits
from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.catalog.snapshots import resolve_snapshot
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.model import ReplicaRequests, SnapshotCounts
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.setup.initialize import initialize
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from tests.benchmarks.image import PAGE_BYTES, changed_pages, image_blocks
from tests.benchmarks.s3_server import CountingS3
from tests.benchmarks.tree import installed_roots, make_tree

TB = 10**12
KINDS = ("put", "get", "head", "list", "delete")
PACK_SIZES = (1, 16, 32, 56)  # MiB; the first makes as many packs of a small image as a large one has
FIRST, UNCHANGED, RESTORE, VERIFY = "first backup", "nothing changed", "restore", "verify with data"
_SEED = 7


@dataclass(frozen=True, slots=True)
class Row:
    """What one run asked of the one replica."""

    run: str
    source_bytes: int
    asked: ReplicaRequests

    @property
    def counts(self) -> tuple[int, ...]:
        """Requests in the order of `KINDS`."""
        return (self.asked.puts, self.asked.gets, self.asked.heads, self.asked.lists, self.asked.deletes)


class Shore:
    """One repository on the server, and the sources below `root`."""

    def __init__(self, *, root: Path, server: CountingS3, name: str) -> None:
        self._root = root
        self._server = server
        self._name = name
        self._clock = SystemClock()
        self.bucket = server.make_bucket()
        self._environment = {
            **os.environ,
            "BENCH_PASSPHRASE": "correct horse battery staple",
            "BENCH_ACCESS_KEY": self.bucket.access_key,
            "BENCH_SECRET_KEY": self.bucket.secret_key,
        }
        keys = '{ access_key = { env = "BENCH_ACCESS_KEY" }, secret_key = { env = "BENCH_SECRET_KEY" } }'
        path = root / f"{name}.toml"
        path.write_text(
            '[repository]\nquorum = 1\npassphrase = { env = "BENCH_PASSPHRASE" }\n'
            f'[replicas.s3]\nurl = "s3://{self.bucket.name}/bench"\nregion = "site:here"\n'
            f'endpoint = "{self.bucket.endpoint}"\ncredentials = {keys}\n[state]\ndir = "state-{name}"\n'
            + "".join(f'[sources.{one}]\ntype = "directory"\npath = "{one}"\n' for one in ("tiny", "image", "tree"))
        )
        self._config = load_config(path, self._environment)
        initialize(self._config, clock=self._clock)

    def backup(self, source: str) -> tuple[SnapshotCounts, ReplicaRequests]:
        """Back up a source as `farshore backup` does, opening included."""
        with open_repository(self._config, need=Need.WRITE, clock=self._clock) as repository:
            opened = open_source(self._config, source, clock=self._clock)
            result = run_backup(repository, opened, run=Run.start(self._clock))
        return result.counts, result.requests[0]

    def restore(self, source: str) -> ReplicaRequests:
        """Restore the newest snapshot of a source on a host that has nothing in its cache."""
        shutil.rmtree(self._config.cache_dir, ignore_errors=True)
        target = self._root / "restored"
        with open_repository(self._config, need=Need.READ, clock=self._clock) as repository:
            snapshot = resolve_snapshot(repository, source)
            result = restore_snapshot(repository, snapshot, target, run=Run.start(self._clock))
        shutil.rmtree(target)
        return result.requests[0]

    def verify(self, percent: float) -> ReplicaRequests:
        """Verify all that is there."""
        with open_repository(self._config, need=Need.READ, clock=self._clock) as repository:
            result = verify_repository(repository, read_data_percent=percent, run=Run.start(self._clock))
        if not result.clean:
            raise SystemExit(f"the replica is damaged: {result.damaged[:3]}")
        return result.requests[0]

    def objects(self) -> dict[str, tuple[int, int]]:
        """Return how many objects of each kind there are, and their bytes."""
        found: dict[str, tuple[int, int]] = {}
        for page in self._server.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name):
            for entry in page.get("Contents", []):
                kind = entry["Key"].split("/")[1]
                count, size = found.get(kind, (0, 0))
                found[kind] = (count + 1, size + entry["Size"])
        return found


def measure(root: Path, server: CountingS3, image_bytes: int, tree_files: int) -> Iterator[Row]:
    """Yield the requests of each run: an image through its days, then a tree, then both verified and restored."""
    image = root / "image" / "database.img"
    make_image(image, image_bytes)
    (root / "tiny").mkdir()
    (root / "tiny" / "file").write_text("one line\n")
    make_tree(root / "tree", files_wanted=tree_files, roots=installed_roots())
    tiny, shore = Shore(root=root, server=server, name="tiny"), Shore(root=root, server=server, name="days")
    sizes: dict[str, int] = {}

    def backup(source: str) -> ReplicaRequests:
        counts, asked = shore.backup(source)
        sizes[source] = counts.bytes_total
        return asked

    def change() -> ReplicaRequests:
        change_image(image, image_bytes)
        return backup("image")

    runs: list[tuple[str, str, Callable[[], ReplicaRequests]]] = [
        (f"one small file: {FIRST}", "", lambda: tiny.backup("tiny")[1]),
        (f"one small file: {UNCHANGED}", "", lambda: tiny.backup("tiny")[1]),
        (f"one small file: {RESTORE}", "", lambda: tiny.restore("tiny")),
        ("one small file: verify", "", lambda: tiny.verify(0.0)),
        (f"one small file: {VERIFY}", "", lambda: tiny.verify(100.0)),
        (f"image: {FIRST}", "image", lambda: backup("image")),
        (f"image: {UNCHANGED}", "image", lambda: backup("image")),
        ("image: 1 % of pages changed", "image", change),
        (f"tree: {FIRST}", "tree", lambda: backup("tree")),
        (f"tree: {UNCHANGED}", "tree", lambda: backup("tree")),
        (f"image: {RESTORE}", "image", lambda: shore.restore("image")),
        (f"tree: {RESTORE}", "tree", lambda: shore.restore("tree")),
        ("both: verify", "both", lambda: shore.verify(0.0)),
        (f"both: {VERIFY}", "both", lambda: shore.verify(100.0)),
    ]
    for name, source, run in runs:
        before = server.requests()
        asked = run()
        row = Row(name, sum(sizes.values()) if source == "both" else sizes.get(source, 0), asked)
        _compare(row, before, server.requests())
        yield row
    print("\n| objects at the replica | count | bytes |\n| --- | ---: | ---: |")
    for kind, (count, size) in sorted(shore.objects().items()):
        print(f"| {kind} | {count:,} | {size:,} |")


def make_image(path: Path, size: int) -> None:
    """Write a database-like image."""
    path.parent.mkdir()
    with path.open("wb") as file:
        for block in image_blocks(size // PAGE_BYTES, _SEED):
            file.write(block)


def change_image(path: Path, size: int) -> None:
    """Rewrite one page in a hundred."""
    positions, pages = changed_pages(size // PAGE_BYTES, _SEED)
    with path.open("r+b") as file:
        for index, position in enumerate(positions.tolist()):
            os.pwrite(file.fileno(), pages[index * PAGE_BYTES : (index + 1) * PAGE_BYTES], position * PAGE_BYTES)


def _compare(row: Row, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """End the bench when the server counted other requests than the run reports. It counts a HEAD as a GET."""
    reported = dict(zip(KINDS, row.counts, strict=True))
    reported["get"] += reported.pop("head")
    counted = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in reported}
    if counted != reported:
        raise SystemExit(f"{row.run}: the server counted {counted}, the run tells {reported}")


def _print_row(row: Row) -> None:
    counts = " | ".join(f"{count:,}" for count in row.counts)
    print(f"| {row.run} | {counts} | {row.asked.bytes_up / 1e6:,.1f} | {row.asked.bytes_down / 1e6:,.1f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-gib", type=float, default=2.0)
    parser.add_argument("--tree-files", type=int, default=20_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    size = int(arguments.image_gib * limits.GIB) // PAGE_BYTES * PAGE_BYTES
    with CountingS3() as server, tempfile.TemporaryDirectory(prefix="farshore-bench-", dir=arguments.work) as folder:
        root = Path(folder)
        print("| run | PUT | GET | HEAD | LIST | DELETE | MB up | MB down |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        rows = []
        for row in measure(root, server, size, arguments.tree_files):
            _print_row(row)
            rows.append(row)
        print("\n| more for each TB of source | PUT | GET |\n| --- | ---: | ---: |")
        fixed = {row.run.partition(": ")[2]: row.counts for row in rows if not row.source_bytes}
        fixed[VERIFY] = next(row.counts for row in rows if row.run == "both: verify")  # what is not packs
        for row in rows:
            base = fixed.get(row.run.partition(": ")[2])
            if row.source_bytes and base and row.run != "both: verify":
                reported = (
                    (count - less) * TB / row.source_bytes for count, less in zip(row.counts, base, strict=True)
                )
                print(f"| {row.run} | {' | '.join([f'{count:,.0f}' for count in reported][:2])} |")
        print("\n| packs of | PUT | GET | HEAD | LIST | bytes stored |\n| --- | ---: | ---: | ---: | ---: | ---: |")
        for size_mib in PACK_SIZES:
            limits.PACK_BYTES_TARGET = size_mib * limits.MIB
            counts, asked = Shore(root=root, server=server, name=f"packs-{size_mib}").backup("image")
            line = f"{asked.puts:,} | {asked.gets:,} | {asked.heads:,} | {asked.lists:,}"
            print(f"| {size_mib} MiB | {line} | {counts.bytes_stored:,} |", flush=True)


if __name__ == "__main__":
    main()
