"""Placement: distances are distances, and less is never more: taking a copy or a holder away saves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.config import HolderConfig, HolderKind, PlacementConfig, ReplicaConfig
from farshore.plan.judging import simulate
from farshore.plan.losses import plan_losses
from farshore.plan.regions import Place, distance_km, known_regions
from farshore.plan.replicas import place_replicas
from farshore.plan.rules import placement_allows, plan_rules, spread_apart
from farshore.stores.object_retention import LockMode
from tests.unit.plan.plans import plan

PLACES = st.builds(Place, st.floats(-90, 90), st.floats(-180, 180))
POLICIES = st.builds(
    PlacementConfig,
    copies=st.integers(0, 5),
    providers=st.integers(0, 4),
    jurisdictions=st.integers(0, 4),
    distance_km=st.integers(0, 15_000),
    immutable=st.integers(0, 3),
    offline=st.integers(0, 3),
)
HOLDERS = st.lists(
    st.builds(HolderConfig, st.sampled_from("abcd"), st.sampled_from(HolderKind), st.booleans()),
    unique_by=lambda one: one.name,
    max_size=3,
).map(tuple)


@st.composite
def replicas(draw: st.DrawFn) -> tuple[ReplicaConfig, ...]:
    """One to six replicas, some in one region, account and login."""
    found: list[ReplicaConfig] = []
    for number in range(draw(st.integers(1, 6))):
        region = draw(st.sampled_from([*sorted(known_regions())[::20], "site:here", ""]))
        offline = draw(st.booleans())
        found.append(
            ReplicaConfig(
                name=f"r{number}",
                url=draw(st.sampled_from(["s3://b", "gs://b", "file:///b"])) + str(number),
                region=region,
                account=draw(st.sampled_from(["", "one", "two"])),
                login=draw(st.sampled_from(["", "me", "you"])),
                immutable=draw(st.sampled_from([None, LockMode.COMPLIANCE])),
                immutable_days=7,
                versioned=draw(st.booleans()),
                offline=offline,
                synced_every=timedelta(days=3) if offline else None,
            )
        )
    return tuple(found)


@given(PLACES, PLACES, PLACES)
def test_a_distance_is_one(one: Place, other: Place, third: Place) -> None:
    assert distance_km(one, other) == pytest.approx(distance_km(other, one))
    assert distance_km(one, one) == pytest.approx(0, abs=1e-6)
    assert 0 <= distance_km(one, other) <= 20_016
    assert distance_km(one, third) <= distance_km(one, other) + distance_km(other, third) + 1e-3


@given(replicas(), HOLDERS, st.data())
def test_taking_a_copy_away_never_makes_more_survive(
    chosen: tuple[ReplicaConfig, ...], holders: tuple[HolderConfig, ...], data: st.DataObject
) -> None:
    quorum = data.draw(st.integers(1, len(chosen)))
    config = plan(*chosen, quorum=quorum, holders=holders)
    losses = plan_losses(config)
    before = {one.loss: one for one in simulate(config, losses)}
    without = data.draw(st.sampled_from(chosen)).name
    less = replace(config, replicas={name: one for name, one in config.replicas.items() if name != without})

    for after in simulate(less, losses):
        earlier = before[after.loss]
        assert set(after.survives) == set(earlier.survives) - {without}
        assert after.is_restorable <= earlier.is_restorable
        assert after.is_quorum_possible <= earlier.is_quorum_possible
        assert set(after.opens_with) == set(earlier.opens_with)


@given(replicas(), HOLDERS)
def test_no_loss_leaves_more_than_no_loss(chosen: tuple[ReplicaConfig, ...], holders: tuple[HolderConfig, ...]) -> None:
    nothing, *others = simulate(plan(*chosen, quorum=1, holders=holders), plan_losses(plan(*chosen, holders=holders)))

    for one in others:
        assert set(one.survives) <= set(nothing.survives)
        assert set(one.survives) | set(one.gone) == set(nothing.survives)
        assert not set(one.survives) & set(one.gone)
        assert one.is_restorable <= nothing.is_restorable
        assert one.is_restorable == (bool(one.survives) and bool(one.opens_with))
        assert (one.verdict == "nothing") == (not one.is_restorable)


@given(replicas(), POLICIES, st.data())
def test_taking_a_copy_away_never_meets_a_rule(
    chosen: tuple[ReplicaConfig, ...], policy: PlacementConfig, data: st.DataObject
) -> None:
    config = plan(*chosen, quorum=1, policy=policy)
    without = data.draw(st.sets(st.sampled_from([one.name for one in chosen])))

    broken = {one.rule for one in placement_allows(config)}
    assert broken <= {one.rule for one in placement_allows(config, without)}
    assert all(bool(one.change) == (not one.is_met) for one in plan_rules(config, without=without))


@given(replicas(), st.integers(0, 15_000))
def test_replicas_that_are_spread_apart_are(chosen: tuple[ReplicaConfig, ...], least_km: int) -> None:
    placed = place_replicas(plan(*chosen))
    apart = spread_apart(placed, least_km, len(placed))

    for index, one in enumerate(apart):
        for other in apart[:index]:
            assert one.place is not None
            assert other.place is not None
            assert distance_km(one.place, other.place) >= least_km
