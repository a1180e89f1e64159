"""O1, O3, O4, O5: a writer that would reuse what goes is suspended at each of its steps, while a whole prune runs.

And the mutants: each rule that is left out loses a snapshot at some step.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.format import names
from farshore.ops.backup import lease_steps
from farshore.ops.prune import prune_replica as pruning
from farshore.ops.prune.leases import settle_leases
from farshore.ops.prune.outcome import PruneResult
from farshore.ops.prune.roots import RootReader
from tests.doubles.faulty import Fault
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import Calls, lacking
from tests.unit.ops.prune.prune_world import content, forget, grown, ids, prune, states
from tests.unit.ops.templates import Template
from tests.unit.ops.tree_source import TreeSource

HOUR_S = 3600
Mutant = Callable[[pytest.MonkeyPatch], None]
STEPS = ("leases/", "plans/", "packs/", "runs/", "end", "snapshots/")  # W1 to W7, and the listing before


def alone(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls("a"), quorum=1)


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A repository whose first snapshot, of a file that comes back, is forgotten."""
    engine = alone(tmp_path_factory.mktemp("forgotten")).initialize()
    grown(engine, 2)
    forget(engine, ids(engine)[0])
    return engine.template()


def is_step(step: str, verb: str, name: str) -> bool:
    if step in ("plans/", "packs/"):
        return (verb, name) == ("list", step)
    if step == "end":
        return verb == "put" and "/end/" in name
    return verb == "put" and name.startswith(step)


def race(engine: Engine, step: str, *, dead: bool) -> tuple[PruneResult, bool]:
    """Run a backup that a whole prune interrupts before its first call of a kind; return the prune's result.

    And whether the backup committed.

    Args:
        dead: The writer is silent for so long that its lease may be broken; else the prune has to wait for it.
    """
    tree = TreeSource(clock=engine.clock)
    tree.file(b"back", content(0))
    found: list[PruneResult] = []
    running = False

    def interrupt(_call: int, _replica: str, verb: str, name: str) -> Fault | None:
        nonlocal running
        if not found and not running and is_step(step, verb, name):
            running = True
            if dead:
                engine.clock.advance(HOUR_S)
            found.append(prune(engine, even_last=True, max_time=timedelta(seconds=30)))
        return None

    committed = True
    with Calls(engine, interrupt):
        try:
            engine.backup(tree)
        except FarshoreError:
            committed = False
    (result,) = found
    return result, committed


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dead", [True, False], ids=["silent", "alive"])
def test_a_writer_commits_whole_or_not_at_all(forgotten: Template, tmp_path: Path, step: str, *, dead: bool) -> None:
    engine = alone(tmp_path / "engine").begin_with(forgotten)
    result, committed = race(engine, step, dead=dead)
    before_lease = step == "leases/"
    assert states(result) == {"a": "pruned" if dead or before_lease or step == "snapshots/" else "waiting"}
    if not dead:
        assert committed
    assert not lacking(engine)
    assert set(states(prune(engine, even_last=True)).values()) <= {"pruned", "clean"}
    assert not lacking(engine)
    assert len(ids(engine)) == 1 + committed
    assert engine.verify().clean


def test_who_is_waited_for_is_named(forgotten: Template, tmp_path: Path) -> None:
    """O12: a lease that beats for ever is named, and not waited for in silence."""
    engine = alone(tmp_path / "engine").begin_with(forgotten)
    result, _ = race(engine, "plans/", dead=False)
    (waits,) = result.replicas[0].waits_for
    assert engine.objects("a", f"{names.LEASES}{waits.lease}/")
    assert waits.signer


PRUNE_STEPS = {
    "P1": ("put", "plans/1/open"),
    "P4": ("put", "plans/1/condemned"),
    "P5": ("get", "plans/1/condemned"),  # it is read back once it was put
    "P7 commits": ("delete", "snapshots/"),
    "P7 packs": ("delete", "packs/"),
    "P7 keys": ("delete", "keys/"),
    "P8": ("put", "plans/1/closed"),
}


def interrupted_prune(engine: Engine, step: str) -> PruneResult:
    """Run a prune that a whole backup interrupts before its first call of a kind."""
    tree = TreeSource(clock=engine.clock)
    tree.file(b"back", content(0))
    verb_at, name_at = PRUNE_STEPS[step]
    begun = False

    def interrupt(_call: int, _replica: str, verb: str, name: str) -> Fault | None:
        nonlocal begun
        if not begun and verb == verb_at and name.startswith(name_at):
            begun = True
            engine.backup(tree)
        return None

    with Calls(engine, interrupt):
        result = prune(engine, even_last=True)
    assert begun
    return result


@pytest.mark.parametrize("step", PRUNE_STEPS)
def test_a_backup_between_two_steps_of_a_prune(forgotten: Template, tmp_path: Path, step: str) -> None:
    engine = alone(tmp_path / "engine").begin_with(forgotten)
    result = interrupted_prune(engine, step)
    assert states(result) == {"a": "pruned"}
    assert (result.replicas[0].rescued > 0) == (step in ("P1", "P4"))
    assert not lacking(engine)
    assert len(ids(engine)) == 2
    assert engine.verify().clean


# --- mutants ----------------------------------------------------------------------------------------------------------


def settles_nothing(_repository: object, _replica: object, known: object, **_: object) -> object:
    return list(known), ()  # type: ignore[call-overload]


def waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "settle_leases", settles_nothing)


def marks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RootReader, "read_again", lambda self, _leases: self.roots)


def writers_ignore_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_steps, "read_condemned", lambda *_: frozenset())


def lists_leases_before_it_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are settled before the plan condemns; those of writers that read plans in between are not seen."""
    real = settle_leases
    monkeypatch.setattr(pruning, "settle_leases", settles_nothing)
    publish = pruning.ReplicaPrune._publish  # noqa: SLF001 - the order of its steps is what the mutant changes

    def settle_first(self: pruning.ReplicaPrune, *planned: object) -> object:
        real(self._repository, self._replica, [], over=lambda: True, waiting=lambda _: None)
        return publish(self, *planned)  # type: ignore[arg-type]

    monkeypatch.setattr(pruning.ReplicaPrune, "_publish", settle_first)


@pytest.mark.parametrize(
    ("mutant", "step"),
    [
        (waits_for_nobody, "end"), (marks_once, "P4"), (writers_ignore_plans, "P7 packs"),
        (lists_leases_before_it_publishes, "end"),
    ],
)  # fmt: skip
def test_a_rule_that_is_left_out_loses_a_snapshot(
    forgotten: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: Mutant, step: str
) -> None:
    mutant(monkeypatch)
    engine = alone(tmp_path / "engine").begin_with(forgotten)
    if step in STEPS:
        race(engine, step, dead=False)
        prune(engine, even_last=True)
    else:
        interrupted_prune(engine, step)
    assert lacking(engine)
