"""Page maps in bytes and requests, at a small size; `python -m tests.benchmarks.page_maps` has the large one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.catalog.merge_policy import READ_MAX, RUNS_MAX
from tests.benchmarks.page_maps import Positions, at_random, in_regions, measure_reading, year


@pytest.mark.parametrize("changes", [at_random, in_regions])
def test_nights_cost_at_most_five_times_what_changed(changes: Callable[[int], Callable[[int], Positions]]) -> None:
    pages = 60_000
    written, read, runs = year(pages, 70, changes(pages))
    assert written <= 5
    assert runs == RUNS_MAX
    assert read <= READ_MAX * 1.01, "the size of one run of everything is an estimate"


def test_one_file_costs_two_requests_for_each_run(tmp_path: Path) -> None:
    requests, read = measure_reading(tmp_path, 800_000)
    assert requests == 2
    assert read < 10 << 20
