"""What one path of a large snapshot costs a host without a cache: requests and bytes of its manifest.

    python -m tests.benchmarks.one_path [--entries 10000000] [--place DIR]

Ten runs, as many as there ever are: one of all entries, and nine that have half as many rows together, which is the
most that the merge policy lets be. They are sealed into files, with contents that do not compress, and read as from a
replica: the end of each run, and the block that may have the path. Counts, and no times.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from farshore import limits
from farshore.format import names
from farshore.format.choosing import Subtree
from farshore.format.extents import EXTENT_BYTES
from farshore.format.manifest import SCHEMA, ManifestReader, ManifestWriter
from farshore.model import EntryKind
from farshore.sealed.sealed_object import Checked, SealedKind, SealedReader, SealedWriter

SECRET, REPOSITORY = b"s" * 32, b"r" * 16
NEWER_RUNS = 9
_AT_ONCE = 16_384
_START_NS, _RANGE_NS = 1_700_000_000 * 10**9, 10**16


def path_of(number: int) -> bytes:
    """Return the path of an entry: 100 to a directory, 1,000 directories to a project."""
    return b"data/project-%04d/directory-%03d/document-%09d.dat" % (number // 100_000, number // 100 % 1000, number)


def binaries(noise: np.random.Generator, count: int, size: int) -> pa.Array:
    """Return random byte strings of one size."""
    ends = pa.py_buffer((np.arange(count + 1, dtype=np.int32) * size).tobytes())
    return pa.Array.from_buffers(pa.binary(), count, [None, ends, pa.py_buffer(noise.bytes(count * size))])


def rows(noise: np.random.Generator, numbers: np.ndarray[Any, Any]) -> pa.Table:
    """Return files as a tree has them: one extent each, and times, sizes and inodes of their own."""
    count = len(numbers)
    paths = [path_of(number) for number in numbers.tolist()]
    same: dict[str, object] = {
        "kind": str(EntryKind.FILE), "mode": 0o644, "uid": 1000, "gid": 1000, "user": "alice", "group": "alice",
        "device": 2049, "rdev": 0, "links": 1, "target": b"", "page_bytes": 0, "state": "whole",
    }  # fmt: skip
    values = {name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), count) for name, value in same.items()}
    values |= {
        "path": pa.array(paths, pa.binary()),
        "display": pa.array([path.decode() for path in paths]),
        "size": pa.array(noise.integers(0, 100_000, count)),
        "mtime_ns": pa.array(_START_NS + noise.integers(0, _RANGE_NS, count)),
        "ctime_ns": pa.array(_START_NS + noise.integers(0, _RANGE_NS, count)),
        "inode": pa.array(numbers + 10_000_000),
        "xattrs": pa.nulls(count, SCHEMA.field("xattrs").type),
        "content_hash": binaries(noise, count, 32),
        "extents": binaries(noise, count, EXTENT_BYTES),
    }
    return pa.Table.from_arrays([values[name] for name in SCHEMA.names], schema=SCHEMA)


def write_run(path: Path, noise: np.random.Generator, numbers: np.ndarray[Any, Any]) -> None:
    """Seal a run with these entries."""
    with path.open("wb") as file:
        sealed = SealedWriter(
            sink=file, secret=SECRET, key_id=bytes(16), salt=noise.bytes(32), kind=SealedKind.MANIFEST,
            name=names.RUNS, repository_id=REPOSITORY,
        )  # fmt: skip
        writer = ManifestWriter(sealed)
        for start in range(0, len(numbers), _AT_ONCE):
            writer.add_slice(rows(noise, numbers[start : start + _AT_ONCE]))
        writer.close()
        sealed.finish()


class CountedFile:
    """A run at a replica: each read is a request."""

    def __init__(self, path: Path, kind: SealedKind = SealedKind.MANIFEST) -> None:
        self._path = path
        self._kind = kind
        self.size = path.stat().st_size
        self.requests: list[int] = []

    def fetch(self, offset: int, length: int, check: Callable[[bytes], Checked], /) -> Checked:
        self.requests.append(length)
        with self._path.open("rb") as file:
            file.seek(offset)
            return check(file.read(length))

    def open(self) -> SealedReader:
        """Open it as `catalog.verified_objects` opens a run of which few rows are wanted."""
        tail = max(limits.MANIFEST_TAIL_BYTES_MIN, self.size // limits.MANIFEST_TAIL_PART)
        return SealedReader(
            fetch=self.fetch, sealed_bytes=self.size, secret=SECRET, kind=self._kind, name=names.RUNS,
            repository_id=REPOSITORY, tail_bytes=tail,
        )  # fmt: skip


def make_runs(place: Path, entries: int) -> Iterator[Path]:
    """Write the runs, oldest first."""
    noise = np.random.default_rng(1)
    parts = [entries, *(entries * part // (NEWER_RUNS * (NEWER_RUNS + 1)) for part in range(NEWER_RUNS, 0, -1))]
    for number, count in enumerate(parts):
        chosen = np.arange(entries) if not number else np.sort(noise.choice(entries, max(count, 1), replace=False))
        path = place / f"run-{number}"
        write_run(path, noise, chosen)
        yield path


def measure(place: Path, entries: int, paths: int = 20) -> tuple[int, int]:
    """Return the most requests to a run, and the most bytes of all runs, that any of some paths costs."""
    runs = list(make_runs(place, entries))
    chance = random.Random(2)
    most_requests = most_bytes = 0
    for _ in range(paths):
        wanted = path_of(chance.randrange(entries))
        files = [CountedFile(path) for path in runs]
        reader = ManifestReader(*(file.open() for file in files))
        found = sum(table.num_rows for table in reader.tables(["path"], Subtree(wanted)))
        assert found == 1, wanted
        most_requests = max(most_requests, *(len(file.requests) for file in files))
        most_bytes = max(most_bytes, sum(sum(file.requests) for file in files))
    print(f"{entries:,} entries in {len(runs)} runs of {sum(path.stat().st_size for path in runs):,} bytes, "
          f"the oldest {runs[0].stat().st_size:,}")  # fmt: skip
    print(f"one path of {paths}: at most {most_requests} requests to a run, {most_bytes:,} bytes of all")
    return most_requests, most_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--place", type=Path, help="a directory with room for 130 bytes an entry")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        measure(Path(place), options.entries)


if __name__ == "__main__":
    main()
