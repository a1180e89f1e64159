"""A1 and A9: planted slots, and a whole repository of the attacker in place of one replica."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore import crypto, trust
from farshore.access import open_slots, read_trust
from farshore.access.unlock import Need
from farshore.errors import FarshoreError, FingerprintUnknown
from farshore.sealed import slots
from tests.attacks.world import Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path / "victim")


def test_a_planted_slot_of_a_recipient_is_passed_over(victim: Victim) -> None:
    first = victim.backup()
    attack("a01_planted_slot.py", victim.replica("one"), victim.line)

    second = victim.backup(Need.READ)
    assert {one.snapshot_id for one in victim.snapshots()} == {first, second}
    for only in ("one", "two"):
        assert victim.restores(first, only=only)
        assert victim.restores(second, only=only)


def test_without_the_signature_the_planted_slot_opens(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "is_signed_by", lambda *_: True)
    monkeypatch.setattr(open_slots, "is_current", lambda *_: True)  # which looks whether the log knows its private key
    monkeypatch.setattr(trust, "_slots", lambda _: ())  # by which the genuine ones are asked for first
    first = victim.backup()
    attack("a01_planted_slot.py", victim.replica("one"), victim.line)
    try:
        shown = [one.snapshot_id for one in victim.snapshots(only="one")]
    except FarshoreError:
        shown = []
    assert first not in shown, "the victim's history is gone"


def test_a_whole_repository_of_the_attacker_is_left_out_where_anything_is_pinned(victim: Victim) -> None:
    first = victim.backup()
    attack("a01_fake_repository.py", victim.replica("one"), victim.line)

    with victim.opened() as repository:
        assert list(repository.replicas) == ["two"]
        assert "exchanged" in str(repository.unreachable["one"])
    assert victim.restores(first)
    victim.host, victim.fingerprint = "stranger", ""  # a fresh machine with the identity alone
    with pytest.raises(FarshoreError):
        victim.snapshots()
    with pytest.raises(FingerprintUnknown):
        victim.snapshots(only="one")


def test_without_pins_the_attackers_repository_is_believed(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    victim.backup()
    attack("a01_fake_repository.py", victim.replica("one"), victim.line)
    victim.host = "stranger"  # what a host remembers refuses it once more
    pin = read_trust.Pin(b"", "nothing")
    monkeypatch.setattr(read_trust, "pins_of", lambda *_: ((pin,), None))
    monkeypatch.setattr(read_trust, "is_prefix", lambda *_: True)
    assert victim.snapshots(only="one") == []


def test_planted_slots_cost_no_argon2(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A9: each would test guesses of the passphrase, or cost what its planter likes."""
    derived: list[bytes] = []
    original = crypto.keys_from_passphrase

    def counted(*args: object) -> tuple[bytes, bytes]:
        derived.append(b"")
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(crypto, "keys_from_passphrase", counted)
    first = victim.backup()
    attack("a01_planted_slot.py", victim.replica("one"), victim.line, 40)
    assert victim.restores(first)
    assert derived == []
