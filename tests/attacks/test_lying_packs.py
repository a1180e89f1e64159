"""A4, and a stolen writer inside a shared domain: no backup goes by a pack that lies, whatever its maker says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.catalog import verdicts
from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.verdicts import PackIds, Verdicts
from tests.attacks.world import CONTENT, Victim, attack

NEW = b"what the victim backs up next\n" * 1000


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    (victim.root / "new").write_bytes(NEW)
    (victim.root / "old").write_bytes(CONTENT)
    return victim


def plant(victim: Victim, file: str, *words: str) -> str:
    credential = victim.root / "thief.credential"
    return attack("a04_lying_pack.py", victim.replica("one"), credential, victim.root / file, *words).strip()


def found_lying(victim: Victim) -> list[str]:
    """Read all packs, as the owner; return the ids of those that are quarantined since."""
    done = victim.run("verify", "--read-data")
    quarantined: list[str] = done.of("verify")[0]["quarantined"]
    assert set(quarantined) == {one["name"].rpartition("/")[2] for one in done.of("verify")[0]["damaged"]}
    return quarantined


@pytest.mark.parametrize("words", [(), ("proven",), ("proven", "lying")], ids="-".join)
@pytest.mark.parametrize("file", ["new", "old"])
def test_content_to_come_and_content_that_is_there_restore_whatever_a_thief_claims(
    victim: Victim, file: str, words: tuple[str, ...]
) -> None:
    victim.enroll("thief")
    before = victim.stored()
    lying = plant(victim, file, *words)
    victim.write(NEW)
    victim.backup()
    victim.write(CONTENT)
    packs = len([name for _, name in victim.stored() if name.startswith("packs/")])
    victim.backup()
    assert len([name for _, name in victim.stored() if name.startswith("packs/")]) == packs, "its own it reuses still"
    assert found_lying(victim) == [lying.rpartition("/")[2]]
    assert victim.run("status").of("trust")[0]["quarantined"] == [lying.rpartition("/")[2]]
    victim.backup()
    victim.stands(before)
    assert lying in {name for _, name in victim.stored()}, "a quarantine removes nothing"


def test_a_pack_that_somebody_lets_out_of_quarantine_is_found_again(victim: Victim) -> None:
    victim.enroll("thief")
    lying = plant(victim, "new").rpartition("/")[2]
    assert found_lying(victim) == [lying]
    (listed,) = victim.good("quarantine", "list").of("quarantined")
    assert (listed["pack"], len(listed["verdicts"])) == (lying, 1)
    assert victim.run("quarantine", "lift", "0" * 64, "--reason", "bad memory").code == 40
    lifted = victim.good("quarantine", "lift", lying[:20], "--reason", "bad memory").of("lifted")
    assert [one["packs"] for one in lifted] == [[lying]]
    assert not victim.good("quarantine", "list").of("quarantined")
    assert found_lying(victim) == [lying]
    assert [one["pack"] for one in victim.good("quarantine", "list").of("quarantined")] == [lying]


def _lost(victim: Victim) -> bool:
    victim.write(NEW)
    return victim.restored(victim.backup()) is None


def test_by_the_word_of_every_maker_the_next_backup_is_lost(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.enroll("thief")
    plant(victim, "new")
    monkeypatch.setattr(PackTrust, "_may_reuse", lambda *_: True)
    assert _lost(victim)


def test_by_the_word_of_every_verifier_the_next_backup_is_lost(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.enroll("thief")
    plant(victim, "new", "proven")
    monkeypatch.setattr(verdicts, "may_prove", lambda *_: True)
    assert _lost(victim)


def test_by_the_word_of_every_accuser_all_is_stored_anew(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.enroll("thief")
    plant(victim, "new", "lying")
    packs = {name for _, name in victim.stored() if name.startswith("packs/")}
    monkeypatch.setattr(verdicts, "may_quarantine", lambda *_: True)
    victim.backup()
    assert {name for _, name in victim.stored() if name.startswith("packs/")} > packs


@pytest.mark.parametrize("defended", [True, False])
def test_what_a_thief_of_the_hosts_own_credential_packed_is_stored_anew_after_a_verify(
    victim: Victim, monkeypatch: pytest.MonkeyPatch, defended: bool
) -> None:
    """Its own packs a host believes: until somebody who can read looks at them."""
    victim.enroll(victim.name)
    (victim.root / f"{victim.name}.credential").rename(victim.root / "thief.credential")
    lying = plant(victim, "new")
    victim.write(NEW)
    lost = victim.backup()
    assert victim.restored(lost) is None
    assert found_lying(victim) == [lying.rpartition("/")[2]]
    if not defended:
        monkeypatch.setattr(Verdicts, "bad", lambda _, pack_ids: PackIds().among(pack_ids))
    kept = victim.backup()
    assert (victim.restored(kept) == NEW) is defended
    assert (victim.restored(lost) == NEW) is defended, "the chunk is in another pack now"
