"""Needs of a stolen writer that say what objects of others must be: hashes in names decide, and nobody's heal stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.audit import rights
from farshore.ops.verify import verify
from farshore.repair import needed_objects
from tests.attacks.world import Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.enroll("thief")
    return victim


def claim(victim: Victim, what: str) -> list[str]:
    credential = victim.root / "thief.credential"
    return attack("stolen_claims.py", what, victim.replica("one"), credential, victim.now()).split()


def lose_a_pack(victim: Victim) -> Path:
    """Lose the victim's pack at one replica, as a bad disk does."""
    pack = next(victim.replica("two").glob("packs/*/*"))
    pack.unlink()
    return pack


def test_needs_that_lie_about_the_packs_of_others_stop_no_heal_of_theirs(victim: Victim) -> None:
    before = victim.stored()
    (commit,) = [name for name in claim(victim, "needs") if name.startswith("snapshots/")]
    lost = lose_a_pack(victim)
    done = victim.run("heal")
    assert done.code == 65, "the snapshot of the thief lacks packs, and heal says so"
    assert commit.split("/")[2][:32] in done.said
    assert lost.exists()
    victim.stands(before)

    found = victim.run("verify", "--read-data")
    assert found.code == 62
    blamed = {one["name"]: one["snapshots"] for one in found.of("verify")[0]["damaged"]}
    assert {tuple(snapshots) for snapshots in blamed.values() if snapshots} == {(commit.split("/")[2][:32],)}
    assert not blamed.keys() & {name for _, name in before}
    planted = commit.split("/")[2][:32]
    victim.good("key", "revoke", "thief", "--reason", "stolen", "--refuse", planted, "--yes")
    assert {one["action"] for one in victim.good("heal").of("heal")[0]["repairs"]} <= {"none"}
    assert victim.run("verify", "--read-data").code == 0


def test_a_heal_that_goes_by_any_size_that_was_said_leaves_the_victims_pack_lost(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(victim, "needs")
    lost = lose_a_pack(victim)
    monkeypatch.setattr(needed_objects, "_settled", lambda said, _: max(said))
    victim.run("heal")
    assert not lost.exists()


def test_the_last_sequence_of_the_thiefs_own_source_stops_no_other(victim: Victim) -> None:
    before = victim.stored()
    claim(victim, "sequence")
    victim.write(b"another night")
    victim.backup()
    victim.good("backup", "home")
    victim.stands(before)


def claimed_evidence(victim: Victim) -> None:
    victim.good("verify", "--read-data")
    claim(victim, "evidence")
    done = victim.run("verify")
    assert done.code == 62, "a file that a seal names is gone"
    (damaged,) = done.of("verify")[0]["damaged"]
    assert (damaged["code"], damaged["replica"]) == ("missing", "one")
    assert "sealed by thief" in damaged["detail"]
    victim.good("key", "revoke", "thief", "--reason", "stolen", "--yes")


def test_evidence_that_a_thief_claims_is_no_loss_once_it_is_revoked(victim: Victim) -> None:
    before = victim.stored()
    claimed_evidence(victim)
    done = victim.good("verify")
    assert [(one["reason"], "sealed by thief" in one["detail"]) for one in done.of("refused")] == [("claimed", True)]
    answer = victim.good("sql", "SELECT source FROM snapshots", "--replica", "one")
    assert [one["row"] for one in answer.of("row")] == [{"source": "home"}], "nor does it hide the rows of others"
    victim.stands(before)


def test_if_every_claim_were_a_loss_a_thief_would_keep_verify_red_for_ever(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed_evidence(victim)
    monkeypatch.setattr(verify, "settle_claims", lambda _: None)
    assert victim.run("verify").code == 62


def ghosts(victim: Victim) -> int:
    """Return how many snapshots of the next century the victim is shown."""
    sql = "SELECT count(*) AS ghosts FROM snapshots WHERE committed_utc > '2090-01-01'"
    return int(victim.run("sql", sql, "--replica", "one").of("row")[0]["row"]["ghosts"])


def test_rows_about_sources_of_others_are_counted_and_not_used(victim: Victim) -> None:
    victim.good("verify", "--read-data")
    before = victim.stored()
    planted = [name for name in claim(victim, "audit") if name.endswith(".parquet")]
    assert {"checks", "proofs", "runs"} <= {name.split("/")[1] for name in planted}
    assert ghosts(victim) == 0
    assert "not used" in victim.run("sql", "SELECT * FROM snapshots", "--replica", "one").stderr
    done = victim.good("status")
    unused = done.of("trust")[0]["unused_audit_files"]["one"]
    assert len(planted) - unused <= 2, "but for what is about no source: no rows, and that of the `init`"
    assert done.of("replica")[0]["last_check_utc"] < victim.now()
    assert not done.of("source"), "no source of the victim looks misdated"
    victim.good("heal")
    victim.stands(before)


def test_without_the_sources_of_certificates_snapshots_of_the_next_century_show(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(victim, "audit")
    monkeypatch.setattr(rights, "_allows", lambda *_: True)
    assert ghosts(victim) == 1
    assert victim.run("status").of("source")[0]["state"] == "misdated"
