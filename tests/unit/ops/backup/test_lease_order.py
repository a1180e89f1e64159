"""Steps W0 to W7 of a run, and whoever finishes what it began. The rules are those of tests/models/prune."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog.condemned import refuse_condemned
from farshore.catalog.finish_commits import finish_commits
from farshore.errors import BackupRunning, QuorumNotReached, StateUnknown
from farshore.format import names
from farshore.format.lease import EndState
from farshore.format.plan import PlanState
from farshore.ops.backup.backup import run_backup
from farshore.ops.setup.enroll import enroll
from farshore.run import Run
from farshore.signing import generate_signing_key
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import (
    Calls,
    break_lease,
    end_of,
    killed_before_w7,
    lacking,
    leases,
    put,
    put_plan,
    revoke,
    states,
)
from tests.unit.ops.tree_source import TreeSource

REPLICAS = ("a", "b")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls(*REPLICAS), quorum=2).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", b"the first file" * 50)
    tree.file(b"two", b"the second file" * 50)
    return tree


def first(calls: list[tuple[str, str]], verb: str, prefix: str) -> int:
    return next(at for at, (called, name) in enumerate(calls) if called == verb and name.startswith(prefix))


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
def test_a_run_writes_its_steps_in_the_order_that_protects_it(engine: Engine, source: TreeSource, *, far: bool) -> None:
    """W1 before W2, W2 before what is reused is listed, all objects before W6, W6 before W7."""
    engine.backup(source, need=Need.READ)
    source.file(b"more", b"more")
    with Calls(engine, far=far) as seen:
        engine.backup(source, need=Need.READ)
    for replica in REPLICAS:
        calls = seen.at(replica)
        beat, plans = first(calls, "put", "leases/"), first(calls, "list", "plans/")
        packs, pack = first(calls, "list", "packs/"), first(calls, "put", "packs/")
        commit = first(calls, "put", "snapshots/")
        end = next(at for at, (verb, name) in enumerate(calls) if verb == "put" and "/end/" in name)
        assert beat < plans < packs < pack < end < commit
        objects = [at for at, (verb, name) in enumerate(calls) if verb == "put" and name.startswith(("packs", "runs"))]
        assert max(objects) < end
        assert [name for verb, name in calls[commit:] if verb == "get" and name.startswith("snapshots/")]


def test_the_log_is_there_before_the_first_lease(engine: Engine, source: TreeSource) -> None:
    """W0: whoever reads the lease has to know who signed it."""
    for name in engine.objects("b", names.LOG):
        engine.lose("b", name)
    with Calls(engine) as seen:
        engine.backup(source)
    calls = seen.at("b")
    assert first(calls, "put", names.LOG) < first(calls, "put", names.LEASES)
    assert engine.objects("b", names.LOG) == engine.objects("a", names.LOG)


def test_the_end_of_the_lease_holds_the_commit_as_it_is_stored(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    (lease,) = leases(engine, "a")
    end = end_of(engine, "a", lease)
    assert end.state == EndState.COMMITTING
    assert [end.commit] == list(engine.objects("a", names.SNAPSHOTS).values())


def test_a_run_that_fails_ends_its_lease(engine: Engine, source: TreeSource) -> None:
    source.finish_error = StateUnknown("any error")
    with pytest.raises(StateUnknown):
        engine.backup(source)
    assert list(states(engine, "a").values()) == [EndState.ENDED]


# --- plans: what is condemned counts as absent ---------------------------------------------------------------------


def packs(engine: Engine, replica: str = "a") -> set[str]:
    return set(engine.objects(replica, names.PACKS))


@pytest.mark.parametrize("state", [None, PlanState.ABANDONED], ids=["open", "abandoned"])
def test_a_condemned_pack_is_not_reused_even_for_what_did_not_change(
    engine: Engine, source: TreeSource, state: PlanState | None
) -> None:
    """Mutants "writers ignore plans" and "an abandoned plan no longer condemns". The plan is at one replica only."""
    engine.backup(source)
    old = packs(engine)
    put_plan(engine, "a", old, *([state] if state else []))
    result = engine.backup(source)
    needed = {names.pack(one.pack_id) for one in engine.needs_of(result.snapshot_id).packs}
    assert needed
    assert not needed & old
    for name in old:  # the plan is carried out, at one replica
        engine.lose("a", name)
    restored, _ = engine.restore(result.snapshot_id, replica="a")
    assert not restored.problems


def test_what_a_closed_plan_condemned_is_reused_again(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    old = packs(engine)
    put_plan(engine, "a", old, PlanState.CLOSED)
    result = engine.backup(source)
    assert result.counts.packs_new == 0
    assert packs(engine) == old


def test_what_nobody_with_the_right_condemned_is_reused(engine: Engine, source: TreeSource) -> None:
    """A thief with put rights, or with a writer's key, makes nobody store everything anew."""
    engine.backup(source)
    old = packs(engine)
    with engine.opened(Need.OWNER) as repository:
        writer = enroll(repository, "another host").credential.signing_key
    put_plan(engine, "a", old, key=generate_signing_key())
    put_plan(engine, "a", old, number=4, key=writer)
    put(engine, "b", names.plan(2, "condemned"), b"garbage" * 1000)
    put(engine, "b", names.plan(3, "condemned"), b"garbage")
    assert engine.backup(source).counts.packs_new == 0
    with Calls(engine) as seen:
        engine.backup(source)
    read = [name for verb, name in (*seen.at("a"), *seen.at("b")) if verb == "get" and name.startswith("plans/")]
    assert not read, "what is void is remembered"


def test_a_snapshot_that_needs_what_is_condemned_is_not_committed() -> None:
    """The last check before W6, whatever the reuse of objects has overlooked."""
    refuse_condemned(["packs/x"], frozenset())
    with pytest.raises(StateUnknown, match="packs/x"):
        refuse_condemned(["runs/y", "packs/x"], frozenset({"packs/x"}))


# --- ends: one decision ---------------------------------------------------------------------------------------------


def test_a_lease_that_is_broken_while_the_run_works_commits_nothing_there(engine: Engine, source: TreeSource) -> None:
    def broken() -> None:
        (lease,) = leases(engine, "b")
        break_lease(engine, "b", lease)

    source.before_read = lambda *_: broken() if not states_of(engine, "b") else None
    with pytest.raises(QuorumNotReached, match="broken"):
        engine.backup(source)
    assert not engine.objects("b", names.SNAPSHOTS)
    assert not lacking(engine)


def states_of(engine: Engine, replica: str) -> list[str]:
    return [state for state in states(engine, replica).values() if state]


def test_garbage_in_place_of_an_end_stops_no_run(engine: Engine, source: TreeSource) -> None:
    def planted() -> None:
        for replica in REPLICAS:
            (lease,) = leases(engine, replica)
            put(engine, replica, names.lease_end(lease, 0), b"garbage")

    source.before_read = lambda *_: planted()
    result = engine.backup(source)
    assert all(one.committed for one in result.replicas)
    (lease,) = leases(engine, "a")
    assert end_of(engine, "a", lease, 1).state == EndState.COMMITTING


def test_leases_that_nobody_certified_signed_keep_nobody_from_a_backup(engine: Engine, source: TreeSource) -> None:
    """And a flood of them costs a bounded number of reads."""
    for number in range(300):
        lease = f"{number:032x}"
        put(engine, "a", names.lease_beat(lease, 0), b"garbage")
        put(engine, "a", names.lease_end(lease, 0), b"garbage")
    with Calls(engine) as seen:
        engine.backup(source, identity="nightly")
    read = [name for verb, name in seen.at("a") if verb == "get" and name.startswith("leases/")]
    assert len(read) <= 2 * 64 + 8, len(read)


# --- whoever finds a committing end finishes it ---------------------------------------------------------------------


def test_a_run_whose_commit_was_decided_counts_as_done(engine: Engine, source: TreeSource) -> None:
    killed_before_w7(engine, source, identity="nightly")
    again = engine.backup(source, identity="nightly")
    assert again.already_done
    assert len(engine.snapshots()) == 1


def test_another_host_finishes_it_and_adds_no_signature(engine: Engine, source: TreeSource) -> None:
    killed_before_w7(engine, source)
    (lease,) = leases(engine, "a")
    promised = end_of(engine, "a", lease).commit
    other = engine.at("other")
    with other.opened(Need.READ) as repository:
        result = finish_commits(repository)
    assert [replica for replica, _ in result.put] == list(REPLICAS)
    assert list(engine.objects("a", names.SNAPSHOTS).values()) == [promised]
    (snapshot,) = engine.snapshots()
    restored, _ = engine.restore(snapshot.snapshot_id)
    assert not restored.problems


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
def test_the_next_run_follows_what_it_finished(engine: Engine, source: TreeSource, *, far: bool) -> None:
    """Else both have one parent and one sequence, and neither is the newest."""
    killed_before_w7(engine, source)
    source.file(b"more", b"more")
    with Calls(engine, far=far):
        engine.backup(source)
    one, two = engine.snapshots()
    assert (one.sequence, two.sequence, two.parent) == (1, 2, one.snapshot_id)


def test_a_commit_of_a_revoked_writer_is_not_finished(engine: Engine, source: TreeSource) -> None:
    """Mutant "a commit of a revoked writer is finished"."""
    killed_before_w7(engine, source)
    with engine.opened(Need.WRITE) as repository:
        key = repository.writing_keys().signing_key
    assert key is not None
    revoke(engine, key.signer_id)
    with engine.opened(Need.READ) as repository:
        result = finish_commits(repository)
    assert not result.put
    assert {one.reason for one in result.left} == {"its commit is refused: revoked"}
    assert not engine.objects("a", names.SNAPSHOTS)


def test_a_commit_whose_snapshot_is_not_whole_is_not_finished(engine: Engine, source: TreeSource) -> None:
    killed_before_w7(engine, source)
    lost = min(engine.objects("a", names.RUNS))
    engine.lose("a", lost)
    with engine.opened(Need.READ) as repository:
        result = finish_commits(repository)
    assert [replica for replica, _ in result.put] == ["b"]
    assert [one.reason for one in result.left] == [f"{lost} is not here"]
    assert not lacking(engine)


def test_a_finished_lease_is_not_read_again(engine: Engine, source: TreeSource) -> None:
    for _ in range(2):
        engine.backup(source)
    with Calls(engine) as seen:
        engine.backup(source)
    read = [name for verb, name in seen.at("a") if verb == "get" and name.startswith("leases/")]
    assert all(name.endswith("/end/0") for name in read), read
    assert len(read) <= 1, "its own end, read back"


def test_a_live_run_of_the_same_backup_goes_first(engine: Engine, source: TreeSource) -> None:
    def second() -> None:
        source.before_read = lambda *_: None
        with pytest.raises(BackupRunning), engine.at("other").opened(Need.READ) as repository:
            run_backup(repository, source, identity="nightly", run=Run.start(engine.clock))

    source.before_read = lambda *_: second()
    with engine.opened(Need.READ) as repository:
        run_backup(repository, source, identity="nightly", run=Run.start(engine.clock))
    assert len(engine.snapshots()) == 1


def test_a_host_does_not_fetch_the_commit_that_it_made(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    made = set(engine.objects("a", names.SNAPSHOTS))
    with Calls(engine) as seen:
        engine.backup(source)
    assert made
    assert not made & {name for verb, name in seen.at("a") + seen.at("b") if verb == "get"}
