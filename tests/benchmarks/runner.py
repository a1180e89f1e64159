"""Run the tools in turn: each one's whole story on one dataset, then the next tool's, and all of it again each round.

Every other round goes through the tools backwards, so that a machine that drifts hits all of them alike.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.compare import differences
from tests.benchmarks.dataset import Data
from tests.benchmarks.fresh import fresh_directory, release
from tests.benchmarks.measuring import BenchFailed, measure, perform
from tests.benchmarks.orders import ORDERS, REWRITES
from tests.benchmarks.results import Run
from tests.benchmarks.s3_server import CountingS3
from tests.benchmarks.tools import BACKUPS, CHANGED, FIRST, RESTORE, STEPS, UNCHANGED, VERIFY, Setting, Tool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    tools: Sequence[Tool]
    datasets: Sequence[str]
    steps: frozenset[str]
    rounds: int
    mounts: bool  # a file system is made for each restore and each mirror


def run_plan(plan: Plan, data: Data, work: Path, *, say: Callable[[str], None], keep: Callable[[Run], None]) -> None:
    """Run all of a plan below `work`, handing each run to `keep`; what tools left there is removed at the end.

    Raises:
        BenchFailed: A tool failed, or restored something else than was backed up.
    """
    for number in range(plan.rounds):
        for dataset in plan.datasets:
            tools = [tool for tool in plan.tools if dataset in tool.datasets]
            for tool in tools if number % 2 == 0 else reversed(tools):
                for run in _run_story(tool, dataset, plan, data, work, number):
                    say(_reported(run, number, plan.rounds))
                    keep(run)


def planned_steps(tool: Tool, dataset: str, chosen: frozenset[str]) -> list[str]:
    """Return the steps of a tool's story in order, with the first backup where the others need one."""
    possible = [step for step in STEPS if step in tool.steps and (step != CHANGED or dataset == "image")]
    if dataset in ORDERS:
        possible = [step for step in possible if step in (FIRST, VERIFY, RESTORE)]
    wanted = chosen & set(possible)
    if wanted & {UNCHANGED, CHANGED, VERIFY, RESTORE}:
        wanted |= {FIRST}
    return [step for step in possible if step in wanted]


def _run_story(tool: Tool, dataset: str, plan: Plan, data: Data, work: Path, number: int) -> Iterator[Run]:
    def fresh(name: str) -> AbstractContextManager[Path]:
        return fresh_directory(
            work / name,
            content_bytes=data.size(dataset),
            files=data.entries(dataset),
            mounts=plan.mounts,
        )

    place = work / "run"
    with ExitStack() as stack:
        stack.enter_context(empty_directory(place))
        server = stack.enter_context(CountingS3()) if tool.on_s3 else None
        bucket = server.make_bucket() if server else None
        mirror = stack.enter_context(fresh("mirror")) if tool.mirrors else None
        source = data.directory(dataset)
        setting = Setting(dataset=dataset, source=source, place=place, mirror=mirror, bucket=bucket)
        if dataset == "image":
            data.set_changed(False)
        if dataset == REWRITES:
            data.orders.rewrite(0)
        tool.prepare(setting)
        newest = FIRST
        for step in planned_steps(tool, dataset, plan.steps):
            if step == CHANGED:
                data.set_changed(True)
            newest = step if step in BACKUPS else newest
            with ExitStack() as cleanup:
                if step == RESTORE:
                    setting = replace(setting, restored=cleanup.enter_context(fresh("restored")))
                run = _run_step(tool, step, setting, data, number, newest, server)
                if step == RESTORE:
                    _require_equal(tool, setting)
            if step in plan.steps:
                yield run
            if step == FIRST and dataset == REWRITES:
                _age(tool, setting, data)


def _age(tool: Tool, setting: Setting, data: Data) -> None:
    """Rewrite pages of the image and back it up, many times; not timed."""
    for number in range(1, data.orders.snapshots):
        data.orders.rewrite(number)
        perform(tool.job(UNCHANGED, setting, newest=FIRST))


def _run_step(
    tool: Tool, step: str, setting: Setting, data: Data, number: int, newest: str, server: CountingS3 | None
) -> Run:
    if step not in (VERIFY, RESTORE):
        data.warm(setting.dataset)
    job = tool.job(step, setting, newest=newest)
    os.sync()  # nobody pays for what another one wrote
    before = server.requests() if server else {}
    cost = measure(job, logs=setting.place / "logs")
    after = server.requests() if server else {}
    requests = {verb: after[verb] - before.get(verb, 0) for verb in sorted(after) if after[verb] != before.get(verb, 0)}
    said = tool.said(cost.output)
    stored = server.stored_bytes(setting.bucket) if server and setting.bucket else tool.stored_bytes(setting)
    return Run(
        round=number,
        tool=tool.name,
        dataset=setting.dataset,
        step=step,
        wall_s=round(cost.wall_s, 4),
        user_s=round(cost.user_s, 4),
        system_s=round(cost.system_s, 4),
        memory_peak_bytes=cost.memory_peak_bytes,
        bytes_stored=stored,
        bytes_read=cost.bytes_read,
        requests=requests or said.requests,
        bytes_down=said.bytes_down,
    )


def _require_equal(tool: Tool, setting: Setting) -> None:
    found = differences(setting.source, setting.restored, metadata=tool.metadata, time_step_ns=tool.time_step_ns)
    if found:
        raise BenchFailed(f"{tool.title} restored something else than {setting.dataset}:\n" + "\n".join(found))


def remove_leftovers(work: Path) -> None:
    """Unmount and remove what an interrupted run left below `work`; the data stay."""
    for name in ("probe", "mirror", "restored"):
        release(work / name)
    shutil.rmtree(work / "run", ignore_errors=True)


@contextmanager
def empty_directory(directory: Path) -> Iterator[None]:
    """Make a directory, empty, and remove it with all that was put there."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _reported(run: Run, number: int, rounds: int) -> str:
    requests = "".join(f", {count:,} {verb}" for verb, count in run.requests.items())
    down = f", {run.bytes_down / 1e9:.3f} GB down" if run.bytes_down else ""
    return (
        f"round {number + 1}/{rounds}  {run.dataset:<8} {run.tool:<12} {run.step:<10}{run.wall_s:9.2f} s"
        f"{run.cpu_s:9.2f} s CPU{run.memory_peak_bytes / 1e6:8.0f} MB{run.bytes_stored / 1e9:9.3f} GB stored"
        f"{requests}{down}"
    )
