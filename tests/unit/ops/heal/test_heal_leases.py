"""Heal under leases, plans and tombstones: the rules are those of tests/models/prune."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore import limits
from farshore.errors import KeyMissing
from farshore.format import names
from farshore.format.lease import EndState
from farshore.format.plan import PlanState
from farshore.repair.outcome import HealedState
from farshore.results import RepairAction
from farshore.signing import generate_signing_key
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal, healed_engine, of
from tests.unit.ops.lease_world import (
    Calls,
    break_lease,
    end_of,
    forget,
    killed_before_w7,
    lacking,
    leases,
    put,
    put_plan,
    unforget,
)
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls("a", "b"), quorum=1).initialize()


def behind(engine: Engine) -> TreeSource:
    """Back up while replica b is away, and bring it back."""
    source = healed_engine(engine, snapshots=1)
    with engine.away("b"):
        source.file(b"later", b"later" * 3000)
        engine.backup(source)
    return source


def commits(engine: Engine, replica: str) -> set[str]:
    return set(engine.objects(replica, names.SNAPSHOTS))


def heal_lease(engine: Engine, replica: str) -> str:
    """Return the last lease at a replica that a heal made."""
    return [lease for lease in leases(engine, replica) if end_of(engine, replica, lease).commit == b""][-1]


def test_the_lease_of_a_heal_names_the_commits_before_they_are_put(engine: Engine) -> None:
    behind(engine)
    new = commits(engine, "a") - commits(engine, "b")
    with Calls(engine) as seen:
        assert of(heal(engine, "b"), "b").state is HealedState.IN_SYNC
    lease = heal_lease(engine, "b")
    end = end_of(engine, "b", lease)
    assert end.state == EndState.COMMITTING
    assert set(end.commits) == {name[-64:] for name in new}
    puts = [name for verb, name in seen.at("b") if verb == "put"]
    assert puts.index(names.lease_end(lease, 0)) == min(puts.index(name) for name in new) - 1
    assert puts.index(names.lease_end(lease, 0)) > max(puts.index(name) for name in puts if name.startswith("packs"))


def test_a_heal_whose_lease_is_broken_puts_no_commit(engine: Engine) -> None:
    behind(engine)
    before = commits(engine, "b")

    def fault(_at: int, replica: str, verb: str, name: str) -> None:
        if (replica, verb) == ("b", "put") and name.startswith("packs/"):
            for lease in [one for one, parts in leases(engine, "b").items() if "end/0" not in parts]:
                break_lease(engine, "b", lease)

    with Calls(engine, fault):
        result = heal(engine, "b")
    assert of(result, "b").error_code == "lease-lost"
    assert commits(engine, "b") == before
    assert not lacking(engine)


def test_a_condemned_name_is_not_put_again_and_its_snapshot_waits(engine: Engine) -> None:
    """Mutant "a heal puts condemned names again"; and one that is still there promises nothing."""
    behind(engine)
    (wanted,) = set(engine.objects("a", names.PACKS)) - set(engine.objects("b", names.PACKS))
    put_plan(engine, "b", [wanted])
    result = heal(engine, "b")
    assert wanted not in engine.objects("b")
    assert commits(engine, "a") != commits(engine, "b")
    assert "condemns it here" in "".join(one.detail for one in result.repairs)
    put(engine, "b", wanted, engine.objects("a")[wanted])
    heal(engine, "b")
    assert commits(engine, "a") != commits(engine, "b")
    put_plan(engine, "b", [wanted], PlanState.CLOSED)
    assert of(heal(engine, "b"), "b").state is HealedState.IN_SYNC
    assert commits(engine, "a") == commits(engine, "b")


def test_a_condemned_name_that_is_still_there_promises_nothing(engine: Engine) -> None:
    """It may go right after the commit that needs it was put."""
    behind(engine)
    before = commits(engine, "b")
    put_plan(engine, "b", engine.objects("b", names.PACKS))
    result = heal(engine, "b")
    assert commits(engine, "b") == before
    assert "which a plan to delete condemns here" in "".join(one.detail for one in result.repairs)


def test_without_a_key_a_replica_that_has_seen_a_plan_is_not_healed(engine: Engine) -> None:
    behind(engine)
    put_plan(engine, "b", ["packs/x"], PlanState.CLOSED)
    with pytest.raises(KeyMissing, match="plans to delete"):
        heal(engine, "b", keyless=True)


def test_a_heal_finishes_what_a_run_has_decided(engine: Engine) -> None:
    source = healed_engine(engine, snapshots=0)
    source.file(b"one", b"one" * 1000)
    killed_before_w7(engine, source)
    result = heal(engine)
    assert sum("finished" in one.detail for one in result.repairs) == 2
    assert len(commits(engine, "a")) == 1
    assert commits(engine, "a") == commits(engine, "b")


def test_a_forgotten_snapshot_is_not_healed_and_its_tombstone_goes_first(engine: Engine) -> None:
    """O10: two replicas, one away when it was forgotten."""
    behind(engine)
    (new,) = commits(engine, "a") - commits(engine, "b")
    parsed = names.parse_commit(new)
    assert parsed is not None
    stone = forget(engine, "a", parsed.snapshot_id)
    heal(engine)
    assert stone in engine.objects("b")
    assert engine.objects("b")[stone] == engine.objects("a")[stone]
    assert new not in engine.objects("b")
    unforget(engine, "b", stone)
    heal(engine)
    assert set(engine.objects("a", names.UNFORGOTTEN)) == set(engine.objects("b", names.UNFORGOTTEN))
    assert new in engine.objects("b")


def test_a_tombstone_goes_before_the_commits(engine: Engine) -> None:
    behind(engine)
    (old,) = commits(engine, "b")
    parsed = names.parse_commit(old)
    assert parsed is not None
    forget(engine, "a", parsed.snapshot_id)
    with Calls(engine) as seen:
        heal(engine, "b")
    puts = [name for verb, name in seen.at("b") if verb == "put"]
    stones = [at for at, name in enumerate(puts) if name.startswith(names.FORGOTTEN)]
    assert stones
    assert max(stones) < min(at for at, name in enumerate(puts) if name.startswith(names.SNAPSHOTS))


def test_what_is_reserved_and_tombstones_that_nobody_signed_are_left_and_reported(engine: Engine) -> None:
    healed_engine(engine, snapshots=1)
    data = b"garbage"
    planted = [
        f"forgotten/{'1' * 32}-{names.hash_of(data)}", "plans/1/open", "approvals/x", "moves/y", "verdicts/z",
    ]  # fmt: skip
    for name in planted:
        put(engine, "a", name, data)
    result = heal(engine)
    assert all(one.state is HealedState.IN_SYNC for one in result.replicas)
    left = {one.object for one in result.repairs if one.action is RepairAction.LEFT and "reserved" in one.detail}
    assert left == set(planted)
    assert not [name for name in planted if name in engine.objects("b")]


def test_a_batch_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    source = healed_engine(engine, snapshots=1)
    with engine.away("b"):
        for number in range(3):
            source.file(b"later", f"later {number}".encode())
            engine.backup(source)
    monkeypatch.setattr(limits, "COPIED_COMMITS_MAX", 2)
    assert of(heal(engine, "b"), "b").state is HealedState.BEHIND
    assert len(commits(engine, "b")) == 3
    assert of(heal(engine, "b"), "b").state is HealedState.IN_SYNC
    assert not lacking(engine)


@pytest.mark.parametrize("keyless", [False, True])
def test_a_plan_of_a_stranger_hinders_no_heal(engine: Engine, keyless: bool) -> None:
    behind(engine)
    put_plan(engine, "b", engine.objects("a", names.PACKS), key=generate_signing_key())
    put(engine, "b", "plans/7/condemned", b"{}\n{}\n" * 200)
    assert of(heal(engine, "b", keyless=keyless), "b").state is HealedState.IN_SYNC
