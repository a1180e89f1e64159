"""`farshore plan check` as a user runs it: tables, records, exit codes, and with --live what the replicas hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore

HOLDERS = '[holders.ada]\nkind = "recipient"\n[holders.safe]\nkind = "passphrase"\n'
SOUND = {
    "FARSHORE_REPLICAS__ALPHA__ON_WRITER_HOST": "false",
    "FARSHORE_REPLICAS__ALPHA__VERSIONED": "true",
    "FARSHORE_REPLICAS__BETA__ON_WRITER_HOST": "false",
    "FARSHORE_REPLICAS__BETA__IMMUTABLE": "compliance",
    "FARSHORE_REPLICAS__BETA__IMMUTABLE_DAYS": "30",
    "FARSHORE_REPLICAS__ALPHA__LATITUDE": "52.5",
    "FARSHORE_REPLICAS__ALPHA__LONGITUDE": "13.4",
    "FARSHORE_REPLICAS__ALPHA__JURISDICTION": "EU",
    "FARSHORE_REPLICAS__BETA__LATITUDE": "-33.9",
    "FARSHORE_REPLICAS__BETA__LONGITUDE": "151.2",
    "FARSHORE_REPLICAS__BETA__JURISDICTION": "AU",
}
POLICY = '[placement]\ncopies = 2\njurisdictions = 2\ndistance_km = 1000\nimmutable = 1\naccepted = ["provider:site"]\n'


@pytest.fixture
def sound(tmp_path: Path) -> Shore:
    return Shore(tmp_path, more=POLICY + HOLDERS, variables=dict(SOUND))


def test_a_sound_plan_is_reported_rule_by_rule_and_loss_by_loss(sound: Shore) -> None:
    done = sound.good("plan", "check")

    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["copies", "2", "3:", "alpha,", "beta,", "gamma", "met"] in lines
    assert ["provider:site", "-", "no", "NOTHING", "-", "nothing", "(accepted)"] in lines
    assert any(line[:1] == ["ransomware"] and line[-1] == "survives" for line in lines)
    assert "note for writer-host, ransomware: a new host is enrolled" in done.stdout
    assert done.stderr == ""


def test_records_tell_the_same(sound: Shore) -> None:
    done = sound.good("plan", "check", "--json")

    placed = {record["replica"]: record for record in done.of("placement")}
    assert placed["beta"]["place"] == {"latitude": -33.9, "longitude": 151.2}
    assert (placed["beta"]["immutable"], placed["gamma"]["on_writer_host"]) == (True, True)
    assert all(record["is_met"] for record in done.of("rule"))
    losses = {record["loss"]: record for record in done.of("loss")}
    assert losses["writer-host"]["survives"] == ["alpha", "beta"]
    assert losses["writer-host"]["opens_with"] == ["ada", "safe"]
    assert losses["ransomware"]["gone"] == ["gamma"]
    assert losses["provider:site"]["is_accepted"]
    assert {record["type"] for record in done.records} == {"placement", "rule", "loss"}


def test_a_rule_that_is_not_met_ends_with_its_exit_code(sound: Shore) -> None:
    done = sound.run("plan", "check", environment={"FARSHORE_PLACEMENT__IMMUTABLE": "2"})

    assert done.code == 81
    assert "change for immutable: lock objects at 1 more replica" in done.stdout
    assert done.stderr.startswith("error[placement-not-met]: the plan does not meet 1 rule: immutable\nhint: ")


def test_a_loss_that_leaves_nothing_is_graver_and_names_what_to_change(sound: Shore) -> None:
    environment = {"FARSHORE_PLACEMENT__COPIES": "9", "FARSHORE_PLACEMENT__ACCEPTED": "[]"}
    done = sound.run("plan", "check", "--json", environment=environment)

    assert done.code == 82
    assert [record["code"] for record in done.of("error")] == ["placement-not-met", "nothing-left"]
    (loss,) = [record for record in done.of("loss") if record["loss"] == "provider:site"]
    assert loss["changes"] == ["add a replica at another provider than site"]


def test_nobody_with_a_key_is_reported_in_a_sentence(tmp_path: Path) -> None:
    done = Shore(tmp_path, passphrase=None).run("plan", "check")

    assert done.code == 82
    assert "error[nothing-left]: nobody is named who can open the repository" in done.stderr
    assert "hint: Let somebody off this host open the repository" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("FARSHORE_REPLICAS__ALPHA__REGION", "aws:eu-wst-1", "The nearest known one is aws:eu-west-1."),
        ("FARSHORE_PLACEMENT__ACCEPTED", '["provider:sit"]', "Did you mean 'provider:site'?"),
    ],
)
def test_a_name_that_is_not_known_is_refused_by_the_nearest(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    done = Shore(tmp_path, more=HOLDERS).run("plan", "check", environment={variable: value})

    assert done.code == 10
    assert said in done.stderr


def test_live_asks_the_replicas_and_counts_no_replica_that_is_away(sound: Shore) -> None:
    assert sound.run("plan", "check", "--live").code == 14  # there is no repository yet
    sound.initialize()
    sound.good("backup", "home", "ledger")
    (sound.root / "beta").rename(sound.root / "away")
    sound.run("backup", "home")  # beta is left behind
    (sound.root / "away").rename(sound.root / "beta")

    done = sound.good("plan", "check", "--live", "--json")

    placed = {record["replica"]: record["newest"] for record in done.of("placement")}
    assert placed["alpha"]["home"] > placed["beta"]["home"]
    assert placed["alpha"]["ledger"] == placed["beta"]["ledger"]
    losses = {record["loss"]: {one["source"]: one for one in record["sources"]} for record in done.of("loss")}
    assert losses["nothing"]["home"]["newest_utc"] == placed["alpha"]["home"]
    assert losses["jurisdiction:EU"]["home"]["newest_utc"] == placed["gamma"]["home"]
    assert losses["nothing"]["home"]["age"] > 0

    (sound.root / "beta").rename(sound.root / "away")
    absent = sound.good("plan", "check", "--live")
    assert "warning: beta could not be asked: bucket-not-found" in absent.stderr
    assert "NEWEST_LEFT" in absent.stdout


def test_a_backup_warns_of_a_policy_that_is_not_met(sound: Shore) -> None:
    sound.initialize()
    assert sound.good("backup", "home").stderr.count("placement:") == 0

    done = sound.good("backup", "home", environment={"FARSHORE_PLACEMENT__OFFLINE": "1"})
    assert "warning: placement: offline: 1 wanted, found 0; keep 1 more replica disconnected" in done.stderr
