from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.dataset import Data, make_data
from tests.benchmarks.floor_tools import Copy, TarZstd
from tests.benchmarks.fresh import can_mount
from tests.benchmarks.measuring import BenchFailed, Job
from tests.benchmarks.peer_tools import Borg
from tests.benchmarks.results import Run
from tests.benchmarks.runner import Plan, planned_steps, run_plan
from tests.benchmarks.tools import CHANGED, FIRST, READ, RESTORE, STEPS, UNCHANGED, VERIFY, Setting


class Forgetful(Copy):
    """A tool that loses what it was given."""

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        right = super().job(step, setting, newest=newest)
        return Job(("/bin/true",), right.cwd, right.environment) if step == RESTORE else right


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_data(tmp_path_factory.mktemp("data") / "data", scale=0.0005, say=print)


def test_tools_take_turns_and_leave_nothing_behind(data: Data, tmp_path: Path) -> None:
    runs: list[Run] = []
    plan = Plan(
        tools=[Copy(), TarZstd()], datasets=["tree"], steps=frozenset(STEPS), rounds=2, mounts=can_mount(tmp_path)
    )
    run_plan(plan, data, tmp_path, say=print, keep=runs.append)
    order = [(run.round, run.dataset, run.tool) for run in runs if run.step == FIRST]
    assert order == [(0, "tree", "cp"), (0, "tree", "tar"), (1, "tree", "tar"), (1, "tree", "cp")]
    assert {run.step for run in runs} == {FIRST, RESTORE}
    stored = {run.bytes_stored for run in runs if (run.tool, run.dataset) == ("cp", "tree")}
    assert min(stored) >= data.facts.tree_bytes  # links count with their length
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_restores_something_else_fails_the_bench(data: Data, tmp_path: Path) -> None:
    plan = Plan(tools=[Forgetful()], datasets=["noise"], steps=frozenset(STEPS), rounds=1, mounts=can_mount(tmp_path))
    with pytest.raises(BenchFailed, match=r"cp -a restored something else than noise:\nnot restored: noise\.bin"):
        run_plan(plan, data, tmp_path, say=print, keep=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_story_has_what_its_steps_stand_on() -> None:
    every = frozenset(STEPS)
    assert planned_steps(Borg(), "image", every) == [FIRST, UNCHANGED, CHANGED, VERIFY, RESTORE]
    assert planned_steps(Borg(), "tree", every) == [FIRST, UNCHANGED, VERIFY, RESTORE]
    assert planned_steps(Borg(), "tree", frozenset({RESTORE})) == [FIRST, RESTORE]
    assert planned_steps(Borg(), "tree", frozenset({READ})) == []
    assert planned_steps(Copy(), "tree", frozenset({VERIFY})) == []
