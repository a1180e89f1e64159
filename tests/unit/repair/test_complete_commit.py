"""A snapshot below its quorum is completed by the next attempt at the same backup, which makes no second one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.errors import BackupRunning, FarshoreError, QuorumNotReached
from farshore.format import names
from farshore.format.lease import EndState
from farshore.ops.backup import attempt
from farshore.repair import copy_lease
from tests.doubles.faulty import DENY, FAIL, Fault
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import Calls, end_of, forget, lacking, leases, put_plan
from tests.unit.ops.tree_source import TreeSource

TONIGHT = "tonight"
_OF_SNAPSHOTS = (names.PACKS, names.RUNS, names.DATA_KEYS, names.FRAGMENTS)
FaultAt = Callable[[int, str, str, str], Fault | None]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls("a", "b", "c"), quorum=2).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    source = TreeSource(clock=engine.clock)
    source.file(b"old", b"old" * 30_000)
    engine.backup(source)
    source.file(b"new", b"new" * 30_000)
    return source


def undecided(*replicas: str) -> FaultAt:
    """Replicas go away right before a run decides there."""

    def fault(_at: int, replica: str, verb: str, name: str) -> Fault | None:
        return FAIL if replica in replicas and verb == "put" and "/end/" in name else None

    return fault


def below_quorum(engine: Engine, source: TreeSource) -> str:
    """Back up so that replica a alone holds the snapshot; return the name of its commit.

    Replica b has lost what was uploaded for it.
    """
    before = set(engine.objects("a"))
    with Calls(engine, undecided("b", "c")), pytest.raises(QuorumNotReached):
        engine.backup(source, identity=TONIGHT)
    (name,) = set(engine.objects("a", names.SNAPSHOTS)) - before
    made = set(engine.objects("a")) - before
    lose(engine, "b", [one for one in engine.objects("b") if one in made and one.startswith(_OF_SNAPSHOTS)])
    assert name not in engine.objects("b")
    assert name not in engine.objects("c")
    engine.clock.advance(limits.LEASE_S + limits.CLOCK_SKEW_S_MAX)
    return name


def lose(engine: Engine, replica: str, lost: Iterable[str]) -> None:
    for name in list(lost):
        engine.lose(replica, name)


def commits(engine: Engine, replica: str) -> set[str]:
    return set(engine.objects(replica, names.SNAPSHOTS))


def restores_everywhere(engine: Engine, snapshot: str) -> None:
    for replica in engine.urls:
        engine.forget_cache()
        assert engine.restore(snapshot, replica=replica)[1][b"new"] == b"new" * 30_000


def test_the_next_attempt_completes_it_and_makes_no_second_one(engine: Engine, source: TreeSource) -> None:
    name = below_quorum(engine, source)
    stored = engine.objects("a")[name]
    source.file(b"new", b"changed since")
    again = engine.backup(source, identity=TONIGHT)
    assert again.already_done
    assert all(one.committed for one in again.replicas)
    assert {engine.objects(one)[name] for one in "abc"} == {stored}, "it is the commit of its writer, byte for byte"
    assert len(commits(engine, "a")) == 2
    assert not lacking(engine)
    parsed = names.parse_commit(name)
    assert parsed is not None
    restores_everywhere(engine, parsed.snapshot_id)
    assert engine.backup(source, identity="tomorrow").counts.bytes_new, "the next night is another backup"


def test_without_completing_there_are_two_of_one_night(
    engine: Engine, source: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the next attempt makes the backup again."""
    below_quorum(engine, source)
    monkeypatch.setattr(attempt, "_completed", lambda _repository, _commit, holders, *_: holders)
    engine.backup(source, identity=TONIGHT)
    assert len(commits(engine, "a")) == 3


def test_one_replica_is_enough_for_the_quorum_and_the_other_follows_by_heal(engine: Engine, source: TreeSource) -> None:
    name = below_quorum(engine, source)
    with engine.away("c"):
        again = engine.backup(source, identity=TONIGHT)
    assert {one.replica for one in again.replicas if one.committed} == {"a", "b"}
    assert name not in engine.objects("c")
    heal(engine)
    assert name in engine.objects("c")


def test_a_heal_completes_it_too(engine: Engine, source: TreeSource) -> None:
    name = below_quorum(engine, source)
    heal(engine)
    assert all(name in engine.objects(one) for one in "abc")
    assert engine.backup(source, identity=TONIGHT).already_done


def test_the_steps_have_the_order_that_protects_from_deletion(engine: Engine, source: TreeSource) -> None:
    name = below_quorum(engine, source)
    before = leases(engine, "b")
    with Calls(engine) as seen:
        engine.backup(source, identity=TONIGHT)
    (lease,) = leases(engine, "b").keys() - before.keys()
    end = end_of(engine, "b", lease)
    assert (end.state, end.commits) == (EndState.COMMITTING, (name[-64:],))
    calls = seen.at("b")
    beat, decided, commit = (
        calls.index(("put", one)) for one in (names.lease_beat(lease, 0), names.lease_end(lease, 0), name)
    )
    plans = calls.index(("list", names.PLANS), beat)
    puts = [at for at, (verb, one) in enumerate(calls) if verb == "put" and one.startswith((names.PACKS, names.RUNS))]
    assert beat < plans < min(puts)
    assert max(puts) < decided < commit
    assert ("get", name) in calls[commit:]


def test_where_the_others_are_still_away_it_waits_and_makes_no_new_one(engine: Engine, source: TreeSource) -> None:
    below_quorum(engine, source)
    for fault in (FAIL, DENY):

        def refused(_at: int, replica: str, verb: str, _name: str, fault: Fault = fault) -> Fault | None:
            return fault if replica in ("b", "c") and verb == "put" else None

        with Calls(engine, refused), pytest.raises(QuorumNotReached, match="hold this snapshot"):
            engine.backup(source, identity=TONIGHT)
    assert len(commits(engine, "a")) == 2
    assert engine.backup(source, identity=TONIGHT).already_done


@pytest.mark.parametrize("rule", ["kept", "mutant"])
def test_what_cannot_be_completed_keeps_nobody_from_a_backup(
    engine: Engine, source: TreeSource, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans at the other replicas condemn what it needs; as a mutant they are not looked at."""
    if rule == "mutant":
        monkeypatch.setattr(copy_lease, "read_condemned", lambda *_: frozenset())
    name = below_quorum(engine, source)
    (pack,) = set(engine.objects("a", names.PACKS)) - set(engine.objects("b", names.PACKS))
    for one in ("b", "c"):
        put_plan(engine, one, [pack])
    made = engine.backup(source, identity=TONIGHT)
    assert made.already_done == (rule == "mutant")
    assert (pack in engine.objects("b")) == (rule == "mutant")
    assert (name in engine.objects("b")) == (rule == "mutant")
    assert not lacking(engine)


def test_a_forgotten_one_is_not_completed(engine: Engine, source: TreeSource) -> None:
    name = below_quorum(engine, source)
    parsed = names.parse_commit(name)
    assert parsed is not None
    forget(engine, "b", parsed.snapshot_id)
    assert not engine.backup(source, identity=TONIGHT).already_done
    assert name not in engine.objects("b")


def test_a_run_that_is_still_at_work_is_left_to_it(engine: Engine, source: TreeSource) -> None:
    def meanwhile(_at: int, replica: str, verb: str, name: str) -> Fault | None:
        if (replica, verb) == ("b", "put") and "/end/" in name and not tried:
            tried.append(name)
            with pytest.raises(BackupRunning):
                other.backup(source, identity=TONIGHT)
        return FAIL if replica in ("b", "c") and verb == "put" and "/end/" in name else None

    tried: list[str] = []
    other = engine.at("other")
    with Calls(engine, meanwhile), pytest.raises(QuorumNotReached):
        engine.backup(source, identity=TONIGHT)
    assert tried


def test_killed_at_every_call_of_completing_nothing_is_lost_and_the_next_one_goes_on(
    engine: Engine, source: TreeSource
) -> None:
    """O8. After each kill all that is listed is whole, and in the end there is one snapshot of that night."""
    below_quorum(engine, source)
    shelves = {one: dict(engine.shelf(one).objects) for one in "abc"}
    for at in itertools.count(1, 3):
        for one, objects in shelves.items():
            engine.shelf(one).objects.clear()
            engine.shelf(one).objects.update(objects)
        with Calls(engine, dies_at(at)):
            try:
                engine.backup(source, identity=TONIGHT)
            except FarshoreError:
                killed = True
            else:
                killed = False
        assert not lacking(engine), at
        engine.clock.advance(limits.LEASE_S + limits.CLOCK_SKEW_S_MAX)
        assert engine.backup(source, identity=TONIGHT).already_done, at
        assert not lacking(engine), at
        assert len(commits(engine, "a")) == 2, at
        if not killed:
            break
    assert at > 9


def dies_at(number: int) -> FaultAt:
    """A process is killed at a call, counted from the first beat of a lease."""
    since: list[str] = []

    def fault(_at: int, _replica: str, verb: str, name: str) -> Fault | None:
        if since or (verb == "put" and name.startswith(names.LEASES)):
            since.append(name)
        return FAIL if len(since) > number else None

    return fault


def test_a_completing_process_needs_no_key_that_reads(engine: Engine, source: TreeSource) -> None:
    below_quorum(engine, source)
    assert engine.backup(source, identity=TONIGHT, need=Need.WRITE).already_done
