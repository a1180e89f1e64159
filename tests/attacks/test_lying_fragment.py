"""A2: a fragment that a stolen writer signed lies about a genuine pack; all earlier snapshots restore all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from farshore.format import fragments, names
from farshore.format.pack import decode_tail
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
    assert done.code == 62
    assert {(one["code"], one["snapshots"] == []) for one in done.of("verify")[0]["damaged"]} == {("missing", True)}
    assert "signed by thief" in done.said
    assert victim.good("heal").of("heal")[0]["repairs"] == []
    victim.backup()
    victim.stands(before)


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
