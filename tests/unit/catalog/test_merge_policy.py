"""A year of nights, counted in bytes: what is written stays below five times what changed, and what is read bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from farshore.catalog.merge_policy import READ_MAX, RUNS_MAX, runs_to_merge

ROWS = 10_000_000
NIGHTS = 365
WRITTEN_MAX = 5.0  # of the bytes that changed
Touched = Callable[[int], int]  # nights in a row -> the different rows that change in them
Policy = Callable[[Sequence[int], int, int], int]

CHURNS: dict[str, Touched] = {
    "one percent of all, at random": lambda nights: round(ROWS * (1 - 0.99**nights)),
    "the same directory": lambda _: ROWS // 100,
    "five directories in turn": lambda nights: ROWS // 100 * min(nights, 5),
    "a hundred directories in turn": lambda nights: ROWS // 100 * min(nights, 100),
}


class Year(NamedTuple):
    """Bytes written of those that changed, the longest list, and the most bytes read of those of one run."""

    written: float
    runs: int
    read: float

    @property
    def good(self) -> bool:
        return self.written <= WRITTEN_MAX and self.runs <= RUNS_MAX and self.read <= READ_MAX


def simulate(policy: Policy, touched: Touched, nights: int = NIGHTS) -> Year:
    """Count a row as a byte. A run is the nights that it spans; the first night wrote everything."""

    def size(first: int, last: int) -> int:
        return touched(last - first + 1) if first else ROWS

    runs = [(0, 0)]
    written = most_runs = 0
    read = 0.0
    for night in range(1, nights + 1):
        merged = policy([size(*run) for run in runs], size(night, night), ROWS)
        first = runs[-merged][0] if merged else night
        runs = [*runs[: len(runs) - merged], (first, night)]
        written += size(first, night)
        most_runs = max(most_runs, len(runs))
        read = max(read, sum(size(*run) for run in runs) / ROWS)
    return Year(written / (nights * touched(1)), most_runs, read)


@pytest.mark.parametrize("churn", CHURNS)
def test_a_year_of_nights_costs_at_most_five_times_what_changed(churn: str) -> None:
    year = simulate(runs_to_merge, CHURNS[churn])
    print(f"{churn}: {year.written:.2f} times written, {year.runs} runs, {year.read:.2f} times read")
    assert year.good


def _never_full(sizes: Sequence[int], tonight: int, full: int) -> int:
    return min(runs_to_merge(sizes, tonight, full * len(CHURNS) * NIGHTS), max(len(sizes) - 1, 0))


def _appends(sizes: Sequence[int], tonight: int, full: int) -> int:
    return 0


def _always_full(sizes: Sequence[int], tonight: int, full: int) -> int:
    return len(sizes)


def _two_runs(sizes: Sequence[int], tonight: int, full: int) -> int:
    return runs_to_merge(sizes, tonight, full, runs_max=2)


def _one_run_too_many(sizes: Sequence[int], tonight: int, full: int) -> int:
    return runs_to_merge(sizes, tonight, full, runs_max=RUNS_MAX + 1)


def _by_ratio(sizes: Sequence[int], tonight: int, full: int) -> int:
    """Merge as a log-structured tree with a plain size ratio of two."""
    if len(sizes) >= RUNS_MAX or sum(sizes) + tonight > READ_MAX * full:
        return len(sizes)
    merged = tonight
    for count, size in enumerate(reversed(sizes)):
        if size >= 2 * merged:
            return count
        merged += size
    return len(sizes)


def _newest_two(sizes: Sequence[int], tonight: int, full: int) -> int:
    return min(runs_to_merge(sizes, tonight, full), 1) if sum(sizes) + tonight <= READ_MAX * full else len(sizes)


MUTANTS: dict[str, Policy] = {
    "never a full run": _never_full,
    "append only": _appends,
    "a full run each night": _always_full,
    "two runs": _two_runs,
    "eleven runs": _one_run_too_many,
    "a size ratio of two": _by_ratio,
    "tonight's with the newest alone": _newest_two,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_other_rule_breaks_a_bar(mutant: str) -> None:
    assert not all(simulate(MUTANTS[mutant], touched).good for touched in CHURNS.values())


def test_nothing_is_merged_on_an_unchanged_night_nor_where_there_is_no_run() -> None:
    assert runs_to_merge([100, 90, 80], 0, 100) == 0
    assert runs_to_merge([], 7, 7) == 0


def test_what_shrank_is_written_whole_and_what_only_grew_is_not() -> None:
    assert runs_to_merge([100], 1, 10) == 1
    assert runs_to_merge([100, 80], 80, 260) == 0


@pytest.mark.parametrize(
    "nights", [[1] * 400, [5, 1, 1, 9, 30, 1] * 60, [49, 1, 49, 1] * 50, [1, 2, 4, 8, 16, 32] * 30]
)
def test_uneven_nights_keep_the_bounds(nights: list[int]) -> None:
    sizes, full = [100], 100
    for tonight in nights:
        merged = runs_to_merge(sizes, tonight, full)
        kept, gone = sizes[: len(sizes) - merged], sizes[len(sizes) - merged :]
        sizes = [*kept, min(sum(gone) + tonight, full)]
        assert len(sizes) <= RUNS_MAX
        assert sum(sizes) <= READ_MAX * full
