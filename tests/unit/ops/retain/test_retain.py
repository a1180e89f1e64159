"""Judging, forgetting and taking it back: by rules and by hand, with replicas away, plans to delete and thieves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog.needs import objects_of
from farshore.catalog.snapshots import list_snapshots, resolve_snapshot
from farshore.config import RetentionConfig
from farshore.errors import KeyMissing, LeaseLost, QuorumNotReached, SnapshotUnknown, StateUnknown
from farshore.format import names
from farshore.format.lease import EndState
from farshore.format.plan import PlanState
from farshore.ops.retain import unforget as unforgetting
from farshore.ops.retain.annotate import tag_snapshots
from farshore.ops.retain.forget import ForgottenSnapshots, forget_snapshots
from farshore.ops.retain.judging import JudgedSource, judge_repository
from farshore.ops.retain.unforget import Unforgotten, list_forgotten, unforget_snapshot
from farshore.run import Run
from tests.doubles.faulty import Fault
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import Calls, break_lease, leases, put_plan, states
from tests.unit.ops.tree_source import TreeSource

DAY_S = 86_400


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    """Five snapshots, one a day."""
    tree = TreeSource(clock=engine.clock)
    for number in range(5):
        tree.file(f"{number}".encode(), random.Random(number).randbytes(20_000))
        engine.backup(tree)
        engine.clock.advance(DAY_S)
    return tree


def ids(engine: Engine) -> list[str]:
    with engine.opened() as repository:
        return [one.snapshot_id for one in list_snapshots(repository)]


def forget(engine: Engine, *snapshots: str) -> ForgottenSnapshots:
    with engine.opened() as repository:
        chosen = [resolve_snapshot(repository, one) for one in snapshots]
        return forget_snapshots(repository, chosen, reason="a test", rule="", run=Run.start(engine.clock))


def unforget(engine: Engine, snapshot: str) -> Unforgotten:
    with engine.opened() as repository:
        return unforget_snapshot(repository, snapshot, reason="a test", run=Run.start(engine.clock))


def needed_by(engine: Engine, snapshot: str) -> set[str]:
    return {one.name for one in objects_of(engine.commit_of(snapshot), engine.needs_of(snapshot))}


def judged(engine: Engine, rules: RetentionConfig, *, even_shrunken: bool = False) -> JudgedSource:
    config = replace(engine.config, retention=rules)
    with engine.opened() as repository:
        (found,) = judge_repository(repository, config, even_shrunken=even_shrunken)
        return found


def test_what_no_rule_keeps_goes_and_the_rest_restores(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    found = judged(engine, RetentionConfig(keep_daily=2))
    assert [one.snapshot_id for one in found.going] == before[:3]
    forget(engine, *before[:3])
    assert ids(engine) == before[3:]
    for replica in "abc":
        for snapshot in before[3:]:
            assert not engine.restore(snapshot, replica=replica)[0].problems
    engine.backup(source)
    assert engine.verify().clean


def test_a_source_of_its_own_rules_and_one_that_left_the_file(engine: Engine, source: TreeSource) -> None:
    """Rules go by the name of the source, whether the file still has it or not."""
    other = TreeSource(name="other", clock=engine.clock)
    other.file(b"1", b"1")
    for _ in range(3):
        engine.backup(other)
    rules = {"retention": RetentionConfig(keep_last=1), "source_retention": {"other": RetentionConfig(keep_last=2)}}
    config = replace(engine.config, **rules)  # type: ignore[arg-type]
    with engine.opened() as repository:
        found = {one.source: one for one in judge_repository(repository, config)}
        assert (len(found["home"].going), len(found["other"].going)) == (4, 1)
        assert [one.source for one in judge_repository(repository, config, sources=["other"])] == ["other"]
        with pytest.raises(SnapshotUnknown, match="a source nobody"):
            judge_repository(repository, config, sources=["nobody"])
        tried = judge_repository(repository, config, tried=RetentionConfig(keep_last=3))
        assert [len(one.going) for one in tried] == [2, 0]


def sized(engine: Engine, tree: TreeSource, entries: int, tags: Sequence[str] = ()) -> str:
    """Back up so many entries."""
    for number in range(3000):
        name = f"{number:04}".encode()
        if number < entries:
            tree.file(name, b"x")
        elif name in tree.nodes:
            tree.remove(name)
    return engine.backup(tree, tags=tags).snapshot_id


def test_a_source_that_shrank_forgets_nothing_until_somebody_looked(engine: Engine) -> None:
    """Not after more small nights either; the tag of a stolen host's own backup is nobody's look."""
    tree, rules = TreeSource(clock=engine.clock), RetentionConfig(keep_last=1)
    sized(engine, tree, 3000)
    sized(engine, tree, 3000)
    assert len(judged(engine, rules).going) == 1
    doubtful = None
    for tags in ((), ("shrunken-accepted",)):
        small = sized(engine, tree, 100, tags)
        found = judged(engine, rules)
        assert (found.stopped, found.going) == ("shrunken", ())
        doubtful = found.doubtful
        assert doubtful is not None
        assert doubtful.snapshot_id == small
    assert doubtful is not None
    assert len(judged(engine, rules, even_shrunken=True).going) == 3
    with engine.opened() as repository:
        tag_snapshots(repository, [doubtful], add=["shrunken-accepted"], remove=[], run=Run.start(engine.clock))
    assert len(judged(engine, rules).going) == 3
    sized(engine, tree, 100)
    assert len(judged(engine, rules).going) == 4, "the small one is the measure now"


def test_a_source_that_is_large_again_forgets_again(engine: Engine) -> None:
    tree, rules = TreeSource(clock=engine.clock), RetentionConfig(keep_last=1)
    for entries in (3000, 100, 3000):
        sized(engine, tree, entries)
    assert judged(engine, rules).stopped == ""


def test_the_last_proven_one_stays(engine: Engine, source: TreeSource) -> None:
    rules = RetentionConfig(keep_last=1)
    proven = ids(engine)[-1]
    assert engine.verify(percent=100.0).clean
    engine.clock.advance(DAY_S)
    for number in range(3):
        source.file(f"later-{number}".encode(), random.Random(-number).randbytes(20_000))
        engine.backup(source)
    assert proven not in {one.snapshot_id for one in judged(engine, rules).going}
    assert len(judged(engine, rules).going) == 6


def test_only_who_may_maintain_forgets(engine: Engine, source: TreeSource) -> None:
    writer = engine.at("writer", reads=False)
    credential = engine.at("writer").enroll(name="writer")
    writer.repository_config = replace(writer.repository_config, credential=Path(credential))
    before = ids(engine)
    with engine.opened() as repository:
        snapshot = resolve_snapshot(repository, before[0])
    with writer.opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="right to maintain"):
        forget_snapshots(repository, [snapshot], reason="", rule="", run=Run.start(engine.clock))
    forget(engine, before[0])
    with writer.opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="right to maintain"):
        unforget_snapshot(repository, before[0], reason="", run=Run.start(engine.clock))
    assert ids(engine) == before[1:]


def test_one_replica_that_has_the_tombstone_suffices_and_heal_brings_it(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    with engine.away("c"):
        assert "c" in forget(engine, before[0]).failed
    assert ids(engine) == before[1:]
    heal(engine)
    assert len(engine.objects("c", names.FORGOTTEN)) == 1
    with engine.away("a", "b"):
        engine.forget_cache()
        assert ids(engine) == before[1:]


def test_too_few_replicas_is_an_error(engine: Engine, source: TreeSource) -> None:
    with engine.away("b", "c"), pytest.raises(QuorumNotReached):
        forget(engine, ids(engine)[0])


def test_it_can_be_taken_back_until_a_plan_condemns(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    forget(engine, before[0])
    forget(engine, before[1])
    with Calls(engine) as calls, engine.opened() as repository:
        listed = list_forgotten(repository)
    assert "head" not in {verb for verb, _ in calls.at("a")}, "what replicas list is asked once, for all of them"
    assert [(one.snapshot, one.source, one.replicas) for one in listed] == [
        (before[0], "home", ("a", "b", "c")), (before[1], "home", ("a", "b", "c")),
    ]  # fmt: skip
    assert unforget(engine, before[0][:8]).tombstones == 1
    assert ids(engine) == [before[0], *before[2:]]
    with pytest.raises(SnapshotUnknown, match="forgotten snapshots"):
        unforget(engine, before[0])
    put_plan(engine, "a", engine.data_objects("a"))
    with pytest.raises(StateUnknown, match="condemns"):
        unforget(engine, before[1])
    assert ids(engine) == [before[0], *before[2:]]
    put_plan(engine, "a", engine.data_objects("a"), PlanState.CLOSED)
    unforget(engine, before[1])
    assert ids(engine) == before


def test_it_is_an_act_under_a_lease(engine: Engine, source: TreeSource) -> None:
    """The lease is there before plans are listed, and its end commits before the word of it is put."""
    before = ids(engine)
    forget(engine, before[0])
    known = set(leases(engine, "a"))
    with Calls(engine) as calls:
        unforget(engine, before[0])
    at_a = calls.at("a")
    (lease,) = set(leases(engine, "a")) - known
    order = [
        at_a.index(("put", f"leases/{lease}/000000")), at_a.index(("list", names.PLANS)),
        at_a.index(("put", f"leases/{lease}/end/0")),
        next(at for at, (verb, name) in enumerate(at_a) if verb == "put" and name.startswith(names.UNFORGOTTEN)),
    ]  # fmt: skip
    assert order == sorted(order)
    assert {states(engine, replica)[lease] for replica in "abc"} == {EndState.COMMITTING}


def test_a_lease_that_was_broken_takes_nothing_back(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    forget(engine, before[0])
    known = set(leases(engine, "a"))

    def break_it(_number: int, replica: str, verb: str, name: str) -> Fault | None:
        new = set(leases(engine, "a")) - known
        if (replica, verb, name) == ("a", "list", names.PLANS) and new:
            break_lease(engine, "a", new.pop())
        return None

    with Calls(engine, break_it), pytest.raises(LeaseLost):
        unforget(engine, before[0])
    assert ids(engine) == before[1:]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: what plans condemn is not looked at."""
    monkeypatch.setattr(unforgetting, "read_condemned", lambda *_: frozenset())


@pytest.mark.usefixtures("hasty")
def test_without_looking_at_plans_a_snapshot_counts_whose_objects_go(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    forget(engine, before[0])
    put_plan(engine, "a", engine.data_objects("a"))
    unforget(engine, before[0])
    assert before[0] in ids(engine)


def test_a_forgotten_snapshot_is_not_checked_nor_missed(engine: Engine, source: TreeSource) -> None:
    """What it alone needs may go at any moment."""
    before = ids(engine)
    alone = needed_by(engine, before[0]) - {name for one in before[1:] for name in needed_by(engine, one)}
    forget(engine, before[0])
    assert alone
    for name in alone:
        engine.lose("a", name)
    result = engine.verify()
    assert (result.clean, result.snapshots) == (True, 4)
