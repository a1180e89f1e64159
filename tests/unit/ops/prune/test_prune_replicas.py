"""Several replicas, several prunes, heals and unforgets: O6, O10, O12, and stores of other kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.clock import SystemClock
from farshore.errors import FarshoreError
from farshore.format import names
from farshore.ops.prune.outcome import PruneOptions
from farshore.ops.prune.prune import prune_repository
from farshore.ops.retain.unforget import unforget_snapshot
from farshore.repair.withholding import Withholding
from farshore.replicas.lease_holder import LeaseHolder
from farshore.replicas.plans import read_condemned
from farshore.run import Run
from farshore.stores.base import Body, ObjectInfo, PutOutcome
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import WrappingStore
from tests.doubles.faulty import FAIL, Fault
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import Calls, lacking
from tests.unit.ops.prune.prune_world import (
    DAY_S,
    content,
    everything,
    forget,
    ids,
    needed_by,
    prune,
    states,
    with_snapshots,
)  # fmt: skip
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Three snapshots at three replicas."""
    return with_snapshots(tmp_path / "everywhere", 3, "abc")


@pytest.fixture
def alone(tmp_path: Path) -> Engine:
    """Three snapshots at one replica."""
    return with_snapshots(tmp_path / "alone", 3)


def test_a_heal_brings_no_garbage_back(engine: Engine) -> None:
    first, *kept = ids(engine)
    forget(engine, first)
    assert set(states(prune(engine, even_last=True, replica="a")).values()) == {"pruned"}
    wanted = {name for one in kept for name in needed_by(engine, one)}
    result = heal(engine)
    assert everything(engine, "a") == wanted
    assert all(one.state == "level" for one in result.replicas)
    assert everything(engine, "b") > wanted


def test_without_that_rule_it_does(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Withholding, "from_replica", lambda *_: set())
    first, *kept = ids(engine)
    forget(engine, first)
    prune(engine, even_last=True, replica="a")
    heal(engine)
    assert everything(engine, "a") > {name for one in kept for name in needed_by(engine, one)}


def test_forgotten_stays_forgotten_at_a_replica_that_was_away_for_weeks(engine: Engine) -> None:
    """O10: and all garbage goes in the end (O12)."""
    first, *kept = ids(engine)
    with engine.away("c"):
        forget(engine, first)
        found = prune(engine, even_last=True)
        assert states(found) == {"a": "pruned", "b": "pruned", "c": "failed"}
        engine.clock.advance(30 * DAY_S)
    heal(engine)
    wanted = {name for one in kept for name in needed_by(engine, one)}
    assert ids(engine) == kept
    assert everything(engine, "a") == everything(engine, "b") == wanted
    assert states(prune(engine, even_last=True)) == {"a": "clean", "b": "clean", "c": "pruned"}
    assert everything(engine, "c") == wanted
    heal(engine)
    assert everything(engine, "a") == wanted
    assert engine.verify().clean


def test_a_replica_that_lacks_a_snapshot_keeps_what_a_heal_would_bring(engine: Engine) -> None:
    first, second, third = ids(engine)
    forget(engine, first)
    commit = engine.object_of(second, "commit")
    engine.lose("c", commit)
    for name in list(engine.objects("c", names.LEASES)):
        engine.lose("c", name)
    assert states(prune(engine, even_last=True, replica="c")) == {"c": "pruned"}
    assert everything(engine, "c") | {commit} == needed_by(engine, second) | needed_by(engine, third)


STEPS = [
    ("put", "plans/1/open"), ("put", "plans/1/condemned"), ("get", "plans/1/condemned"), ("delete", "snapshots/"),
    ("delete", "packs/"), ("delete", "runs/"), ("put", "plans/1/closed"),
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=" ".join)
def test_two_prunes_share_a_plan(alone: Engine, step: tuple[str, str]) -> None:
    """A second prune runs from its beginning to its end before one call of the first."""
    first, *kept = ids(alone)
    forget(alone, first)
    begun = False

    def interrupt(_call: int, _replica: str, verb: str, name: str) -> Fault | None:
        nonlocal begun
        if not begun and verb == step[0] and name.startswith(step[1]):
            begun = True
            assert states(prune(alone, even_last=True))["a"] in ("pruned", "clean")
        return None

    with Calls(alone, interrupt):
        result = prune(alone, even_last=True)
    assert begun
    assert states(result)["a"] in ("pruned", "clean"), result
    assert everything(alone, "a") == {name for one in kept for name in needed_by(alone, one)}
    assert not lacking(alone)
    with alone.opened() as repository:
        assert not read_condemned(repository, repository.replicas["a"])


def unforget_that_dies(engine: Engine, snapshot: str) -> None:
    """Take a tombstone back, and die between the end of the lease and the word of it."""

    def die(_call: int, _replica: str, verb: str, name: str) -> Fault | None:
        return FAIL if verb == "put" and name.startswith(names.UNFORGOTTEN) else None

    with Calls(engine, die), engine.opened() as repository, pytest.raises(FarshoreError):
        unforget_snapshot(repository, snapshot, reason="a test", run=Run.start(engine.clock))


def names_no_tombstones(monkeypatch: pytest.MonkeyPatch) -> None:
    real = LeaseHolder.commit

    def commit(self: LeaseHolder, replica: str, commit: bytes = b"", copies: Sequence[str] = ()) -> None:
        real(self, replica, commit, copies[:1])

    monkeypatch.setattr(LeaseHolder, "commit", commit)


@pytest.mark.parametrize("mutant", [False, True], ids=["protocol", "mutant"])
def test_an_unforget_that_was_decided_holds_though_its_word_was_not_put(
    alone: Engine, monkeypatch: pytest.MonkeyPatch, *, mutant: bool
) -> None:
    """It may be put at any time; a tombstone that is put later counts."""
    first = ids(alone)[0]
    needed = needed_by(alone, first)
    forget(alone, first)
    if mutant:
        names_no_tombstones(monkeypatch)
    unforget_that_dies(alone, first)
    prune(alone, even_last=True)
    assert (needed <= everything(alone, "a")) != mutant
    if mutant:
        return
    with alone.opened() as repository:
        unforget_snapshot(repository, first, reason="a test", run=Run.start(alone.clock))
    assert not lacking(alone)
    assert not alone.restore(first)[0].problems
    forget(alone, first)
    assert states(prune(alone, even_last=True)) == {"a": "pruned"}
    assert first not in ids(alone)


def test_what_a_heal_decided_to_put_is_a_root_before_it_is_put(engine: Engine) -> None:
    first, second, _ = ids(engine)
    needed, commit = needed_by(engine, second), engine.object_of(second, "commit")
    forget(engine, first)
    for name in [commit, *engine.objects("c", names.LEASES)]:
        engine.lose("c", name)

    def die(_call: int, replica: str, verb: str, name: str) -> Fault | None:
        return FAIL if (replica, verb) == ("c", "put") and name == commit else None

    with Calls(engine, die):
        heal(engine)
    assert commit not in engine.objects("c")
    with engine.away("a", "b"):
        (found,) = prune(engine, even_last=True, replica="c").replicas
        assert "no replica shows now" in found.error
    assert states(prune(engine, even_last=True, replica="c")) == {"c": "pruned"}
    assert needed <= everything(engine, "c") | {commit}


class Nameless(WrappingStore):
    """A store that cannot say which object of a name it has, as S3 without versions."""

    def head(self, name: str) -> ObjectInfo:
        return replace(super().head(name), seen="")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (replace(info, seen="") for info in super().list(prefix))


def test_where_objects_of_one_name_are_not_told_apart_writers_keep_off_for_a_day(alone: Engine) -> None:
    first, *kept = ids(alone)
    gone = needed_by(alone, first) - {name for one in kept for name in needed_by(alone, one)}
    forget(alone, first)
    alone.wrap = lambda _, store: Nameless(store)
    assert states(prune(alone, even_last=True)) == {"a": "pruned"}
    assert not gone & everything(alone, "a")
    with alone.opened() as repository:
        assert gone <= read_condemned(repository, repository.replicas["a"])
    alone.clock.advance(limits.PLAN_QUIET_S + 1)
    with alone.opened() as repository:
        assert not read_condemned(repository, repository.replicas["a"])


def test_a_store_that_takes_two_objects_under_one_name_is_left_alone(alone: Engine) -> None:
    """O2."""

    class Replacing(WrappingStore):
        def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
            if name.startswith("probe/") and name in alone.objects("a"):
                alone.lose("a", name)
            return super().put(name, body, retention)

    forget(alone, ids(alone)[0])
    before = everything(alone, "a")
    alone.wrap = lambda _, store: Replacing(store)
    (found,) = prune(alone, even_last=True).replicas
    assert found.error_code == "store-unsafe"
    assert everything(alone, "a") == before


def test_a_directory_keeps_what_went_in_its_trash(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in "ab"}
    for place in places.values():
        place.mkdir()
    clock = StillClock(moment_utc=SystemClock().now_utc())
    urls = {name: place.as_uri() for name, place in places.items()}
    engine = Engine(tmp_path / "engine", clock=clock, urls=urls).initialize()
    tree = TreeSource(clock=clock)
    for number in range(2):
        tree.file(b"one", content(number))
        engine.backup(tree)
    first, second = ids(engine)
    forget(engine, first)
    options = PruneOptions(grace=timedelta(minutes=-10), even_last=True)  # the stores' clock goes on, and ours is still
    with engine.opened(Need.READ) as repository:
        result = prune_repository(repository, options, Run.start(engine.clock))
    assert set(states(result).values()) == {"pruned"}
    for one in result.replicas:
        assert one.trash.objects > 4
        assert one.trash.bytes > 20_000
    assert len([path for path in (places["a"] / "packs").rglob("*") if path.is_file()]) == 1
    with engine.opened(Need.READ) as repository:
        emptied = prune_repository(repository, replace(options, empty_trash=True), Run.start(engine.clock))
    assert {one.trash.objects for one in emptied.replicas} == {0}
    assert not engine.restore(second, replica="a")[0].problems


def test_more_packs_than_a_plan_holds_go_by_the_next(alone: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = ids(alone)
    forget(alone, first, second)
    monkeypatch.setattr(limits, "PLAN_PACKS_MAX", 1)
    options = {"even_last": True, "delete_max": None}
    assert states(prune(alone, **options)) == {"a": "pruned"}
    keys = [name for name in everything(alone, "a") if name.startswith(names.DATA_KEYS)]
    packs = [name for name in everything(alone, "a") if name.startswith(names.PACKS)]
    assert (len(packs), len(keys) >= 2) == (2, True)  # a key stays as long as a pack that it opens
    assert states(prune(alone, **options)) == {"a": "pruned"}
    assert everything(alone, "a") == needed_by(alone, third)
