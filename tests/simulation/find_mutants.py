"""The first seed that shows each mutant broken, and the table of them in README.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.history import Outcome
from tests.simulation.mutants import MUTANTS
from tests.simulation.playing import Block, play_all

README = Path(__file__).with_name("README.md")
SEEDS_MAX = 60
_TABLE = re.compile(r"(<!-- mutants: begin -->\n).*(<!-- mutants: end -->)", re.DOTALL)
_ROW = re.compile(r"\| `([a-z-]+)` \|.*\| ([0-9]+) \|")


def first_found(mutant: str, first: int = 0, seeds_max: int = SEEDS_MAX, processes: int = 1) -> Outcome | None:
    """Return the first history that breaks under a mutant, None where none of so many does."""

    def blocks() -> Iterator[Block]:
        for at in range(first, first + seeds_max, 4):
            yield Block(at, at + 4, mutant, to_the_end=False)

    return next((one for one in play_all(blocks(), processes) if not one.holds), None)


def known_seeds() -> dict[str, int]:
    """Return the seed of each mutant in the table."""
    return {name: int(seed) for name, seed in _ROW.findall(README.read_text(encoding="utf-8"))}


def write_table(processes: int) -> int:
    """Find a seed for each mutant, write the table, and return how many were not found."""
    rows, lost = ["| mutant | the rule that is taken out | found as | seed |", "| --- | --- | --- | ---: |"], 0
    for name in MUTANTS:
        found = first_found(name, processes=processes)
        lost += found is None
        print(f"{name}: {'not found' if found is None else f'seed {found.seed}: {found.faults[0]}'}", flush=True)
        if found is not None:
            fault = found.faults[0].partition(":")[0]
            rows.append(f"| `{name}` | {MUTANTS[name].rule} | {fault} | {found.seed} |")
    text = README.read_text(encoding="utf-8")
    table = "\n".join(rows) + "\n"
    README.write_text(_TABLE.sub(lambda match: match[1] + table + match[2], text), encoding="utf-8")
    return lost
