from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.bars import verdicts
from tests.benchmarks.dataset import Facts
from tests.benchmarks.report import full_tables, put_between_marks, short_tables, write_report
from tests.benchmarks.results import Machine, Results, Run, join_results, read_results, write_results
from tests.benchmarks.tools import CHANGED, FIRST, LIST, RESTORE, SNAPSHOTS, UNCHANGED

MACHINE = Machine("a processor", 2, 2**34, "ext4", "Linux 6.1", "3.11", "2026-01-02")
FACTS = Facts(1, 1.0, 150_000, 10, 100, 10**9, 4 * 10**9, 2 * 10**9, 5000, 40_960_000, 20_000_000, 10**9)


def cell(tool: str, dataset: str, step: str, *walls: float, stored: int = 0, memory: int = 10**8) -> list[Run]:
    return [Run(number, tool, dataset, step, wall, 1.0, 0.5, memory, stored) for number, wall in enumerate(walls)]


def results(*cells: list[Run]) -> Results:
    return Results(MACHINE, FACTS, {"farshore": "farshore 0.1.0"}, tuple(run for cell in cells for run in cell))


def judged(*cells: list[Run]) -> dict[str, tuple[str, bool]]:
    return {one.case: (one.measured, one.reached) for one in verdicts(results(*cells))}


def test_a_median_is_the_middle_and_a_ratio_the_middle_of_the_rounds() -> None:
    found = judged(
        cell("farshore", "image", FIRST, 1.0, 10.0, 2.0),
        cell("restic", "image", FIRST, 4.0, 20.0, 7.0),  # 4, 2 and 3.5 times; medians would say 3.5 as well
        cell("borg", "image", FIRST, 9.0, 10.0, 3.0),  # 9, 1 and 1.5 times; medians would say 4.5
    )
    assert found["first backup, image, against restic"] == ("3.50 times as fast", True)
    assert found["first backup, image, against Borg"] == ("1.50 times as fast", False)
    table = short_tables(results(cell("farshore", "image", FIRST, 1.0, 10.0, 2.0)))
    assert "| first backup, image | 2.00 |" in table


def test_of_several_benches_each_dataset_is_of_the_last_that_measured_it() -> None:
    first = results(cell("farshore", "tree", FIRST, 1.0), cell("cp", "image", FIRST, 5.0))
    second = results(cell("farshore", "image", FIRST, 2.0, 3.0))
    joined = join_results([first, second])
    assert joined.runs == (*first.of("farshore", "tree", FIRST), *second.runs)
    assert join_results([first]) == first


@pytest.mark.parametrize(
    "other",
    [
        replace(results(), machine=replace(MACHINE, date="2026-01-03")),
        replace(results(), facts=replace(FACTS, scale=0.5)),
        replace(results(), versions={"farshore": "farshore 0.2.0"}),
    ],
    ids=["machine", "data", "version"],
)
def test_what_cannot_be_compared_is_not_joined(other: Results) -> None:
    with pytest.raises(ValueError, match="belong on different pages"):
        join_results([results(), other])


@pytest.mark.parametrize(("wall_s", "reached"), [(1.29, True), (1.31, False)])
def test_three_replicas_may_cost_a_little_more_than_one(wall_s: float, reached: bool) -> None:
    found = judged(cell("farshore", "tree", FIRST, 1.0), cell("farshore-3", "tree", FIRST, wall_s))
    assert found["first backup, tree, three replicas against one"] == (f"{wall_s:.2f} times the time", reached)


@pytest.mark.parametrize(("bytes_read", "reached"), [(1050, True), (2000, False)])
def test_the_source_is_read_once_for_three_replicas(bytes_read: int, reached: bool) -> None:
    one, three = (
        Run(0, tool, "image", FIRST, 1.0, 1.0, 1.0, 1, 1, count)
        for tool, count in (("farshore", 1000), ("farshore-3", bytes_read))
    )
    found = judged([one], [three])
    assert found["first backup, image, all bytes read for three replicas against one"][1] is reached


@pytest.mark.parametrize(("wall_s", "reached"), [(1.1, True), (1.3, False)])
def test_a_restore_is_judged_by_a_plain_copy(wall_s: float, reached: bool) -> None:
    found = judged(cell("farshore", "tree", RESTORE, wall_s), cell("cp", "tree", RESTORE, 1.0))
    assert found["restore, tree, against `cp -a`"][1] is reached


@pytest.mark.parametrize(("wall_s", "reached"), [(1.4, True), (1.6, False)])
def test_the_pace_of_an_unchanged_backup_is_files_in_a_second(wall_s: float, reached: bool) -> None:
    found = judged(cell("farshore", "tree", UNCHANGED, wall_s))
    assert found["unchanged backup, tree, files looked at in a second"] == (f"{150_000 / wall_s:,.0f}", reached)


@pytest.mark.parametrize(("more", "reached"), [(22_900_000, True), (23_100_000, False)])
def test_a_change_may_store_little_more_than_itself(more: int, reached: bool) -> None:
    found = judged(
        cell("farshore", "image", UNCHANGED, 1.0, stored=10**9),
        cell("farshore", "image", CHANGED, 1.0, stored=10**9 + more),
    )
    assert found["1 % of pages changed, bytes stored against the changed pages compressed"][1] is reached


def test_what_is_stored_is_held_against_the_smallest_peer() -> None:
    found = judged(
        cell("farshore", "noise", UNCHANGED, 1.0, stored=1001),
        cell("restic", "noise", UNCHANGED, 1.0, stored=1000),
        cell("borg", "noise", UNCHANGED, 1.0, stored=1002),
    )
    assert found["bytes stored after all backups, noise, against the smallest peer (restic)"] == ("1.001 times", False)


def test_one_run_over_the_ceiling_of_memory_is_enough() -> None:
    fine = cell("farshore", "tree", FIRST, 1.0, 1.0, memory=299_000_000)
    assert judged(fine)["highest memory, one replica"] == ("299 MB (first backup, tree)", True)
    worse = cell("farshore", "image", RESTORE, 1.0, memory=301_000_000)
    assert judged(fine, worse)["highest memory, one replica"] == ("301 MB (restore, image)", False)


def test_a_listing_has_its_bar() -> None:
    found = judged(cell("farshore", SNAPSHOTS, LIST, 0.9, 1.2, 0.8))
    assert found["`farshore snapshots`, 1,000 snapshots, nothing cached"] == ("0.900 s", True)


def test_bars_without_runs_are_left_out() -> None:
    assert judged() == {}


def test_raw_results_come_back_as_they_were_and_make_a_report(tmp_path: Path) -> None:
    made = results(
        [Run(0, "farshore", "tree", FIRST, 1.5, 1.0, 0.5, 10**8, 10**9, 7, {"put": 1200, "get": 3})],
        cell("restic", "tree", FIRST, 3.0),
    )
    write_results(made, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == made
    write_report(made, tmp_path / "results.json")
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "results.md").read_text()
    assert "| Farshore | 1.50 | 1.00 | 1.50 | 100 | 1.000 | 1,200 PUT, 3 GET |" in text
    assert "| restic | 3.00 | 2.00 | 1.50 | 100 |  |  |" in text
    assert full_tables(made) in text


def test_a_report_of_a_few_tools_shows_those(tmp_path: Path) -> None:
    made = results(cell("restic", "tree", FIRST, 3.0))
    assert short_tables(made).splitlines()[0::2] == ["| seconds (median) | restic |", "| first backup, tree | 3.00 |"]
    assert short_tables(results(cell("farshore-s3", "tree", FIRST, 3.0))) == ""
    write_report(results(cell("farshore-s3", "tree", FIRST, 3.0)), tmp_path / "results.json")
    assert not (tmp_path / "results.png").exists()
    assert "| Farshore, S3 | 3.00 |" in (tmp_path / "results.md").read_text()


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = "before\n<!-- made by tests/benchmarks: begin -->\nold\n<!-- made by tests/benchmarks: end -->\nafter\n"
    once = put_between_marks(page, "new\n")
    assert once == page.replace("old", "new")
    assert put_between_marks(once, "new") == once
    with pytest.raises(ValueError, match="substring not found"):
        put_between_marks("no marks", "new")
