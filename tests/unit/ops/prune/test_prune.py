"""Pruning at replicas in memory: which objects go and which stay, who may, and what each refusal stops."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.access.unlock import Need
from farshore.errors import KeyMissing
from farshore.format import names
from farshore.format.plan import PlanState
from farshore.ops.prune import prune_replica as pruning
from farshore.ops.prune.outcome import DeleteMax, PrunedReplica, PruneOptions
from farshore.ops.prune.prune import prune_repository
from farshore.ops.setup.enroll import enroll
from farshore.replicas.plans import read_condemned
from farshore.replicas.repository import BackupSizes
from farshore.run import Run
from farshore.sealed import Role
from farshore.stores.object_retention import LockMode
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import break_lease, lacking, leases, put, put_plan, revoke
from tests.unit.ops.prune.prune_world import (
    DAY_S,
    NOW,
    add_night,
    everything,
    forget,
    grown,
    ids,
    needed_by,
    prune,
    states,
    with_snapshots,
)
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def alone(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "alone", urls=fresh_memory_urls("a"), quorum=1).initialize()


@pytest.fixture
def three(tmp_path: Path) -> Engine:
    """Three snapshots at one replica."""
    return with_snapshots(tmp_path / "three", 3)


@pytest.fixture
def everywhere(tmp_path: Path) -> Engine:
    """Three snapshots at three replicas."""
    return with_snapshots(tmp_path / "everywhere", 3, "abc")


def pruned(engine: Engine, **options: Any) -> PrunedReplica:
    """Prune a repository of one replica. The checks of proofs need no audit tables here."""
    (found,) = prune(engine, **{"even_last": True, **options}).replicas
    return found


def test_what_only_a_forgotten_snapshot_needs_goes(everywhere: Engine) -> None:
    first, *kept = ids(everywhere)
    alone = needed_by(everywhere, first) - {name for one in kept for name in needed_by(everywhere, one)}
    assert any(name.startswith(names.PACKS) for name in alone)
    forget(everywhere, first)
    dry = prune(everywhere, dry_run=True)
    assert {one.garbage.objects for one in dry.replicas} == {len(alone) + 1}  # and the fragment of its pack
    result = prune(everywhere)
    assert set(states(result).values()) == {"pruned"}
    wanted = {name for one in kept for name in needed_by(everywhere, one)}
    for replica in "abc":
        assert everything(everywhere, replica) == wanted
    assert not lacking(everywhere)
    assert everywhere.verify().clean
    for one in kept:
        for replica in "abc":
            assert not everywhere.restore(one, replica=replica)[0].problems
    assert set(states(prune(everywhere)).values()) == {"clean"}
    assert everywhere.objects("a", "audit/deletions/")


def test_what_was_forgotten_just_now_stays_and_so_does_what_is_new(three: Engine) -> None:
    forget(three, ids(three)[0])
    found = pruned(three, grace=timedelta(days=7))
    assert (str(found.state), found.in_grace, found.freed.objects) == ("clean", 1, 0)
    three.clock.advance(5 * DAY_S)  # what it needs is old enough now, and it is not
    assert pruned(three, grace=timedelta(days=7)).freed.objects == 0
    three.clock.advance(3 * DAY_S)
    assert str(pruned(three, grace=timedelta(days=7)).state) == "pruned"
    assert len(ids(three)) == 2


def test_the_share_that_may_go_is_bounded(three: Engine) -> None:
    forget(three, *ids(three)[:2])
    found = pruned(three)
    assert (found.error_code, found.freed.objects) == ("prune-refused", 0)
    assert pruned(three, delete_max=DeleteMax(packs=1)).error_code == "prune-refused"
    assert str(pruned(three, delete_max=DeleteMax(packs=2)).state) == "pruned"


def test_a_source_keeps_its_newest_complete_snapshot(three: Engine) -> None:
    forget(three, ids(three)[-1])
    found = pruned(three, even_last=False)
    assert found.error_code == "prune-refused"
    assert "the newest complete snapshot" in found.error
    assert str(pruned(three).state) == "pruned"


def test_a_source_keeps_a_proven_snapshot(alone: Engine) -> None:
    tree = grown(alone, 2)
    assert alone.verify(percent=100.0).clean
    alone.clock.advance(DAY_S)
    add_night(alone, tree, 2)
    forget(alone, *ids(alone)[:2])
    found = pruned(alone, even_last=False, delete_max=DeleteMax(percent=100))
    assert "proven to restore" in found.error
    assert alone.verify(percent=100.0).clean
    assert str(pruned(alone, even_last=False, delete_max=DeleteMax(percent=100)).state) == "pruned"


def skip_containment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "check_contained", lambda *_: None)


@pytest.mark.parametrize("mutant", [False, True], ids=["protocol", "mutant"])
def test_roots_shrink_by_tombstones_three(three: Engine, monkeypatch: pytest.MonkeyPatch, *, mutant: bool) -> None:
    """O7: a commit that the last plan kept is gone, and nobody forgot it."""
    first, second, _ = ids(three)
    forget(three, first)
    assert str(pruned(three).state) == "pruned"
    needed, commit = needed_by(three, second), three.object_of(second, "commit")
    three.lose("a", commit)
    three.forget_cache()
    if mutant:
        skip_containment(monkeypatch)
        monkeypatch.setattr(pruning, "check_history", lambda _: None)
    found = pruned(three)
    assert (found.error_code == "prune-refused") != mutant
    assert (needed - {commit} <= everything(three, "a")) != mutant


def test_a_listing_that_leaves_out_a_commit_that_no_plan_knows_is_contradicted_by_its_lease(three: Engine) -> None:
    first, second, _ = ids(three)
    needed, commit = needed_by(three, second), three.object_of(second, "commit")
    forget(three, first)
    three.lose("a", commit)
    assert str(pruned(three).state) == "pruned"
    assert needed - {commit} <= everything(three, "a") | {commit}


def test_damage_and_loss_stop_a_prune_and_planted_names_do_not(everywhere: Engine) -> None:
    first, second, _ = ids(everywhere)
    forget(everywhere, first)
    commit = everywhere.object_of(second, "commit")
    everywhere.lose("b", everywhere.object_of(second, "needs"))
    everywhere.flip("c", commit)
    put(everywhere, "a", names.commit("ab" * 16, "cd" * 16, "0" * 64), b"planted")
    found = {}
    for replica in "abc":
        everywhere.forget_cache()
        (found[replica],) = prune(everywhere, even_last=True, replica=replica).replicas
    assert {name: str(one.state) for name, one in found.items()} == {"a": "pruned", "b": "refused", "c": "refused"}
    assert "cannot be read" in found["b"].error
    assert "is damaged" in found["c"].error
    assert found["a"].foreign == 1
    assert everywhere.objects("a", "snapshots/" + "ab" * 16)


def test_a_pack_that_is_not_listed_stops_a_prune(three: Engine) -> None:
    first, second, _ = ids(three)
    forget(three, first)
    pack = next(name for name in needed_by(three, second) if name.startswith(names.PACKS))
    three.lose("a", pack)
    assert "that its snapshots need" in pruned(three).error


def writer_of(engine: Engine) -> Engine:
    """Return a host that may add snapshots and nothing else."""
    writer = engine.at("writer", reads=False)
    credential = engine.at("writer").enroll(name="writer")
    writer.repository_config = replace(writer.repository_config, credential=Path(credential))
    return writer


def test_refused_is_not_garbage(alone: Engine) -> None:
    """A writer was revoked and its snapshot is not accepted: what that needs stays until somebody forgets it."""
    grown(alone, 2)
    writer, tree = writer_of(alone), TreeSource(clock=alone.clock, name="theirs")
    tree.file(b"theirs", random.Random(9).randbytes(20_000))
    theirs = writer.backup(tree).snapshot_id
    needed, signer = needed_by(alone, theirs), alone.commit_of(theirs).signer
    forget(alone, ids(alone)[0])
    revoke(alone, signer)
    assert theirs not in ids(alone)
    assert str(pruned(alone).state) == "pruned"
    assert needed <= everything(alone, "a")


def test_only_a_maintainer_prunes(engine: Engine) -> None:
    """A stolen writer has nothing deleted: its key plans nothing, breaks nothing and forgets nothing."""
    grown(engine, 2)
    with writer_of(engine).opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="right to maintain"):
        prune_repository(repository, PruneOptions(grace=NOW), Run.start(engine.clock))


def test_nothing_locked_is_planned_and_it_goes_when_its_lock_has_ended(tmp_path: Path) -> None:
    """O11."""
    locked = {"a": {"lock": LockMode.GOVERNANCE, "lock_for": timedelta(days=10)}}
    engine = Engine(tmp_path / "engine", urls=fresh_memory_urls("a"), quorum=1, settings=locked).initialize()
    grown(engine, 3)
    forget(engine, ids(engine)[0])
    before = everything(engine, "a")
    found = pruned(engine)
    assert (str(found.state), found.freed.objects, found.locked.objects) == ("clean", 0, 5)
    assert found.locked_until_utc is not None
    assert found.locked_until_utc > engine.clock.now_utc()
    assert not engine.objects("a", names.PLANS)
    assert everything(engine, "a") == before
    engine.clock.advance(20 * DAY_S)
    assert str(pruned(engine).state) == "pruned"
    assert everything(engine, "a") < before
    assert engine.verify().clean


def test_a_plan_in_which_locks_are_not_looked_at_is_refused_by_the_store(tmp_path: Path) -> None:
    """The mutant of O11: what is locked is planned, and stays all the same; the plan is closed."""
    locked = {"a": {"lock": LockMode.GOVERNANCE, "lock_for": timedelta(days=10)}}
    engine = Engine(tmp_path / "engine", urls=fresh_memory_urls("a"), quorum=1, settings=locked).initialize()
    grown(engine, 3)
    forget(engine, ids(engine)[0])
    before = everything(engine, "a")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pruning, "leave_locked", lambda *_: None)
        found = pruned(engine)
    assert found.failed > 0
    assert everything(engine, "a") == before
    assert any(name.endswith("condemned") for name in engine.objects("a", names.PLANS))
    assert not lacking(engine)


def test_fragments_with_packs_that_stay_are_superseded(alone: Engine) -> None:
    alone.sizes = BackupSizes(pack_bytes=60_000, segment_bytes=30_000)
    tree = TreeSource(clock=alone.clock)
    for number in range(6):
        tree.file(f"{number}".encode(), random.Random(number).randbytes(50_000))
    alone.backup(tree)
    for number in range(3):
        tree.remove(f"{number}".encode())
    alone.backup(tree)
    first, second = ids(alone)
    (fragment,) = alone.objects("a", names.FRAGMENTS)
    packs = set(alone.objects("a", names.PACKS))
    forget(alone, first)
    found = pruned(alone, delete_max=DeleteMax(percent=90))
    assert str(found.state) == "pruned"
    left = set(alone.objects("a", names.PACKS))
    assert 0 < len(left) < len(packs)
    assert fragment not in alone.objects("a", names.FRAGMENTS)
    assert len(alone.objects("a", names.FRAGMENTS)) == 1
    assert alone.verify().clean
    assert not alone.restore(second)[0].problems
    alone.forget_cache()
    again = alone.backup(tree)  # the index knows the packs that stay, and misses none
    assert again.counts.packs_new == 0
    assert str(pruned(alone).state) == "clean"


def test_leases_and_plans_do_not_grow(alone: Engine) -> None:
    tree = grown(alone, 2)
    counts = []
    for number in range(2, 8):
        add_night(alone, tree, number)
        forget(alone, ids(alone)[0])
        assert str(pruned(alone).state) == "pruned"
        counts.append((len(alone.objects("a", names.LEASES)), len(alone.objects("a", names.PLANS))))
    assert len(set(counts[2:])) == 1
    assert not lacking(alone)


def test_an_end_that_says_broken_stays(three: Engine) -> None:
    (lease, *_) = leases(three, "a")
    ends = list(three.objects("a", f"{names.LEASES}{lease}/end/"))
    for name in ends:
        three.lose("a", name)
    break_lease(three, "a", lease)
    forget(three, ids(three)[0])
    assert str(pruned(three).state) == "pruned"
    assert leases(three, "a") == {lease: ["end/0"]}


def test_names_of_plans_that_somebody_planted_stop_nothing(three: Engine) -> None:
    forget(three, ids(three)[0])
    for name in ("plans/1/condemned", "plans/2/open", "plans/999999999/open"):
        put(three, "a", name, b"planted")
    found = pruned(three)
    assert (str(found.state), found.plan) == ("pruned", 3)


def test_a_plan_that_another_prune_left_is_finished(three: Engine) -> None:
    """Also where it condemns what is needed: that is left, and the plan is closed."""
    first, second, third = ids(three)
    forget(three, first)
    put_plan(three, "a", everything(three, "a"))
    found = pruned(three)
    assert str(found.state) == "pruned"
    assert everything(three, "a") == needed_by(three, second) | needed_by(three, third)
    with three.opened() as repository:
        assert not read_condemned(repository, repository.replicas["a"])


def test_the_plan_of_a_maintainer_that_was_revoked_is_abandoned_and_closed(three: Engine) -> None:
    """What it condemned is free again, once what nothing needs of it is gone."""
    first, *kept = ids(three)
    with three.opened(Need.OWNER) as repository:
        thief = enroll(repository, "thief", role=Role.MAINTAINER).credential.signing_key
    assert thief is not None
    put_plan(three, "a", everything(three, "a"), key=thief)
    revoke(three, thief.signer_id)
    forget(three, first)
    found = pruned(three)
    assert (str(found.state), found.plan) == ("pruned", 2)
    assert {"plans/1/abandoned", "plans/1/closed"} <= set(three.objects("a"))
    assert everything(three, "a") == {name for one in kept for name in needed_by(three, one)}
    with three.opened() as repository:
        assert not read_condemned(repository, repository.replicas["a"])


def test_time_that_is_over_stops_it_and_the_next_goes_on(three: Engine) -> None:
    first, *kept = ids(three)
    forget(three, first)
    found = pruned(three, max_time=NOW)
    assert (str(found.state), found.freed.objects) == ("stopped", 0)
    assert {name.rpartition("/")[2] for name in three.objects("a", names.PLANS)} == {
        PlanState.OPEN.value, PlanState.CONDEMNED.value,
    }  # fmt: skip
    assert str(pruned(three).state) == "pruned"
    assert everything(three, "a") == {name for one in kept for name in needed_by(three, one)}
