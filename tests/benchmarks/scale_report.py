"""Tables and a picture of how cost grows: `python -m tests.benchmarks.scale_report RESULTS.json [--publish]`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.benchmarks.results import Machine

_DOCS = Path(__file__).resolve().parents[2] / "docs/reference"
PAGE, PICTURE, RAW = "benchmarks.md", "benchmarks-scale.png", "benchmarks-scale.json"
_BEGIN, _END = "<!-- made by tests/benchmarks/scale: begin -->", "<!-- made by tests/benchmarks/scale: end -->"
_BAR_BYTES = 600_000_000
_LOOKUPS = {  # as scale_index names them, and as columns
    "hits by 128": "hits a second by 128",
    "misses by 128": "misses",
    "hits by 16,384": "hits by 16,384",
    "misses by 16,384": "misses",
}
_COLORS = ("#1f6feb", "#d9822b", "#2e9e5b", "#8250df", "#cf222e", "#57606a", "#bf8700")


@dataclass(frozen=True, slots=True)
class Step:
    """One step on one number of entries."""

    name: str
    entries: int
    wall_s: float
    cpu_s: float
    memory_bytes: int  # at its peak


@dataclass(frozen=True, slots=True)
class Build:
    """One index: how it was built, what it holds in memory, and look-ups a second by kind and batch."""

    chunks: int
    packs: int
    joining_s: float
    sorting_s: float
    bytes_a_chunk: float
    resident_a_chunk: float
    peak_a_chunk: float
    lookups: dict[str, float]
    anonymous_bytes: int = 0  # at its peak, mapped files left out; results before 2026-11-30 lack it


@dataclass(frozen=True, slots=True)
class Scale:
    """All that was measured."""

    machine: Machine
    steps: tuple[Step, ...]
    builds: tuple[Build, ...]

    def of(self, name: str) -> list[Step]:
        """Return a step by size."""
        return sorted((step for step in self.steps if step.name == name), key=lambda step: step.entries)


def write_scale(results: Scale, path: Path) -> None:
    """Write the raw results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1) + "\n")


def read_scale(path: Path) -> Scale:
    """Read the raw results."""
    value = json.loads(path.read_text())
    steps = tuple(Step(**step) for step in value["steps"])
    return Scale(Machine(**value["machine"]), steps, tuple(Build(**build) for build in value["builds"]))


def growth(steps: Sequence[Step]) -> str:
    """Return by what power of the entries the CPU time grew between the two largest sizes."""
    if len(steps) < 2:
        return ""
    before, after = steps[-2:]
    return f"{math.log(after.cpu_s / before.cpu_s) / math.log(after.entries / before.entries):.2f}"


def summary(results: Scale) -> str:
    """Return the tables."""
    machine = results.machine
    where = (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB, {machine.file_system}, "
        f"{machine.kernel}, Python {machine.python}, {machine.date}."
    )
    lines = [where, "", "### Entries", ""]
    names = list(dict.fromkeys(step.name for step in results.steps))
    sizes = sorted({step.entries for step in results.steps})
    head = ["step", *(f"{size:,}" for size in sizes), "growth", "entries/s"]
    rows = []
    for name in names:
        steps = results.of(name)
        cells = [f"{step.wall_s:.1f} s, {step.memory_bytes / 1e6:.0f} MB" for step in steps]
        rows.append([name, *cells, growth(steps), f"{steps[-1].entries / steps[-1].wall_s:,.0f}"])
    lines += _table(head, rows)
    lines += ["", "### Chunks", ""]
    head = ["chunks", "joined and sorted in", "bytes a chunk", "resident", "peak while building", *_LOOKUPS.values()]
    rows = [
        [
            f"{one.chunks:,} in {one.packs:,} packs",
            f"{one.joining_s:.1f} s and {one.sorting_s:.1f} s",
            f"{one.bytes_a_chunk:.1f}",
            f"{one.resident_a_chunk:.1f}",
            f"{one.peak_a_chunk:.1f}",
            *(f"{one.lookups[name] / 1e6:.1f} M" for name in _LOOKUPS),
        ]
        for one in results.builds
    ]
    return "\n".join([*lines, *_table(head, rows), ""])


def publish(results: Scale) -> None:
    """Put the tables between their marks into the page, with picture and raw results beside it."""
    page = _DOCS / PAGE
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{summary(results)}\n{_END}{after}")
    draw(results, _DOCS / PICTURE)
    write_scale(results, _DOCS / RAW)


def draw(results: Scale, path: Path) -> None:
    """Write the picture: seconds and memory by entries, both axes of seconds by powers of ten."""
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(9.2, 3.6), dpi=180, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for color, name in zip(_COLORS, dict.fromkeys(step.name for step in results.steps), strict=False):
            steps = results.of(name)
            sizes = [step.entries for step in steps]
            left.plot(sizes, [step.wall_s for step in steps], "o-", color=color, label=name, markersize=4)
            right.plot(sizes, [step.memory_bytes / 1e6 for step in steps], "o-", color=color, markersize=4)
        left.set_yscale("log")
        right.axhline(_BAR_BYTES / 1e6, color="#8c959f", linestyle="--", linewidth=1)
        right.text(min(step.entries for step in results.steps), _BAR_BYTES / 1e6 - 12, "bar", va="top", color="#59636e")
        right.set_ylim(0, _BAR_BYTES / 1e6 * 1.1)
        for axes, title in ((left, "Seconds"), (right, "Peak memory, MB")):
            _frame(axes, title)
        left.legend(frameon=False, fontsize=7.5)
        figure.savefig(path, facecolor="white", metadata={"Software": None})


def _frame(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("entries")
    axes.set_title(title, loc="left", fontweight="bold", fontsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#eaeef2")
    axes.set_axisbelow(True)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]


def main() -> int:
    """Print the tables of earlier results, and publish them if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale_report", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--publish", action="store_true", help="put tables and picture into docs/")
    options = parser.parse_args()
    results = read_scale(options.results)
    print(summary(results))
    if options.publish:
        publish(results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
