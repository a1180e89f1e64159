"""What `restore --delta` takes where little or nothing differs: `python -m tests.benchmarks.delta`.

A tree of small files that is as it was: the command beside an unchanged backup of the tree, in turns, by the ratio of
the medians. An image of which one page in a hundred was rewritten: how often it was read, and what of it was written,
as the record reports. Past a bar the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from farshore import limits
from farshore.ops.setup.keys import generate_identity
from tests.benchmarks.machine import describe_machine

TIME_BAR = 2.0  # of an unchanged backup
WRITTEN_BAR = 0.0105  # of the image, where 1% was rewritten
READ_BAR = 1.0  # of the image
_FILES_PER_DIRECTORY = 100
_FARSHORE = str(Path(sys.executable).parent / "farshore")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.delta", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000, help="of the tree")
    parser.add_argument("--mib", type=int, default=1024, help="of the image")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farshore-delta-bench-") as folder:
        print(describe_machine(Path(folder)))
        place = _Place(Path(folder))
        within = [_measure_tree(place, options.files, options.pairs), _measure_image(place, options.mib * limits.MIB)]
    return 0 if all(within) else 1


class _Place:
    """A repository of one replica, and two sources."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree, self.disk = root / "tree", root / "disk"
        for folder in ("replica", "tree", "disk"):
            (root / folder).mkdir()
        sources = "".join(f'[sources.{one}]\ntype = "directory"\npath = "{root / one}"\n' for one in ("tree", "disk"))
        (root / "farshore.toml").write_text(
            f'[repository]\nquorum = 1\nidentity = "{root}/identity"\n[state]\ndir = "{root}/state"\n'
            f'[replicas.one]\nurl = "file://{root}/replica"\n{sources}'
        )
        self.run("init", "--recipient", generate_identity(root / "identity"))

    def run(self, *words: str) -> list[dict[str, Any]]:
        """Run the command line; return its records."""
        command = [_FARSHORE, "--config", str(self.root / "farshore.toml"), "--json", *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def time_s(self, *words: str) -> float:
        """Return what a command takes."""
        started_s = time.monotonic()
        self.run(*words)
        return time.monotonic() - started_s


def _measure_tree(place: _Place, files: int, pairs: int) -> bool:
    for start in range(0, files, _FILES_PER_DIRECTORY):
        folder = place.tree / f"{start // _FILES_PER_DIRECTORY % 30}" / f"{start}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + _FILES_PER_DIRECTORY, files)):
            (folder / f"file-{number}").write_text(f"{number}\n" * 20)
    target = str(place.root / "restored")
    place.run("backup", "tree")
    place.run("restore", "tree", "--target", target)
    backup = ("backup", "tree")
    delta = ("restore", "tree", "--target", target, "--delta")
    times: dict[tuple[str, ...], list[float]] = {backup: [], delta: []}
    for number in range(pairs + 1):  # the first pair warms caches, and is not counted
        for words in (backup, delta) if number % 2 else (delta, backup):
            took_s = place.time_s(*words)
            if number:
                times[words].append(took_s)
    backup_s, delta_s = (statistics.median(times[words]) for words in (backup, delta))
    ratio = delta_s / backup_s
    print(
        f"{files:,} files as they were: backup {backup_s:.2f} s, restore --delta {delta_s:.2f} s, "
        f"ratio {ratio:.2f} (bar {TIME_BAR})"
    )
    return ratio <= TIME_BAR


def _measure_image(place: _Place, size: int) -> bool:
    chance = random.Random(1)
    image = place.disk / "disk.img"
    with image.open("wb") as file:
        for _ in range(size // limits.MIB):
            file.write(chance.randbytes(limits.MIB))
    target = place.root / "machine"
    place.run("backup", "disk")
    place.run("restore", "disk", "--target", str(target))
    pages = size // limits.PAGE_BYTES
    with (target / "disk.img").open("r+b") as file:
        for page in chance.sample(range(pages), pages // 100):
            file.seek(page * limits.PAGE_BYTES)
            file.write(chance.randbytes(limits.PAGE_BYTES))
    os.sync()
    started_s = time.monotonic()
    records = place.run("restore", "disk", "--target", str(target), "--delta")
    took_s = time.monotonic() - started_s
    (record,) = [one for one in records if one["type"] == "restore"]
    read, written = record["delta"]["bytes_read"] / size, record["bytes_restored"] / size
    same = subprocess.run(["cmp", image, target / "disk.img"], check=False).returncode == 0
    print(
        f"image of {size // limits.MIB:,} MiB, 1% of its pages rewritten: read {read:.2f} times (bar {READ_BAR}), "
        f"{written:.2%} written (bar {WRITTEN_BAR:.2%}), {took_s:.1f} s, {'the same' if same else 'NOT THE SAME'}"
    )
    return same and read <= READ_BAR and written <= WRITTEN_BAR


if __name__ == "__main__":
    sys.exit(main())
