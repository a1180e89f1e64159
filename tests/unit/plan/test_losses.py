"""What is left after each loss: by hand for each kind, and what to change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from farshore.config import Config, HolderConfig, HolderKind, PlacementConfig
from farshore.errors import ConfigInvalid
from farshore.plan.flipped_bit import OBJECT_KINDS, simulate_flipped_bits
from farshore.plan.judging import SimulatedLoss, simulate
from farshore.plan.losses import LossKind, check_accepted, plan_losses
from farshore.stores.object_retention import LockMode
from tests.unit.plan.plans import ADA, FRANKFURT, HOME, IOWA, SAFE, SYDNEY, VAULT, changed, credentials, plan

DAY = timedelta(days=1)
NAS = changed(SAFE, name="nas", url="file:///nas", offline=False, synced_every=None)


def after(config: Config) -> dict[str, SimulatedLoss]:
    return {one.loss: one for one in simulate(config, plan_losses(config))}


def test_every_kind_of_loss_is_simulated() -> None:
    found = after(plan(passphrase=True))

    assert {one.kind for one in found.values()} == {kind.value for kind in LossKind} - {"bit"}
    assert {"provider:aws", "region:gcp:us-central1", "jurisdiction:EU", "account:azure, not named"} <= found.keys()
    assert {"login:gcp, by its default chain", "writer-host", "holder:ada", "holder-kind:recipient"} <= found.keys()
    assert found["nothing"].verdict == "unharmed"


@pytest.mark.parametrize(
    ("loss", "gone"),
    [
        ("provider:aws", {"frankfurt"}),
        ("provider:site", {"safe"}),
        ("region:azure:australiaeast", {"sydney"}),
        ("jurisdiction:EU", {"frankfurt", "safe"}),
        ("account:gcp, not named", {"iowa"}),
    ],
)
def test_what_lies_together_is_lost_together(loss: str, gone: set[str]) -> None:
    found = after(plan())[loss]

    assert set(found.gone) == gone
    assert set(found.survives) == {"frankfurt", "iowa", "sydney", "safe"} - gone
    assert found.verdict == "survives"
    assert found.is_newest_held == (len(gone) < 2)


def test_a_stolen_login_deletes_what_nothing_protects() -> None:
    shared = credentials("A")
    open_one = changed(FRANKFURT, credentials=shared)
    locked = changed(IOWA, name="locked", url="s3://locked", region="aws:us-east-1", credentials=shared,
                     immutable=LockMode.GOVERNANCE, immutable_days=14)  # fmt: skip
    versioned = changed(locked, name="kept", url="s3://kept", immutable=None, immutable_days=0, versioned=True)
    found = after(plan(open_one, locked, versioned, SYDNEY))["login:credentials of frankfurt"]

    assert found.gone == ("frankfurt",)
    assert set(found.survives) == {"locked", "kept", "sydney"}
    assert not found.is_quorum_possible  # only one is left with a login that still counts
    assert found.verdict == "degraded"
    assert "locked keeps what is younger than its lock of 14 days" in found.notes
    assert any("bring back the versions from before at kept" in note for note in found.notes)
    assert any("1 more replica with another login" in change for change in found.changes)


def test_a_ransomware_operator_leaves_what_is_immutable_versioned_or_offline() -> None:
    bare = after(plan(FRANKFURT, IOWA))["ransomware"]
    assert (bare.verdict, bare.survives) == ("nothing", ())
    assert bare.leaves_nothing
    assert bare.changes[0].startswith("make at least one replica immutable, versioned or offline")

    locked = changed(FRANKFURT, immutable=LockMode.COMPLIANCE, immutable_days=90)
    found = after(plan(locked, changed(IOWA, versioned=True), SYDNEY, SAFE, passphrase=True))["ransomware"]
    assert found.gone == ("sydney",)
    assert found.verdict == "survives"
    assert found.opens_with == ("ada", "vault")  # not what lay on the host
    assert any("reads every backup" in note for note in found.notes)
    assert not any("reads every backup" in note for note in after(plan(locked))["ransomware"].notes)


def test_a_lock_on_the_writers_own_disk_stops_nobody_who_rules_the_host() -> None:
    own = changed(NAS, immutable=LockMode.COMPLIANCE, immutable_days=90)

    assert after(plan(own, IOWA))["ransomware"].survives == ()
    assert after(plan(changed(own, on_writer_host=False), IOWA))["ransomware"].survives == ("nas",)


def test_the_writers_host_takes_its_directories_and_its_keys() -> None:
    on_host = HolderConfig("copy", HolderKind.PASSPHRASE, on_writer_host=True)
    found = after(plan(NAS, IOWA, SYDNEY, holders=(on_host, ADA), passphrase=True))["writer-host"]

    assert found.gone == ("nas",)
    assert found.opens_with == ("ada",)
    assert found.verdict == "survives"
    assert any("farshore key enroll" in note for note in found.notes)

    alone = after(plan(IOWA, SYDNEY, holders=(), passphrase=True))["writer-host"]
    assert (alone.verdict, alone.survives) == ("nothing", ("iowa", "sydney"))
    assert any("[holders]" in change for change in alone.changes)


def test_key_holders_are_lost_each_alone_and_by_kind() -> None:
    found = after(plan(holders=(VAULT, HolderConfig("bob", HolderKind.PASSPHRASE))))
    assert found["holder:vault"].opens_with == ("bob",)
    assert found["holder:vault"].verdict == "survives"
    assert found["holder-kind:passphrase"].verdict == "nothing"
    assert found["holder-kind:passphrase"].changes == ("add a holder of another kind: a recipient",)

    assert after(plan(holders=(VAULT, ADA)))["holder-kind:passphrase"].opens_with == ("ada",)


def test_a_plan_that_names_nobody_with_a_key_restores_nothing() -> None:
    found = after(plan(holders=()))

    assert {one.verdict for one in found.values()} == {"nothing"}


def test_the_rpo_is_that_of_the_schedule_and_of_visits_where_only_an_offline_copy_is_left() -> None:
    found = after(plan(FRANKFURT, SAFE, quorum=1))

    assert found["provider:site"].sources[0].rpo == DAY
    lost = found["provider:aws"]
    assert lost.sources[0].rpo == 8 * DAY
    assert not lost.is_newest_held
    assert any("home loses up to 8d instead of 1d" in change for change in lost.changes)

    no_visits = after(plan(FRANKFURT, changed(SAFE, synced_every=None), quorum=1))["provider:aws"]
    assert no_visits.sources[0].rpo is None


def test_a_quorum_that_lost_copies_cannot_make_up_holds_the_newest_snapshot() -> None:
    by_one = after(plan(FRANKFURT, IOWA, quorum=1))["provider:aws"]
    assert not by_one.is_newest_held
    assert "repository.quorum = 2, so that a snapshot counts only when one outside holds it" in by_one.changes

    assert after(plan(FRANKFURT, IOWA, quorum=2))["provider:aws"].is_newest_held


def test_an_answer_of_the_replicas_says_what_is_left_of_each_source() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    newest = {"frankfurt": {"home": now - timedelta(hours=1)}, "iowa": {"home": now - timedelta(hours=30)}}
    config = plan(FRANKFURT, IOWA)
    found = {one.loss: one for one in simulate(config, plan_losses(config), newest=newest, now_utc=now)}

    assert found["nothing"].sources[0].age == timedelta(hours=1)
    assert found["provider:aws"].sources[0].newest_utc == now - timedelta(hours=30)
    assert found["provider:aws"].sources[0].age == timedelta(hours=30)
    assert found["ransomware"].sources[0].newest_utc is None


def test_an_accepted_loss_is_reported_and_is_no_failure() -> None:
    config = plan(FRANKFURT, IOWA, policy=PlacementConfig(accepted=("ransomware",)))
    found = after(config)["ransomware"]

    assert found.verdict == "nothing"
    assert found.is_accepted
    assert not found.leaves_nothing


def test_an_accepted_loss_that_does_not_exist_is_refused() -> None:
    config = plan(policy=PlacementConfig(accepted=("provider:asw",)))

    with pytest.raises(ConfigInvalid, match="no loss of this plan") as caught:
        check_accepted(config, [one.name for one in plan_losses(config)])
    assert "'provider:aws'" in caught.value.hint


def test_one_flipped_bit_costs_nothing_where_there_is_another_copy() -> None:
    found = simulate_flipped_bits(plan(FRANKFURT, IOWA))

    assert [one.subject for one in found] == [kind.name for kind in OBJECT_KINDS]
    assert {one.verdict for one in found} == {"unharmed"}


def test_one_flipped_bit_in_the_only_copy_costs_what_stands_there() -> None:
    found = {one.subject: one for one in simulate_flipped_bits(plan(FRANKFURT, quorum=1))}

    assert found["header"].verdict == "nothing"
    assert found["pack"].verdict == "partial"
    assert found["index"].verdict == found["lease"].verdict == "unharmed"
    assert found["slot"].verdict == "partial"  # the other holder opens it
    one_slot = {one.subject: one for one in simulate_flipped_bits(plan(FRANKFURT, quorum=1, holders=(VAULT,)))}
    assert one_slot["slot"].verdict == "nothing"
    assert "second replica" in found["pack"].changes[0]


def test_a_source_without_schedule_and_rpo_has_no_known_rpo() -> None:
    config = plan(sources=(changed(HOME, schedule="", rpo=None),))  # type: ignore[arg-type]

    assert after(config)["nothing"].sources[0].rpo is None
