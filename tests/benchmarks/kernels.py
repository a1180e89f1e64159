"""What each step of sealing and opening costs, on the bench's data: `python -m tests.benchmarks.kernels`.

CPU time of one thread, so a busy machine disturbs it little; then what two threads do against one by the clock, which
needs two cores at rest. Prints Markdown tables; docs/reference/benchmarks.md has the figures. The
tree is read as one stream, as segments hold it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import limits
from farshore.chunking.content import ContentCutter, CutSizes
from farshore.chunking.page_hashes import hash_pages
from farshore.compress import FAST_LEVEL
from tests.benchmarks.dataset import make_data
from tests.benchmarks.machine import describe_machine

_KEY = bytes(range(32))
_NONCE = bytes(12)
_LEVELS = (-5, -3, -1, 1, 2, 3)  # the negative ones to show what they leave to store


@dataclass(frozen=True, slots=True)
class Cost:
    """One kernel on one dataset: MB (10^6 bytes) of plain data a CPU second, and stored bytes per plain byte."""

    name: str
    mb_per_s: float
    share: float = 1.0


def costs(segments: list[bytes], rounds: int) -> Iterator[Cost]:
    """Yield the cost of each kernel over the same segments."""
    plain = sum(map(len, segments))

    def measure(name: str, kernel: Callable[[bytes], bytes | None], inputs: list[bytes] = segments) -> list[bytes]:
        seconds: list[float] = []
        results: list[bytes] = []
        for _ in range(rounds):
            results.clear()
            started = time.thread_time()
            results.extend(kernel(one) or b"" for one in inputs)
            seconds.append(time.thread_time() - started)
        measured.append(Cost(name, plain / statistics.median(seconds) / 1e6, sum(len(one) for one in results) / plain))
        return list(results)

    measured: list[Cost] = []
    measure("BLAKE3 of the whole file, or of a chunk", lambda one: blake3(one).digest())
    measure("keyed BLAKE3 of each page of 4 KiB", lambda one: hash_pages(one, limits.PAGE_BYTES, _KEY))
    cutter = ContentCutter(sizes=CutSizes(), seed=1)
    measure("FastCDC", lambda one: bytes(len(list(cutter.feed(one)))))
    packed = {
        level: measure(f"zstd level {level}", zstandard.ZstdCompressor(level=level).compress) for level in _LEVELS
    }
    cipher = AESGCM(_KEY)
    sealed = measure("AES-256-GCM, seal", lambda one: cipher.encrypt(_NONCE, one, None), packed[FAST_LEVEL])
    opened = measure("check: AES-256-GCM, open", lambda one: cipher.decrypt(_NONCE, one, None), sealed)
    raw = measure("check: zstd, decompress", zstandard.ZstdDecompressor().decompress, opened)
    pairs = dict(zip(raw, segments, strict=True))
    measure("check: compare", lambda one: None if one == pairs[one] else sys.exit("a segment came back changed"), raw)
    yield from measured


def scaling(segments: list[bytes], rounds: int) -> Iterator[tuple[str, float]]:
    """Yield how many times as much two threads do in a second as one, by the clock, for each kernel they share."""
    kernels: list[tuple[str, Callable[[bytes], object]]] = [
        # a compressor serves one thread at a time, so each segment gets its own, for one thread as for two
        (f"zstd level {FAST_LEVEL}", lambda one: zstandard.ZstdCompressor(level=FAST_LEVEL).compress(one)),
        ("keyed BLAKE3 of each page of 4 KiB", lambda one: hash_pages(one, limits.PAGE_BYTES, _KEY)),
    ]
    for name, kernel in kernels:
        ratios = [_wall_s(kernel, segments, 1) / _wall_s(kernel, segments, 2) for _ in range(rounds)]
        yield name, statistics.median(ratios)


def _wall_s(kernel: Callable[[bytes], object], segments: list[bytes], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        for _ in pool.map(kernel, segments):
            pass
        return time.perf_counter() - started


def read_segments(path: Path, bytes_max: int) -> list[bytes]:
    """Return the content below a path in segments; every n-th file or stretch, so that all of it is represented."""
    files = (
        [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    )
    total = sum(one.stat().st_size for one in files)
    step = max(1, total // bytes_max)
    stream = bytearray()
    if len(files) == 1:
        with files[0].open("rb") as file:
            for start in range(0, total, step * limits.SEGMENT_BYTES):
                stream += os.pread(file.fileno(), limits.SEGMENT_BYTES, start)
    for one in files[::step] if len(files) > 1 else ():
        stream += one.read_bytes()
    return [bytes(stream[at : at + limits.SEGMENT_BYTES]) for at in range(0, len(stream), limits.SEGMENT_BYTES)]


def main() -> None:
    """Print the costs on the image and on the tree, or on what is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kernels", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".cache/bench"), help="where the bench keeps its data")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size of the data (default 1)")
    parser.add_argument("--mib", type=int, default=256, help="how much of each is measured (default 256)")
    parser.add_argument("--repeat", type=int, default=3, help="medians are taken over so many rounds (default 3)")
    parser.add_argument("--path", type=Path, help="measure this file or directory instead")
    options = parser.parse_args()
    paths = {options.path.name: options.path} if options.path else _bench_paths(options.work, options.scale)
    machine = describe_machine(options.work)
    print(f"{machine.processor}, {machine.kernel}, Python {machine.python}, {machine.date}; one thread, CPU time\n")
    table: dict[str, list[str]] = {}
    together: dict[str, list[str]] = {}
    for path in paths.values():
        segments = read_segments(path, options.mib * limits.MIB)
        for cost in costs(segments, options.repeat):
            stored = f" ({cost.share:.3f})" if cost.name.startswith("zstd") else ""
            table.setdefault(cost.name, []).append(f"{cost.mb_per_s:,.0f}{stored}")
        for name, times in scaling(segments, options.repeat):
            together.setdefault(name, []).append(f"{times:.2f}")
    _print_table("MB/s (stored share)", paths, table)
    _print_table("two threads against one", paths, together)


def _print_table(head: str, paths: dict[str, Path], table: dict[str, list[str]]) -> None:
    print(f"| {head} | {' | '.join(paths)} |\n| --- |{' ---: |' * len(paths)}")
    for name, cells in table.items():
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def _bench_paths(work: Path, scale: float) -> dict[str, Path]:
    data = make_data(work / "data", scale=scale, say=lambda text: print(text, file=sys.stderr))
    return {"image": data.image, "tree": data.directory("tree")}


if __name__ == "__main__":
    main()
