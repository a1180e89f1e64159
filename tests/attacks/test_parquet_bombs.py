"""A8: Parquet that a stolen writer signed: nobody needs much memory for it, and all else is checked and restored."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from farshore.format import bounded_parquet
from farshore.limits import MIB
from tests.attacks.world import Victim, attack

MORE_BYTES_MAX = 100 * MIB
SUM = "SELECT CAST(sum(length(kind)) AS BIGINT) AS bytes FROM snapshots"
BOMB_BYTES = 400 * MIB  # at least, of each


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.enroll("thief")
    return victim


def plant(victim: Victim, what: str) -> list[str]:
    credential = victim.root / "thief.credential"
    return attack("a08_parquet_bombs.py", what, victim.replica("one"), credential, victim.now()).split()


def peak_bytes() -> int:
    """Return the most that Arrow has ever had in this process."""
    return int(pa.default_memory_pool().max_memory())


@pytest.mark.parametrize("what", ["dictionary", "list", "metadata"])
def test_a_manifest_that_claims_much_is_damage_of_its_own_snapshot(victim: Victim, what: str) -> None:
    before, peak = victim.stored(), peak_bytes()
    (commit,) = [name for name in plant(victim, what) if name.startswith("snapshots/")]
    snapshot = commit.split("/")[2][:32]
    restored = victim.run("restore", snapshot, "--target", victim.root / "never", "--no-repair")
    assert restored.code == 60
    assert "which no writer makes" in restored.said or "than any writer makes" in restored.said
    assert victim.run("find", "letter").code in (0, 3)
    done = victim.run("verify", "--read-data")
    if what != "list":  # a column of which no chunk follows, so that only a restore reads it
        assert done.code == 62
        assert [(one["code"], one["snapshots"]) for one in done.of("verify")[0]["damaged"]] == [
            ("undecodable", [snapshot])
        ]
    victim.backup()
    victim.stands(before)
    assert peak_bytes() < peak + MORE_BYTES_MAX


def test_audit_files_that_claim_much_are_not_used(victim: Victim) -> None:
    before, peak = victim.stored(), peak_bytes()
    (planted, _) = sorted(plant(victim, "audit"))
    for words in (["status"], ["sql", SUM, "--replica", "one"], ["verify"]):
        done = victim.run(*words)
        assert done.code == 0, (words, done.said)
    assert not list((victim.root / victim.host).rglob(planted.rpartition("/")[2]))
    victim.stands(before)
    assert peak_bytes() < peak + MORE_BYTES_MAX


def test_without_a_look_at_its_pages_a_manifest_takes_what_it_likes(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(victim, "dictionary")
    monkeypatch.setattr(bounded_parquet, "_decoded_bytes", lambda *_: 0)
    victim.run("verify", "--read-data")
    assert peak_bytes() > BOMB_BYTES


def test_without_a_look_at_its_pages_an_audit_file_is_given_to_the_engine(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(victim, "audit")
    monkeypatch.setattr(bounded_parquet, "_decoded_bytes", lambda *_: 0)
    done = victim.run("sql", SUM, "--replica", "one")
    assert done.of("row")[0]["row"]["bytes"] > BOMB_BYTES, done.said
