"""Raw results of a bench as frozen values, and their JSON."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.dataset import Facts

Cell = tuple[str, str, str]  # tool, dataset, step


@dataclass(frozen=True, slots=True)
class Run:
    """One step of one tool on one dataset in one round."""

    round: int
    tool: str
    dataset: str
    step: str
    wall_s: float
    user_s: float
    system_s: float
    memory_peak_bytes: int
    bytes_stored: int  # by the repository afterwards, over all its replicas
    bytes_read: int = 0  # by system calls of all processes of the tool
    requests: Mapping[str, int] = field(default_factory=dict)  # by verb, where they can be counted
    bytes_down: int = 0  # read from replicas, where the tool reports it

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


@dataclass(frozen=True, slots=True)
class Machine:
    """What it ran on."""

    processor: str
    cores: int
    memory_bytes: int
    file_system: str
    kernel: str
    python: str
    date: str  # of the day
    restores: str = ""  # what they go onto, where the bench restores


@dataclass(frozen=True, slots=True)
class Results:
    """All that a bench measured."""

    machine: Machine
    facts: Facts
    versions: Mapping[str, str]  # by tool
    runs: tuple[Run, ...]

    def of(self, tool: str, dataset: str, step: str) -> list[Run]:
        """Return the runs of one cell, by round."""
        return [run for run in self.runs if (run.tool, run.dataset, run.step) == (tool, dataset, step)]

    def median(self, tool: str, dataset: str, step: str, figure: Callable[[Run], float]) -> float | None:
        """Return the median of a figure over the rounds, or nothing where nothing was measured."""
        return self.median_of([figure(run) for run in self.of(tool, dataset, step)])

    def times_longer(self, one: Cell, other: Cell) -> float | None:
        """Return the median over the rounds of how many times the other's wall time one cell takes.

        Within a round both lie close in time, so a machine that drifts does not enter.
        """
        ours = {run.round: run.wall_s for run in self.of(*one)}
        theirs = {run.round: run.wall_s for run in self.of(*other)}
        return self.median_of([ours[number] / theirs[number] for number in ours.keys() & theirs.keys()])

    @staticmethod
    def median_of(figures: Sequence[float]) -> float | None:
        """Return the median, or nothing of nothing."""
        return statistics.median(figures) if figures else None


def join_results(parts: Sequence[Results]) -> Results:
    """Return results of several benches as one; each dataset is of the last that measured it, whole.

    Raises:
        ValueError: They are of different machines, days, data or versions, so that nobody could compare them.
    """
    first = parts[0]
    versions: dict[str, str] = {}
    of_dataset: dict[str, list[Run]] = {}
    for part in parts:
        if (part.machine, part.facts) != (first.machine, first.facts):
            raise ValueError("results of different machines, days or data belong on different pages")
        if any(versions.setdefault(tool, version) != version for tool, version in part.versions.items()):
            raise ValueError("results of different versions of a tool belong on different pages")
        for dataset in dict.fromkeys(run.dataset for run in part.runs):
            of_dataset[dataset] = [run for run in part.runs if run.dataset == dataset]
    return Results(first.machine, first.facts, versions, tuple(run for runs in of_dataset.values() for run in runs))


def write_results(results: Results, path: Path) -> None:
    """Write them as JSON, replacing the file whole."""
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps(dataclasses.asdict(results), indent=1) + "\n")
    staged.replace(path)


def read_results(path: Path) -> Results:
    """Return what `write_results` wrote."""
    raw: dict[str, Any] = json.loads(path.read_text())
    runs: Sequence[dict[str, Any]] = raw["runs"]
    return Results(
        machine=Machine(**raw["machine"]),
        facts=Facts(**raw["facts"]),
        versions=raw["versions"],
        runs=tuple(Run(**run) for run in runs),
    )
