"""A3, A7 and A10: what is put or exchanged at one replica without any key decides about nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.audit import chain, evidence, rights
from farshore.audit.chain import Counted, CountedFile
from farshore.audit.seals import Seal, SealedFile
from farshore.format.names import hash_of
from farshore.ops.heal import good_copy
from farshore.repair import object_checks
from farshore.trust import TrustState
from tests.attacks.world import Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    victim.backup()
    victim.write(b"the second night")
    victim.backup()
    return victim


# --- A3 ---------------------------------------------------------------------------------------------------------------


def test_a_garbage_manifest_is_replaced_and_none_is_deleted_for_its_sake(victim: Victim) -> None:
    before = victim.stored()
    manifest = attack("a03_garbage_manifest.py", victim.replica("one")).strip()
    good = victim.replica("two") / manifest
    assert victim.run("verify").code == 62
    done = victim.good("heal", "--keyless").of("heal")[0]
    assert {(one["replica"], one["action"]) for one in done["repairs"] if one["object"] == manifest} == {
        ("one", "replaced")
    }  # fmt: skip
    assert hash_of(good.read_bytes()) == good.name
    assert victim.run("verify", "--read-data").code == 0
    victim.stands(before)


def test_a_row_that_says_what_a_manifest_is_spreads_the_garbage(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = attack("a03_garbage_manifest.py", victim.replica("one")).strip()
    garbage = (victim.replica("one") / manifest).read_bytes()
    own = object_checks.digest_in_name
    for module in (object_checks, good_copy):
        monkeypatch.setattr(module, "digest_in_name", lambda one: hash_of(garbage) if one == manifest else own(one))
    victim.run("heal", "--keyless", "--read-data")
    assert (victim.replica("two") / manifest).read_bytes() == garbage


# --- A7 ---------------------------------------------------------------------------------------------------------------


def planted_files(victim: Victim) -> list[str]:
    victim.good("verify", "--read-data")
    planted = attack("a07_unsigned_audit.py", victim.replica("one")).split()
    assert {one.split("/")[1] for one in planted} == {"runs", "needs", "checks", "proofs"}
    return planted


def ghosts(victim: Victim) -> int:
    done = victim.run("sql", "SELECT count(*) AS ghosts FROM snapshots WHERE source = 'ghost'", "--replica", "one")
    return int(done.of("row")[0]["row"]["ghosts"])


def test_audit_files_that_nobody_signed_are_counted_and_neither_used_nor_copied(victim: Victim) -> None:
    victim.good("verify", "--read-data")
    checked = victim.good("status").of("replica")[0]["last_check_utc"]
    before = victim.stored()
    planted = planted_files(victim)
    done = victim.good("status")
    assert done.of("trust")[0]["unused_audit_files"] == {"one": len(planted)}
    assert checked < done.of("replica")[0]["last_check_utc"] < victim.now()
    assert ghosts(victim) == 0
    assert "not used" in victim.run("sql", "SELECT * FROM snapshots", "--replica", "one").stderr
    victim.good("heal")
    assert not [name for name in planted if (victim.replica("two") / name).exists()]
    victim.stands(before)


def test_without_the_rule_that_seals_name_files_both_replicas_are_proven_in_70_years(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = planted_files(victim)
    own: Callable[..., Counted] = chain.count_seals

    def believing(seals: Iterable[Seal], trust: TrustState, **how: Any) -> Counted:
        counted = own(seals, trust, **how)
        everybody = tuple(trust.certificates_ever(one) for one in trust.certificates)
        bodies = {name: (victim.replica("one") / name).read_bytes() for name in planted}
        files = {n: CountedFile((SealedFile(n, len(d), hash_of(d)),), everybody) for n, d in bodies.items()}
        believed: Mapping[str, CountedFile] = {**counted.files, **files}
        return replace(counted, files=believed)

    monkeypatch.setattr(evidence, "count_seals", believing)
    monkeypatch.setattr(rights, "_allows", lambda *_: True)  # which source a row is about is asked of its signers, too
    assert victim.run("status").of("replica")[0]["last_check_utc"] > "2090"
    assert ghosts(victim) > 0


# --- A10 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["put", "replace"])
def test_a_data_key_under_the_id_of_another_run_is_not_copied(victim: Victim, how: str) -> None:
    before = victim.stored()
    names = attack("a10_exchanged_key.py", how, victim.replica("one")).split()
    two = {name: data for (replica, name), data in before.items() if replica == "two"}
    assert victim.run("verify").code == (62 if how == "replace" else 0)
    for words in (["--keyless"], []):
        victim.good("heal", *words)
        now = {name: data for (replica, name), data in victim.stored().items() if replica == "two"}
        assert {name: now.get(name) for name in two} == two
        assert not set(names) & (now.keys() - two.keys())
    assert victim.run("verify").code == 0
    victim.stands(before)


def test_without_hashes_in_names_the_older_snapshot_opens_nowhere(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(iter(victim.kept))
    (name,) = attack("a10_exchanged_key.py", "replace", victim.replica("one")).split()
    (victim.replica("two") / name).unlink()  # as at a replica that is new, or was away
    monkeypatch.setattr(good_copy, "check_itself", lambda *_: True)
    victim.run("heal", "--keyless")
    assert (victim.replica("two") / name).read_bytes() == (victim.replica("one") / name).read_bytes()
    victim.host = "stranger"
    assert victim.restored(first) is None
