"""The picture of a bench: one panel per case, one bar per tool, its seconds and ratio at the end."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tests.benchmarks.results import Results
from tests.benchmarks.tools import CHANGED, FIRST, RESTORE, UNCHANGED, VERIFY
from tests.benchmarks.wording import seconds, times

_PANELS = (
    ("first backup", "tree", FIRST),
    ("first backup", "image", FIRST),
    ("first backup", "noise", FIRST),
    ("nothing changed", "tree", UNCHANGED),
    ("1 % of pages changed", "image", CHANGED),
    ("verify with data", "tree", VERIFY),
    ("verify with data", "image", VERIFY),
    ("restore", "tree", RESTORE),
    ("restore", "image", RESTORE),
)
_COLUMNS = 3
_TOOLS = {  # title and color, from the top; peers in hues of their own, floors without hue
    "farshore": ("Farshore", "#1f6feb"),
    "farshore-3": ("Farshore, 3 replicas", "#8ab8ff"),
    "restic": ("restic", "#d9822b"),
    "borg": ("Borg", "#2e9e5b"),
    "rclone": ("rclone sync", "#9aa3ad"),
    "tar": ("tar | zstd", "#b6bdc5"),
    "cp": ("cp -a", "#d0d5db"),
}
_INK, _FAINT = "#1f2328", "#59636e"


def draw(results: Results, path: Path) -> None:
    """Write the picture as PNG; twice the width of a README's column, so that it is sharp; none without figures."""
    tools = [tool for tool in _TOOLS if any(run.tool == tool for run in results.runs)]
    panels = [panel for panel in _PANELS if any(results.of(tool, *panel[1:]) for tool in tools)]
    if not panels:
        path.unlink(missing_ok=True)  # an older picture beside newer figures would lie
        return
    rows = -(-len(panels) // _COLUMNS)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9, "text.color": _INK, "axes.titlecolor": _INK}):
        engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.07)
        figure = Figure(figsize=(9.2, 0.9 + rows * (0.62 + 0.235 * len(tools))), dpi=180, layout=engine)
        FigureCanvasAgg(figure)
        figure.suptitle(_headline(results), fontsize=9.5, x=0.012, ha="left", linespacing=1.5)
        grid = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw_panel(axes, results, tools, panel)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.savefig(path, facecolor="white", metadata={"Software": None})


def _draw_panel(axes: Axes, results: Results, tools: list[str], panel: tuple[str, str, str]) -> None:
    title, dataset, step = panel
    axes.set_title(f"{title} · {dataset}", loc="left", fontsize=9.5, fontweight="bold")
    values = [results.median(tool, dataset, step, lambda run: run.wall_s) for tool in tools]
    longest = max(value for value in values if value is not None)
    for place, (tool, value) in enumerate(zip(tools, values, strict=True)):
        if value is None:
            axes.text(longest * 0.015, place, "-", va="center", color=_FAINT)
            continue
        axes.barh(place, value, height=0.72, color=_TOOLS[tool][1])
        weight = "bold" if tool == "farshore" else "normal"
        ratio = results.times_longer((tool, dataset, step), ("farshore", dataset, step))
        label = seconds(value) if tool == "farshore" or not ratio else f"{seconds(value)}   {times(ratio)}"
        axes.text(value + longest * 0.025, place, label, va="center", fontsize=8.5, fontweight=weight)
    axes.set_xlim(0, longest * 1.45)  # room for the figures at the end of the longest bar
    axes.set_ylim(len(tools) - 0.4, -0.6)
    axes.set_yticks(range(len(tools)), [_TOOLS[tool][0] for tool in tools])
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=_INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color("#c8ced5")


def _headline(results: Results) -> str:
    facts, machine = results.facts, results.machine
    return (
        f"Seconds, and times what Farshore takes; less is better. {machine.processor}, {machine.cores} cores, "
        f"{machine.file_system}.\ntree: {facts.tree_files:,} files, {facts.tree_bytes / 1e9:.1f} GB; image: "
        f"{facts.image_bytes / 2**30:.1f} GiB of 8 KiB pages; noise: {facts.noise_bytes / 2**30:.1f} GiB. "
        "Gray: neither encrypted nor with a history."
    )
