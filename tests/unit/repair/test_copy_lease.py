"""A read that mends keeps the rules of a writer: a lease, plans, tombstones, and what the owner log wants of writers.

Each rule is taken out once, as `mutant`: then the forbidden object is back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.unlock import Need
from farshore.check_results import VerifyResult
from farshore.format import names
from farshore.format.lease import EndState
from farshore.format.plan import PlanState
from farshore.ops.setup.owner_actions import append_entry
from farshore.ops.verify.verify import verify_repository
from farshore.repair import copy_lease
from farshore.run import Run
from farshore.trust.actions import RequireFeatures
from tests.doubles.faulty import Fault, FaultKind
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import (
    Calls,
    break_lease,
    end_of,
    forget,
    lacking,
    leases,
    maintainer,
    put_plan,
    revoke,
    states,
)
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path, urls=fresh_memory_urls("a", "b"), quorum=2).initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"one", b"one" * 100_000)
    engine.backup(source)
    return engine


def verify(engine: Engine, between: Callable[[], None] = lambda: None) -> VerifyResult:
    """Check everything and mend; `between` is done by somebody else once the damage was found."""
    engine.forget_cache()
    done: list[None] = []
    real = copy_lease.CopyPermits.__init__

    def first(permits: copy_lease.CopyPermits, **words: object) -> None:
        done.append(between())  # type: ignore[func-returns-value]
        real(permits, **words)  # type: ignore[arg-type]

    with engine.opened(Need.READ) as repository, pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy_lease.CopyPermits, "__init__", first)
        return verify_repository(repository, read_data_percent=100.0, repair=True, run=Run.start(engine.clock))


def pack(engine: Engine) -> str:
    (name,) = engine.objects("b", names.PACKS)
    return name


def own_leases(engine: Engine, replica: str, before: dict[str, list[str]]) -> list[str]:
    return sorted(leases(engine, replica).keys() - before.keys())


def test_nothing_is_put_without_a_lease_and_it_is_over_afterwards(engine: Engine) -> None:
    name, before = pack(engine), leases(engine, "b")
    engine.lose("b", name)
    with Calls(engine) as seen:
        (repair,) = verify(engine).repairs
    assert (repair.name, repair.action) == (name, "copied")
    (lease,) = own_leases(engine, "b", before)
    assert states(engine, "b")[lease] == EndState.ENDED
    calls = seen.at("b")
    beat, plans, put = (
        calls.index(one) for one in (("put", names.lease_beat(lease, 0)), ("list", names.PLANS), ("put", name))
    )
    assert beat < plans < put, "W1, W2 and W4 are out of order"
    assert not own_leases(engine, "a", leases(engine, "a")), "a replica that is whole needs no lease"


def test_where_nothing_is_damaged_there_is_no_lease(engine: Engine) -> None:
    before = leases(engine, "b")
    verify(engine)
    assert not own_leases(engine, "b", before)


def test_the_lease_of_a_commit_names_it_before_it_is_put(engine: Engine) -> None:
    (name,) = engine.objects("b", names.SNAPSHOTS)
    before = leases(engine, "b")
    engine.flip("b", name)
    with Calls(engine) as seen:
        assert [(one.name, one.action) for one in verify(engine).repairs] == [(name, "replaced")]
    ends = [end_of(engine, "b", lease) for lease in own_leases(engine, "b", before)]
    (committing,) = [end for end in ends if end.state == EndState.COMMITTING]
    assert committing.commits == (name[-64:],)
    calls = seen.at("b")
    decided = calls.index(("put", names.lease_end(committing.lease, 0)))
    assert decided < calls.index(("delete", name)) < calls.index(("put", name))


def test_a_commit_is_left_where_its_lease_is_broken_or_its_snapshot_not_whole(engine: Engine) -> None:
    (name,) = engine.objects("b", names.SNAPSHOTS)
    engine.flip("b", name)
    damaged, before = engine.objects("b")[name], leases(engine, "b")

    def broken(_at: int, replica: str, verb: str, at: str) -> Fault | None:
        if (replica, verb, at) == ("b", "list", names.PLANS):
            for lease in own_leases(engine, "b", before):
                break_lease(engine, "b", lease)
        return None

    with Calls(engine, broken):
        (repair,) = verify(engine).repairs
    assert (repair.action, repair.error_code) == ("left", "lease-lost")
    assert engine.objects("b")[name] == damaged

    def lost(_at: int, replica: str, verb: str, at: str) -> Fault | None:
        return Fault(FaultKind.FAIL) if (replica, verb, at) == ("b", "put", pack_name) else None

    pack_name = pack(engine)
    engine.lose("b", pack_name)
    with Calls(engine, lost):
        left = {one.name: one for one in verify(engine).repairs}
    assert left[name].action == "left"
    assert pack_name in left[name].detail
    assert engine.objects("b")[name] == damaged


@pytest.mark.parametrize("rule", ["kept", "mutant"])
def test_what_a_plan_condemns_stays_away(engine: Engine, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if rule == "mutant":
        monkeypatch.setattr(copy_lease, "read_condemned", lambda *_: frozenset())
    name = pack(engine)
    engine.lose("b", name)

    def condemn() -> None:
        put_plan(engine, "b", [name])

    (repair,) = verify(engine, condemn).repairs
    assert (name in engine.objects("b")) == (rule == "mutant")
    assert rule == "mutant" or "a plan to delete condemns it" in repair.detail
    put_plan(engine, "b", [name], PlanState.CLOSED)
    if rule == "kept":
        assert [one.action for one in verify(engine).repairs] == ["copied"], "the plan is over"


@pytest.mark.parametrize("rule", ["kept", "mutant"])
def test_what_was_forgotten_meanwhile_stays_away(engine: Engine, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pruner is through: the plan is closed, and the tombstone alone says why the objects are gone."""
    if rule == "mutant":
        monkeypatch.setattr(copy_lease, "forgotten_commits", lambda *_, **__: frozenset())
    (snapshot,) = engine.snapshots()
    lost = [pack(engine), *engine.objects("b", names.RUNS), *engine.objects("b", names.DATA_KEYS)]
    for name in lost:
        engine.lose("b", name)

    def prune() -> None:
        forget(engine, "b", snapshot.snapshot_id)
        put_plan(engine, "b", lost, PlanState.CLOSED)
        engine.lose("b", *engine.objects("b", names.SNAPSHOTS))

    result = verify(engine, prune)
    back = [name for name in lost if name in engine.objects("b")]
    assert bool(back) == (rule == "mutant")
    assert rule == "mutant" or {one.action for one in result.repairs} == {"left"}
    assert not engine.objects("b", names.SNAPSHOTS)


@pytest.mark.parametrize("rule", ["kept", "mutant"])
def test_a_forgotten_commit_is_not_put(engine: Engine, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if rule == "mutant":
        monkeypatch.setattr(copy_lease.CopyPermits, "commit", lambda *_: "")
    (snapshot,) = engine.snapshots()
    (name,) = engine.objects("b", names.SNAPSHOTS)
    engine.flip("b", name)
    damaged = engine.objects("b")[name]

    def forgotten() -> None:
        forget(engine, "a", snapshot.snapshot_id)

    verify(engine, forgotten)
    assert (engine.objects("b")[name] != damaged) == (rule == "mutant")


@pytest.mark.parametrize("rule", ["kept", "mutant"])
def test_nothing_is_mended_where_writers_must_know_a_feature_of_later(
    engine: Engine, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rule == "mutant":
        monkeypatch.setattr(copy_lease, "check_writable", lambda *_: None)
    with engine.opened(Need.OWNER) as repository:
        append_entry(repository, [RequireFeatures((), ("dance",))])
    name = pack(engine)
    engine.lose("b", name)
    with open_repository(engine.config, need=Need.READ, writes=Writes.REPAIRS, clock=engine.clock) as repository:
        result = verify_repository(repository, read_data_percent=100.0, repair=True, run=Run.start(engine.clock))
    (repair,) = result.repairs
    assert (name in engine.objects("b")) == (rule == "mutant")
    assert rule == "mutant" or (repair.action, repair.error_code) == ("left", "feature-missing")


@pytest.mark.parametrize("plans", [False, True])
def test_a_key_whose_lease_nobody_heeds_mends_only_where_nobody_ever_deleted(engine: Engine, *, plans: bool) -> None:
    key, _, _ = maintainer(engine)
    revoke(engine, key.signer_id, [name[-64:] for name in engine.objects("b", names.SNAPSHOTS)])
    name, before = pack(engine), leases(engine, "b")
    engine.lose("b", name)
    engine.shelf("b").objects["plans/7/open"] = (b"x", engine.clock.now_utc())  # nobody's, so it counts for nothing
    if plans:
        put_plan(engine, "b", ["packs/x"], PlanState.CLOSED)
    repair = {one.name: one for one in verify(engine).repairs}[name]
    assert repair.action == ("refused" if plans else "copied")
    assert not plans or repair.error_code == "key-missing"
    assert not own_leases(engine, "b", before)
    assert plans or not lacking(engine)
