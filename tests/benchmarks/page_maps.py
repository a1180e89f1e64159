"""What page maps cost: bytes written in a year of nights, and requests, bytes, time and memory of reading ten runs.

    python -m tests.benchmarks.page_maps [--pages 1000000] [--nights 365] [--large 16000000]

The year is of one image of which one page in a hundred changes each night, at random, and in five regions in turn. Then
a larger map, of many databases, is written in as many runs as there ever are and sealed into files; one database is
read as from a replica, all of it is merged into one run, and the most memory of this process is printed. Hashes are
random, so nothing compresses.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from farshore import limits
from farshore.catalog.merge_policy import RUNS_MAX
from farshore.catalog.next_runs import merge_page_maps, page_map_bytes, plan_runs
from farshore.format import names
from farshore.format.commit import RunRef
from farshore.format.page_maps import SLOT_PAGES, PageMap, PageRow, PagesWriter, make_row
from farshore.sealed.sealed_object import SealedKind, SealedWriter
from tests.benchmarks.one_path import REPOSITORY, SECRET, CountedFile

PAGE_BYTES = 4096
REGIONS = 5
FILE_SLOTS = 16  # of one database: 256 MB
_HASH = limits.PAGE_HASH_BYTES
Positions = np.ndarray[Any, np.dtype[np.int64]]


def rows_of(
    noise: np.random.Generator, pages: Positions, *, whole: bool, file_slots: int = 1 << 40
) -> Iterator[PageRow]:
    """Yield rows with new hashes of these pages, which are those of files of so many slots one after another."""
    slots, starts = np.unique(pages // SLOT_PAGES, return_index=True)
    for slot, of_slot in zip(slots.tolist(), np.split(pages % SLOT_PAGES, starts[1:]), strict=True):
        stored = np.zeros(SLOT_PAGES, dtype=bool)
        stored[of_slot] = True
        words = np.frombuffer(noise.bytes(SLOT_PAGES * _HASH), "<u8").reshape(-1, 2)
        gone = None if whole else np.zeros(SLOT_PAGES, dtype=bool)
        path = b"base/database-%06d" % (slot // file_slots)
        yield make_row(path, slot % file_slots, PAGE_BYTES, words, stored, gone)


def run_of(rows: Iterator[PageRow]) -> bytes:
    """Return a run with these rows."""
    sink = io.BytesIO()
    writer = PagesWriter(sink)
    for row in rows:
        writer.add(row)
    writer.close()
    return sink.getvalue()


def year(pages: int, nights: int, changed: Callable[[int], Positions]) -> tuple[float, float, int]:
    """Return bytes written of those of the changes, most bytes read of those of one run, and the longest list.

    Args:
        changed: Returns the pages that change in a night, ascending.
    """
    noise = np.random.default_rng(1)
    runs = [run_of(rows_of(noise, np.arange(pages), whole=True))]
    full, written, changes, longest, read = len(runs[0]), 0, 0, 1, 1.0
    for night in range(nights):
        tonight = run_of(rows_of(noise, changed(night), whole=False))
        changes += len(tonight)
        planned = plan_runs(
            [RunRef("", len(run)) for run in runs], changes_bytes=len(tonight), full_bytes=page_map_bytes(pages)
        )
        if planned.merged:
            sink = io.BytesIO()
            parts = [io.BytesIO(run) for run in (*runs[planned.kept :], tonight)]
            merge_page_maps(parts, sink, all_runs=not planned.kept)
            tonight = sink.getvalue()
        runs = [*runs[: planned.kept], tonight]
        written += len(tonight)
        longest, read = max(longest, len(runs)), max(read, sum(map(len, runs)) / full)
    return written / changes, read, longest


def at_random(pages: int) -> Callable[[int], Positions]:
    """Return how one page in a hundred changes, anywhere."""
    chance = np.random.default_rng(2)
    return lambda _: np.sort(chance.choice(pages, pages // 100, replace=False))


def in_regions(pages: int) -> Callable[[int], Positions]:
    """Return how one page in a hundred changes: all of one region, in turn."""
    return lambda night: np.arange(pages // 100) + night % REGIONS * (pages // REGIONS)


def seal(path: Path, rows: Iterator[PageRow], noise: np.random.Generator) -> None:
    """Write and seal a run into a file."""
    with path.open("wb") as file:
        sealed = SealedWriter(
            sink=file, secret=SECRET, key_id=bytes(16), salt=noise.bytes(32), kind=SealedKind.PAGES, name=names.RUNS,
            repository_id=REPOSITORY,
        )  # fmt: skip
        writer = PagesWriter(sealed)
        for row in rows:
            writer.add(row)
        writer.close()
        sealed.finish()


def measure_reading(place: Path, pages: int) -> tuple[int, int]:
    """Print what reading costs; return the most requests to a run, and the bytes of all, that one file costs."""
    noise = np.random.default_rng(3)
    paths = [place / f"run-{number}" for number in range(RUNS_MAX)]
    for number, path in enumerate(paths):
        chosen = np.arange(pages) if not number else np.sort(noise.choice(pages, pages // 20, replace=False))
        seal(path, rows_of(noise, chosen, whole=not number, file_slots=FILE_SLOTS), noise)
    sizes = [path.stat().st_size for path in paths]
    print(f"{pages:,} pages in {len(paths)} runs of {sum(sizes):,} bytes, the oldest {sizes[0]:,}")
    files = [CountedFile(path, SealedKind.PAGES) for path in paths]
    wanted = b"base/database-%06d" % random.Random(4).randrange(pages // SLOT_PAGES // FILE_SLOTS)
    found = sum(row.pages for row in PageMap(*(file.open() for file in files)).rows(wanted))
    requests, read = max(len(file.requests) for file in files), sum(sum(file.requests) for file in files)
    print(f"one file of {found:,} pages: at most {requests} requests to a run, {read:,} bytes of all")
    Path("/proc/self/clear_refs").write_text("5")  # the most memory from here on counts
    before = status_kib("VmRSS")
    started = time.process_time()
    opened = [CountedFile(path, SealedKind.PAGES).open() for path in paths]
    with (place / "merged").open("wb") as sink:
        merge_page_maps(opened, sink, all_runs=True)
    seconds = time.process_time() - started
    grown = (status_kib("VmHWM") - before) // 1024
    print(f"merged into one run in {seconds:.1f} s of CPU, with {grown} MiB of memory more than before")
    return requests, read


def status_kib(name: str) -> int:
    """Return a number of this process in KiB, as Linux reports it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1_000_000, help="of the image of the year")
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--large", type=int, default=16_000_000, help="pages of the larger map")
    parser.add_argument("--place", type=Path, help="a directory with room for 40 bytes a page of the larger map")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        measure_reading(Path(place), options.large)
    for label, changed in (("at random", at_random), (f"in {REGIONS} regions", in_regions)):
        written, read, runs = year(options.pages, options.nights, changed(options.pages))
        print(
            f"{options.nights} nights, 1% of {options.pages:,} pages {label}: {written:.2f} times the changes written, "
            f"{read:.2f} times one run read, at most {runs} runs"
        )


if __name__ == "__main__":
    main()
