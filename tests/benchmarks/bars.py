"""What the bench must reach, as statements that are computed from results. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.results import Results, Run
from tests.benchmarks.tools import (
    CHANGED,
    FIRST,
    HELP,
    LIST,
    READ,
    READ_DISK,
    RESTORE,
    SNAPSHOTS,
    UNCHANGED,
    VERIFY,
)

MEMORY_BYTES_MAX = 300e6
FILES_PER_S_MIN = 100_000
STORED_CHANGE_FACTOR_MAX = 1.15
READ_FACTOR_MAX = 1.1  # one read of the source; what is read back of each replica is small
HELP_S_MAX = 0.15
LIST_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar: what was measured, what is wanted, and whether it is reached."""

    case: str
    measured: str
    wanted: str
    reached: bool


@dataclass(frozen=True, slots=True)
class _Speed:
    """Farshore is `times` as fast as another tool, or takes at most 1 / `times` of its time."""

    dataset: str
    step: str
    other: str
    times: float
    tool: str = "farshore"
    other_step: str = ""


_TITLES = {"restic": "restic", "borg": "Borg", "farshore": "one replica", "cp": "`cp -a`", "read": "reading the image"}
_STEPS = {
    FIRST: "first backup",
    UNCHANGED: "unchanged backup",
    CHANGED: "1 % of pages changed",
    VERIFY: "verify with data",
    RESTORE: "restore",
}
_SPEEDS = (
    _Speed("image", FIRST, "restic", 3),
    _Speed("image", FIRST, "borg", 2),
    _Speed("tree", FIRST, "restic", 3),
    _Speed("tree", FIRST, "borg", 3),
    _Speed("tree", FIRST, "farshore", 1 / 1.3, tool="farshore-3"),
    _Speed("image", FIRST, "farshore", 1 / 1.3, tool="farshore-3"),
    _Speed("tree", UNCHANGED, "restic", 4),
    _Speed("image", CHANGED, "read", 1, other_step=READ),
    _Speed("image", CHANGED, "read", 1, other_step=READ_DISK),
    _Speed("image", RESTORE, "restic", 2),
    _Speed("tree", RESTORE, "cp", 1 / 1.2),
    _Speed("tree", VERIFY, "restic", 2),
    _Speed("image", VERIFY, "restic", 2),
)


def verdicts(results: Results) -> list[Verdict]:
    """Return the verdict on each bar whose runs are there."""
    return [
        *_speeds(results),
        *_read_once(results),
        *_scanned(results),
        *_stored(results),
        *_memory(results),
        *_startup(results),
    ]


def _wall(run: Run) -> float:
    return run.wall_s


def _speeds(results: Results) -> Iterator[Verdict]:
    for bar in _SPEEDS:
        other = (bar.other, bar.dataset, bar.other_step or bar.step)
        ratio = results.times_longer(other, (bar.tool, bar.dataset, bar.step))
        if ratio is None:
            continue
        against = _TITLES[bar.other] + {READ: " from the cache", READ_DISK: " from the disk"}.get(bar.other_step, "")
        case = f"{_STEPS[bar.step]}, {bar.dataset}, against {against}"
        if bar.tool == "farshore-3":
            case = f"{_STEPS[bar.step]}, {bar.dataset}, three replicas against one"
        if bar.times > 1:
            yield Verdict(case, f"{ratio:.2f} times as fast", f"at least {bar.times:g}", ratio >= bar.times)
        else:
            most = 1 / bar.times
            yield Verdict(case, f"{1 / ratio:.2f} times the time", f"at most {most:g}", 1 / ratio <= most)


def _read_once(results: Results) -> Iterator[Verdict]:
    for dataset in ("tree", "image"):
        one, three = (
            results.median(tool, dataset, FIRST, lambda run: run.bytes_read) for tool in ("farshore", "farshore-3")
        )
        if one and three:
            case = f"first backup, {dataset}, all bytes read for three replicas against one"
            wanted = f"at most {READ_FACTOR_MAX}"
            yield Verdict(case, f"{three / one:.2f} times", wanted, three / one <= READ_FACTOR_MAX)


def _scanned(results: Results) -> Iterator[Verdict]:
    wall_s = results.median("farshore", "tree", UNCHANGED, _wall)
    if wall_s:
        pace = results.facts.tree_files / wall_s
        case = "unchanged backup, tree, files looked at in a second"
        yield Verdict(case, f"{pace:,.0f}", f"at least {FILES_PER_S_MIN:,}", pace >= FILES_PER_S_MIN)


def _stored(results: Results) -> Iterator[Verdict]:
    before = {run.round: run.bytes_stored for run in results.of("farshore", "image", UNCHANGED)}
    after = {run.round: run.bytes_stored for run in results.of("farshore", "image", CHANGED)}
    more = results.median_of([after[number] - before[number] for number in before.keys() & after.keys()])
    if more is not None:
        factor = more / results.facts.changed_bytes_zstd
        case = "1 % of pages changed, bytes stored against the changed pages compressed"
        wanted = f"at most {STORED_CHANGE_FACTOR_MAX}"
        yield Verdict(case, f"{factor:.2f} times", wanted, factor <= STORED_CHANGE_FACTOR_MAX)
    for dataset, step in (("tree", UNCHANGED), ("image", CHANGED), ("noise", UNCHANGED)):
        sizes = {
            tool: size
            for tool in ("farshore", "restic", "borg")
            if (size := results.median(tool, dataset, step, lambda run: run.bytes_stored)) is not None
        }
        ours = sizes.pop("farshore", None)
        if ours is not None and sizes:
            least = min(sizes, key=lambda tool: sizes[tool])
            case = f"bytes stored after all backups, {dataset}, against the smallest peer ({_TITLES[least]})"
            yield Verdict(case, f"{ours / sizes[least]:.3f} times", "at most 1", ours <= sizes[least])


def _memory(results: Results) -> Iterator[Verdict]:
    for tool, title in (("farshore", "one replica"), ("farshore-3", "three replicas"), ("farshore-s3", "S3")):
        runs = [run for run in results.runs if run.tool == tool]
        if runs:
            worst = max(runs, key=lambda run: run.memory_peak_bytes)
            measured = f"{worst.memory_peak_bytes / 1e6:.0f} MB ({_STEPS.get(worst.step, worst.step)}, {worst.dataset})"
            wanted = f"at most {MEMORY_BYTES_MAX / 1e6:.0f} MB"
            yield Verdict(f"highest memory, {title}", measured, wanted, worst.memory_peak_bytes <= MEMORY_BYTES_MAX)


def _startup(results: Results) -> Iterator[Verdict]:
    snapshots = max(20, int(1000 * results.facts.scale))
    for step, title, most in (
        (HELP, "`farshore --help`", HELP_S_MAX),
        (LIST, f"`farshore snapshots`, {snapshots:,} snapshots, nothing cached", LIST_S_MAX),
    ):
        wall_s = results.median("farshore", SNAPSHOTS, step, _wall)
        if wall_s is not None:
            yield Verdict(title, f"{wall_s:.3f} s", f"under {most:g} s", wall_s < most)
