"""Make tables and a picture from raw results: `python -m tests.benchmarks.report RESULTS.json [--publish]`.

With `--publish` they go, between their marks, into README.md and docs/reference/benchmarks.md, with the raw results
beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.benchmarks.bars import verdicts
from tests.benchmarks.orders import COPIES, ORDERS, REWRITES, SHARE
from tests.benchmarks.plot import draw
from tests.benchmarks.results import Results, Run, join_results, read_results, write_results
from tests.benchmarks.tools import CHANGED, FIRST, READ, READ_DISK, RESTORE, STEPS, UNCHANGED, VERIFY
from tests.benchmarks.wording import requests, seconds, size

ROOT = Path(__file__).resolve().parents[2]
RAW, PAGE, PICTURE, README = (
    "docs/reference/benchmarks.json",
    "docs/reference/benchmarks.md",
    "docs/reference/benchmarks.png",
    "README.md",
)
_BEGIN, _END = "<!-- made by tests/benchmarks: begin -->", "<!-- made by tests/benchmarks: end -->"
_TOOLS = {
    "farshore": "Farshore",
    "farshore-3": "Farshore, three replicas",
    "restic": "restic",
    "borg": "Borg",
    "farshore-s3": "Farshore, S3",
    "restic-s3": "restic, S3",
    "rclone": "rclone sync",
    "rclone-s3": "rclone sync, S3",
    "tar": "tar \\| zstd",
    "cp": "cp -a",
    "read": "dd",
}
_SHORT = ("farshore", "farshore-3", "restic", "borg", "rclone", "tar", "cp")  # columns of the README's table
_STEPS = {
    FIRST: "First backup",
    UNCHANGED: "Second backup, nothing changed",
    CHANGED: "Backup after 1 % of the pages changed",
    VERIFY: "Verify with all data",
    RESTORE: "Restore",
    READ: "Reading alone, from the page cache",
    READ_DISK: "Reading alone, from the disk",
}
_ORDERS = {
    COPIES: "files of 12 kB that nothing compresses, and the same contents in another order beside them",
    REWRITES: "an image of pages, rewritten and backed up many times before the restore",
    SHARE: "/usr/share of this machine",
}
_DATASETS = ("tree", "image", "noise", *ORDERS)


def short_tables(results: Results) -> str:
    """Return what the README shows: seconds of each case, and the bars."""
    tools = [tool for tool in _SHORT if any(run.tool == tool for run in _measured(results))]
    rows = []
    for step in (FIRST, UNCHANGED, CHANGED, VERIFY, RESTORE):
        for dataset in _DATASETS:
            cells = [results.median(tool, dataset, step, lambda run: run.wall_s) for tool in tools]
            if any(cells):
                rows.append([f"{_STEPS[step].lower()}, {dataset}", *map(seconds, cells)])
    if not rows:
        return ""
    heads = ["seconds (median)", *(_TOOLS[tool] for tool in tools)]
    return "\n".join([*_table(heads, rows, right=range(1, len(heads))), ""])


def bar_table(results: Results) -> str:
    """Return each bar with what was measured."""
    rows = [[one.case, one.measured, one.wanted, "yes" if one.reached else "**no**"] for one in verdicts(results)]
    return "\n".join([*_table(["bar", "measured", "wanted", "reached"], rows, right=()), ""])


def full_tables(results: Results) -> str:
    """Return the page's part: the machine, the versions, the bars, and every figure of every cell."""
    lines = ["### The machine and the data", "", *_circumstances(results), "", "### The bars", "", bar_table(results)]
    for step in STEPS:
        for dataset in _DATASETS:
            tools = [tool for tool in _TOOLS if results.of(tool, dataset, step)]
            if tools:
                lines += [f"### {_STEPS[step]}: {dataset}", "", *_cells(results, tools, dataset, step), ""]
    return "\n".join(lines)


def summary_line(results: Results) -> str:
    """Return one sentence on where the figures come from."""
    machine, rounds = results.machine, 1 + max((run.round for run in _measured(results)), default=0)
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB of memory, "
        f"{machine.file_system}, {machine.kernel}, {machine.date}; "
        + ("one round" if rounds == 1 else f"medians of {rounds} rounds")
    )


def put_between_marks(text: str, part: str) -> str:
    """Return a page with what stands between the marks replaced.

    Raises:
        ValueError: It has no marks.
    """
    start, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
    return f"{text[:start]}\n{part.strip()}\n{text[end:]}"


def readme_part(results: Results) -> str:
    """Return what stands between the marks of the README."""
    bars = verdicts(results)
    reached = sum(one.reached for one in bars)
    return "\n".join(
        [
            f"![Seconds of each case, for each tool; the table below has the same figures]({PICTURE})",
            "",
            short_tables(results),
            f"{summary_line(results)}. {reached} of {len(bars)} bars are reached. CPU, memory, sizes, requests",
            "and the bars: [docs/reference/benchmarks.md](docs/reference/benchmarks.md).",
        ]
    )


def page_part(results: Results) -> str:
    """Return what stands between the marks of docs/reference/benchmarks.md."""
    return f"![Seconds of each case, for each tool]({PICTURE.rsplit('/', 1)[-1]})\n\n{full_tables(results)}"


def publish(results: Results, root: Path = ROOT) -> None:
    """Write raw results, picture and tables to where they are shown."""
    write_results(results, root / RAW)
    draw(results, root / PICTURE)
    for name, part in ((README, readme_part(results)), (PAGE, page_part(results))):
        page = root / name
        page.write_text(put_between_marks(page.read_text(), part))


def _measured(results: Results) -> list[Run]:
    return [run for run in results.runs if run.dataset in _DATASETS]


def _circumstances(results: Results) -> Iterator[str]:
    facts = results.facts
    stored, changed = size(facts.image_bytes_zstd), size(facts.changed_bytes_zstd)
    yield f"- {summary_line(results)}; Python {results.machine.python}"
    yield f"- {'; '.join(sorted(set(results.versions.values())))}"
    if results.machine.restores:
        yield f"- {results.machine.restores}"
    yield from (f"- `{name}`: {_ORDERS[name]}" for name in ORDERS if any(run.dataset == name for run in results.runs))
    if not facts.image_bytes:
        return
    yield (
        f"- `tree`: {facts.tree_files:,} files and {facts.tree_links:,} symlinks in {facts.tree_directories:,} "
        f"directories, {size(facts.tree_bytes)}"
    )
    yield (
        f"- `image`: {size(facts.image_bytes)} in pages of 8 KiB ({stored} compressed by zstd), of "
        f"which {facts.changed_pages:,} change ({size(facts.changed_bytes)}, {changed} compressed)"
    )
    yield f"- `noise`: {size(facts.noise_bytes)} that nothing compresses"


def _cells(results: Results, tools: Sequence[str], dataset: str, step: str) -> Iterator[str]:
    heads = ["tool", "wall s", "against Farshore", "CPU s", "memory MB", "stored GB", "requests"]
    has_downloads = any(run.bytes_down for tool in tools for run in results.of(tool, dataset, step))
    rows = []
    for tool in tools:

        def of(figure: Callable[[Run], float], tool: str = tool) -> float:
            return results.median(tool, dataset, step, figure) or 0.0

        wall_s = of(lambda run: run.wall_s)
        ratio = results.times_longer((tool, dataset, step), ("farshore", dataset, step))
        stored = of(lambda run: run.bytes_stored)
        rows.append(
            [
                _TOOLS[tool],
                seconds(wall_s),
                f"{ratio:.2f}" if ratio else "",
                seconds(of(lambda run: run.cpu_s)),
                f"{of(lambda run: run.memory_peak_bytes) / 1e6:.0f}",
                f"{stored / 1e9:.3f}" if stored else "",
                requests(results.of(tool, dataset, step)[-1].requests),
                *([f"{down / 1e9:.3f}" if (down := of(lambda run: run.bytes_down)) else ""] if has_downloads else []),
            ]
        )
    yield from _table([*heads, *(["GB down"] if has_downloads else [])], rows, right=range(1, 6))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---:' if index in right else '---' for index in range(len(heads)))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def main() -> int:
    """Write the report and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report", description=__doc__)
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        help="raw results that `make bench` wrote; of several, a dataset of the last",
    )
    parser.add_argument("--publish", action="store_true", help="into README.md and docs/")
    options = parser.parse_args()
    try:
        results = join_results([read_results(path) for path in options.results])
    except ValueError as error:
        parser.error(f"{error}; name only files that one machine wrote on one day")
    if options.publish:
        publish(results)
    else:
        write_report(results, options.results[-1])
    return 0


def write_report(results: Results, raw: Path) -> None:
    """Write the tables and the picture beside the raw results."""
    draw(results, raw.with_suffix(".png"))
    raw.with_suffix(".md").write_text(f"{short_tables(results)}\n{full_tables(results)}")


if __name__ == "__main__":
    sys.exit(main())
