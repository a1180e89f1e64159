"""The placement policy, rule by rule, and what a retired replica would break."""

from __future__ import annotations

from datetime import timedelta

import pytest

from farshore.config import PlacementConfig
from farshore.errors import ConfigInvalid
from farshore.plan.replicas import check_regions, place_replicas
from farshore.plan.rules import RuleVerdict, placement_allows, plan_rules
from farshore.stores.object_retention import LockMode
from tests.unit.plan.plans import FRANKFURT, HOME, IOWA, SAFE, SYDNEY, changed, credentials, plan

STRICT = PlacementConfig(copies=4, providers=4, jurisdictions=3, distance_km=400, immutable=1, offline=1)
LOCKED = changed(FRANKFURT, immutable=LockMode.COMPLIANCE, immutable_days=30)


def verdicts(*replicas: object, policy: PlacementConfig, quorum: int = 2) -> dict[str, RuleVerdict]:
    config = plan(*replicas, policy=policy, quorum=quorum)  # type: ignore[arg-type]
    return {one.rule: one for one in plan_rules(config)}


def test_a_plan_that_meets_everything() -> None:
    found = verdicts(LOCKED, IOWA, SYDNEY, SAFE, policy=STRICT)

    assert list(found) == ["copies", "providers", "jurisdictions", "distance_km", "immutable", "offline", "quorum",
                           "rpo:home"]  # fmt: skip
    assert all(one.is_met and not one.change for one in found.values())


def test_no_policy_asks_for_the_quorum_alone() -> None:
    assert [one.rule for one in plan_rules(plan(sources=()))] == ["quorum"]


@pytest.mark.parametrize(
    ("policy", "rule", "found", "change"),
    [
        (PlacementConfig(copies=3), "copies", "2: frankfurt, iowa", "add 1 more replica"),
        (PlacementConfig(providers=4), "providers", "2: aws, gcp", "put a replica at 2 more providers"),
        (PlacementConfig(jurisdictions=3), "jurisdictions", "2: EU, US", "put a replica under 1 more jurisdiction"),
        (PlacementConfig(distance_km=9000), "distance_km", "no two so far apart", "at least 9000 km from frankfurt"),
        (PlacementConfig(immutable=1), "immutable", "0", "lock objects at 1 more replica"),
        (PlacementConfig(offline=1), "offline", "0", "keep 1 more replica disconnected"),
    ],
)
def test_a_rule_that_is_not_met_says_what_to_change(
    policy: PlacementConfig, rule: str, found: str, change: str
) -> None:
    verdict = verdicts(FRANKFURT, IOWA, policy=policy)[rule]

    assert not verdict.is_met
    assert verdict.found == found
    assert change in verdict.change


def test_a_further_copy_close_by_does_no_harm_to_the_distance() -> None:
    near = changed(FRANKFURT, name="near", url="s3://other")
    policy = PlacementConfig(copies=3, distance_km=500)

    assert verdicts(FRANKFURT, near, IOWA, SYDNEY, policy=policy)["distance_km"].is_met
    assert not verdicts(FRANKFURT, near, IOWA, policy=policy)["distance_km"].is_met


def test_a_place_that_nobody_reported_counts_for_nothing_and_is_named() -> None:
    nowhere = changed(SAFE, latitude=None, longitude=None, jurisdiction="")
    found = verdicts(FRANKFURT, nowhere, policy=PlacementConfig(jurisdictions=2, distance_km=100))

    assert "not known of safe" in found["jurisdictions"].found
    assert "set region or jurisdiction of safe" in found["jurisdictions"].change
    assert "set latitude and longitude of safe" in found["distance_km"].change


def test_the_quorum_is_made_without_offline_copies() -> None:
    verdict = verdicts(FRANKFURT, SAFE, policy=PlacementConfig())["quorum"]

    assert not verdict.is_met
    assert verdict.change == "lower repository.quorum to 1, or add 1 more replica that is always connected"


def test_a_schedule_that_cannot_keep_the_rpo_is_found() -> None:
    weekly = changed(HOME, schedule="@weekly")  # type: ignore[arg-type]
    unscheduled = changed(HOME, name="other", schedule="")  # type: ignore[arg-type]
    found = {one.rule: one for one in plan_rules(plan(sources=(weekly, unscheduled)))}  # type: ignore[arg-type]

    assert not found["rpo:home"].is_met
    assert found["rpo:home"].change == "schedule home more often, or allow it an rpo of 7d"
    assert found["rpo:other"].is_met


def test_retiring_a_replica_is_judged_without_it() -> None:
    config = plan(LOCKED, IOWA, SYDNEY, SAFE, policy=PlacementConfig(copies=3, immutable=1), quorum=2)

    assert placement_allows(config) == []
    assert placement_allows(config, {"iowa"}) == []
    assert [one.rule for one in placement_allows(config, {"frankfurt"})] == ["immutable"]
    assert [one.rule for one in placement_allows(config, {"iowa", "sydney"})] == ["copies", "quorum"]
    with pytest.raises(ConfigInvalid, match="no replica is called 'paris'"):
        placement_allows(config, {"paris"})


def test_an_unknown_region_is_refused_by_the_name_of_the_nearest() -> None:
    with pytest.raises(ConfigInvalid, match=r"'aws:eu-centrl-1', no known region of aws") as caught:
        check_regions(plan(changed(FRANKFURT, region="aws:eu-centrl-1")))
    assert "The nearest known one is aws:eu-central-1." in caught.value.hint

    reported = changed(FRANKFURT, region="ovh:gra", latitude=51.0, longitude=2.1, jurisdiction="EU")
    check_regions(plan(reported, changed(SAFE, latitude=None, jurisdiction=""), changed(IOWA, region="")))
    with pytest.raises(ConfigInvalid, match="in the table"):
        check_regions(plan(changed(reported, jurisdiction="")))


def test_own_words_go_before_the_table() -> None:
    (placed,) = place_replicas(plan(changed(FRANKFURT, jurisdiction="X-LAW", country="CH", latitude=1, longitude=2)))

    assert (placed.jurisdiction, placed.country) == ("X-LAW", "CH")
    assert placed.place is not None
    assert placed.place.latitude == 1


def test_what_is_not_distinguished_is_taken_for_one() -> None:
    one = changed(FRANKFURT, credentials=credentials("A"))
    same = changed(FRANKFURT, name="paris", url="s3://b", region="aws:eu-west-3", credentials=credentials("A"))
    other = changed(FRANKFURT, name="dublin", url="s3://c", region="aws:eu-west-1", credentials=credentials("B"))
    chain = changed(FRANKFURT, name="zurich", url="s3://d", region="aws:eu-central-2", account="of its own")
    placed = {each.replica: each for each in place_replicas(plan(one, same, other, chain))}

    assert placed["frankfurt"].login == placed["paris"].login == "credentials of frankfurt"
    assert placed["dublin"].login == "credentials of dublin"
    assert placed["zurich"].login == "aws, by its default chain"
    assert placed["frankfurt"].account == placed["dublin"].account == "aws, not named"
    assert placed["zurich"].account == "of its own"


@pytest.mark.parametrize(
    ("url", "endpoint", "provider"),
    [
        ("s3://b", None, "aws"),
        ("gs://b", None, "gcp"),
        ("az://b", None, "azure"),
        ("s3://b", "https://s3.example.com:9000", "s3.example.com"),
        ("file:///b", None, "site"),
    ],
)
def test_a_provider_without_a_region_is_reported_by_its_url(url: str, endpoint: str | None, provider: str) -> None:
    (placed,) = place_replicas(plan(changed(FRANKFURT, url=url, endpoint=endpoint, region="")))

    assert placed.provider == provider


def test_a_directory_is_on_the_writers_host_unless_it_says_otherwise() -> None:
    mounted = changed(SAFE, name="nas", offline=False, synced_every=None, on_writer_host=False)
    local = changed(SAFE, name="disk", offline=False, synced_every=timedelta(days=1))

    assert [one.on_writer_host for one in place_replicas(plan(SAFE, mounted, local, IOWA))] == [
        False, False, True, False,
    ]  # fmt: skip
