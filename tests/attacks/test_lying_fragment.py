"""A2: a fragment that a stolen writer signed lies about a genuine pack; all earlier snapshots restore all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from farshore.format import fragments, names
from farshore.format.pack import decode_tail
from farshore.ops.verify import verify
from farshore.ops.verify.findings import ReplicaCheck
from tests.attacks.world import Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.write(b"dear reader\n" * 300)
    (victim.root / "home/note").write_bytes(b"dear writer\n" * 300)  # as long: its chunk is taken for the other's
    victim.backup()
    victim.enroll("thief")
    return victim


def lie(victim: Victim) -> tuple[str, str]:
    genuine, fragment = attack(
        "a02_lying_fragment.py", victim.root / "thief.credential", victim.replica("one"), victim.replica("two")
    ).split()
    victim.host = "stranger"  # a machine without what the first one has cached
    return genuine, fragment


def test_the_fragment_is_of_a_pack_that_nobody_has(victim: Victim) -> None:
    before = victim.stored()
    lie(victim)
    victim.stands(before)
    done = victim.run("verify", "--read-data")
    assert done.code == 0, "no snapshot needs that pack"
    assert not done.of("verify")[0]["damaged"]
    (claim,) = done.of("refused")
    assert (claim["reason"], "signed by thief" in claim["detail"]) == ("claimed", True)
    assert "signed by thief" in done.stderr
    assert victim.good("heal").of("heal")[0]["repairs"] == []
    victim.backup()
    victim.stands(before)


def test_without_the_question_who_needs_the_pack_verify_is_red_for_ever(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(checks: Sequence[ReplicaCheck]) -> None:
        for check in checks:
            for name, (state, detail) in check.claims.items():
                check.blame(name, state, detail)

    lie(victim)
    monkeypatch.setattr(verify, "settle_claims", settle)
    for _ in range(2):
        assert victim.run("verify").code == 62
        victim.run("heal")


def test_by_the_hash_of_its_body_alone_the_lie_would_count(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    (pack,) = victim.replica("one").glob("packs/*/*")
    data = pack.read_bytes()
    body = blake3(data[: -88 - decode_tail(data[-88:], len(data)).footer_bytes]).digest()
    own = fragments.FragmentEntry.pack_id.fget  # type: ignore[attr-defined]
    named = {body: bytes.fromhex(names.parse_pack(f"packs/{pack.name[:2]}/{pack.name}") or "")}
    pack_id = property(lambda entry: named.get(entry.body_hash) or own(entry))
    monkeypatch.setattr(fragments.FragmentEntry, "pack_id", pack_id)
    lie(victim)
    (snapshot,) = victim.kept
    assert victim.restored(snapshot) is None
