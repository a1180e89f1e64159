"""Checking without keys or egress, at three clouds' own APIs and a directory: what is found, what is not claimed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from farshore.access import open_repository
from farshore.access.open_replica import open_bare_store
from farshore.access.query import LastChecks, last_checks, open_tables, run_query
from farshore.access.unlock import Need
from farshore.check_results import ReplicaProof, VerifyResult
from farshore.errors import FarshoreError
from farshore.format import names
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.verify.remote.scrub import scrub_repository
from farshore.run import Run
from farshore.stores.base import ANY_OBJECT, Store
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace
from tests.doubles.faulty import STALE, TRUNCATE, Fault, FaultyStore
from tests.end_to_end.setting import Setting

CLOUDS = ("frankfurt", "iowa", "sydney")
REPLICAS = {"frankfurt": "s3", "dublin": "s3", "iowa": "gs", "sydney": "az", "vault": "file"}


def _last_checks(world: Setting, replicas: list[str]) -> dict[str, LastChecks]:
    with open_tables(world.config, clock=world.clock) as repository:
        return last_checks(repository, replicas)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory, fresh_place: FreshPlace) -> Setting:
    """One source, two snapshots, two packs; two replicas at one provider, one at each of two others, a directory."""
    root = tmp_path_factory.mktemp("remote")
    home = root / "home"
    home.mkdir()
    made = Setting(
        root, {name: fresh_place(kind) for name, kind in REPLICAS.items()},
        {"home": f'type = "directory"\npath = "{home}"'},
    )  # fmt: skip
    made.initialize(write_only=True)
    for number in range(2):
        (home / f"file-{number}").write_bytes(random.Random(number).randbytes(300_000))
        assert all(one.committed for one in made.backup("home").replicas)
    return made


def scrub(
    setting: Setting,
    *,
    replica: str | None = None,
    need: Need = Need.NONE,
    wrap: Callable[[str, Store], Store] = lambda _, store: store,
) -> VerifyResult:
    with open_repository(setting.config, need=need, replica=replica, clock=setting.clock) as repository:
        repository.replicas = {
            name: replace(one, store=wrap(name, one.store)) for name, one in repository.replicas.items()
        }
        return scrub_repository(repository, replica=replica, run=Run.start(setting.clock))


def proof_of(result: VerifyResult, replica: str) -> ReplicaProof:
    (one,) = [one for one in result.proofs if one.replica == replica]
    return one


def damage(result: VerifyResult) -> set[tuple[str, str, str]]:
    return {(one.replica, one.name, one.code) for one in result.damaged}


@contextmanager
def store_of(setting: Setting, replica: str) -> Iterator[Store]:
    with closing(open_bare_store(setting.config, setting.config.replicas[replica], setting.clock)) as store:
        yield store


@contextmanager
def instead(setting: Setting, replica: str, name: str, body: bytes | None) -> Iterator[None]:
    """Have another object under a name for a while, put as any client may; None has none there."""
    with store_of(setting, replica) as store:
        before = store.get(name)
        store.delete(name, ANY_OBJECT)
        if body is not None:
            store.put(name, body)
        yield
        store.delete(name, ANY_OBJECT)
        store.put(name, before)


def packs(setting: Setting) -> list[str]:
    with store_of(setting, "vault") as store:
        return [info.name for info in store.list(names.PACKS)]


def a_manifest(setting: Setting) -> str:
    with store_of(setting, "vault") as store:
        listed = [info.name for info in store.list(names.RUNS)]
        return next(name for name in listed if store.get(name, 0, 6) == b"FSOB\x01\x01")


def test_sound_replicas_are_proven_without_a_key_and_nothing_is_read_of_them(setting: Setting) -> None:
    result = scrub(setting)
    assert result.clean, damage(result)
    assert (result.method, result.snapshots, result.recorded) == ("remote", 2, False)
    for replica in REPLICAS:
        proof = proof_of(result, replica)
        assert (proof.damaged, proof.unrecorded, proof.foreign, proof.at_work) == (0, 0, 0, False)
        assert proof.listing_complete
        assert proof.records_from in REPLICAS
    made = len(run_query(setting.config, "SELECT DISTINCT object FROM objects", clock=setting.clock).rows)
    for replica in CLOUDS:
        proof = proof_of(result, replica)
        assert (proof.tells_checksums, proof.unproven) == (True, 0)
        assert proof.proven >= made + 2, "every object that a run made, the header and a slot"
    vault = proof_of(result, "vault")
    assert (vault.tells_checksums, vault.unproven) == (False, made)
    assert proof_of(result, "frankfurt").audit_unproven == 0, "its neighbor at the same provider tells the same"
    assert proof_of(result, "iowa").audit_unproven > 0, "nobody else speaks its kind of checksum"
    assert result.unproven == 0
    assert result.bytes_read < 5 * 40_000  # header, owner log and slots of each
    asked = {one.replica: one for one in result.requests}
    assert asked["iowa"].heads == asked["sydney"].heads == 0, "their listings tell"
    assert 0 < asked["frankfurt"].heads <= proof_of(result, "frankfurt").objects
    assert all(one.puts == 0 for one in result.requests)
    packed = sum(int(str(size)) for (size,) in run_query(
        setting.config, "SELECT bytes FROM objects WHERE kind = 'pack'", clock=setting.clock).rows)  # fmt: skip
    assert sum(one.bytes_down for one in result.requests) < packed / 2


@pytest.mark.parametrize("replica", CLOUDS)
@pytest.mark.parametrize("what", ["pack", "manifest"])
def test_an_object_that_was_put_anew_with_its_size_kept(setting: Setting, replica: str, what: str) -> None:
    name = packs(setting)[0] if what == "pack" else a_manifest(setting)
    with store_of(setting, replica) as store:
        data = store.get(name)
    with instead(setting, replica, name, data[:100] + bytes([data[100] ^ 1]) + data[101:]):
        result = scrub(setting)
        assert damage(result) == {(replica, name, "altered")}
        assert len(result.damaged[0].snapshots) > 0
    assert scrub(setting).clean


@pytest.mark.parametrize("replica", CLOUDS)
def test_an_object_that_was_replaced_by_another_valid_one(setting: Setting, replica: str) -> None:
    one, other = packs(setting)[:2]
    with store_of(setting, replica) as store:
        body = store.get(other)
    with instead(setting, replica, one, body):
        ((found, name, code),) = damage(scrub(setting))
    assert (found, name) == (replica, one)
    assert code in ("altered", "truncated")


@pytest.mark.parametrize("replica", [*CLOUDS, "vault"])
def test_an_object_that_was_cut_or_deleted(setting: Setting, replica: str) -> None:
    name = packs(setting)[1]
    with store_of(setting, replica) as store:
        data = store.get(name)
    with instead(setting, replica, name, data[:-1]):
        assert damage(scrub(setting)) == {(replica, name, "truncated")}
    with instead(setting, replica, name, None):
        result = scrub(setting)
        assert damage(result) == {(replica, name, "missing")}
        assert proof_of(result, replica).listing_complete
    assert scrub(setting).clean


def test_an_object_put_anew_with_another_kind_of_checksum(setting: Setting, s3_server: SeaweedServer) -> None:
    """What other S3 clients send by default is no CRC64NVME, so there is nothing to compare, which itself shows it."""
    name = packs(setting)[0]
    place = urlsplit(setting.config.replicas["frankfurt"].url)
    key = f"{place.path.strip('/')}/{name}"
    with store_of(setting, "frankfurt") as store:
        data = store.get(name)
        s3_server.client.put_object(Bucket=place.netloc, Key=key, Body=b"?" + data[1:], ChecksumAlgorithm="SHA256")
        try:
            result = scrub(setting)
            assert damage(result) == {("frankfurt", name, "altered")}
            (found,) = result.damaged
            assert "crc64nvme" in found.detail
        finally:
            store.delete(name, ANY_OBJECT)
            store.put(name, data)


def test_foreign_and_unrecorded_objects_are_distinguished_and_alarm_nobody(setting: Setting) -> None:
    orphan = names.pack("ab" * 32)
    with store_of(setting, "iowa") as store:
        store.put("somebody/elses.txt", b"hello")
        store.put(orphan, b"of a run that was killed")
        try:
            result = scrub(setting)
            proof = proof_of(result, "iowa")
            assert result.clean
            assert (proof.foreign, proof.foreign_names, proof.unrecorded) == (1, ("somebody/elses.txt",), 1)
            assert proof_of(result, "sydney").foreign == 0
        finally:
            store.delete("somebody/elses.txt", ANY_OBJECT)
            store.delete(orphan, ANY_OBJECT)


def test_two_replicas_of_one_provider_judge_what_no_row_tells_of(setting: Setting) -> None:
    orphan = names.pack("cd" * 32)
    with store_of(setting, "frankfurt") as one, store_of(setting, "dublin") as other:
        one.put(orphan, b"the same bytes")
        other.put(orphan, b"the same bytes")
        try:
            assert scrub(setting).clean
            other.delete(orphan, ANY_OBJECT)
            other.put(orphan, b"the same byteS")
            assert damage(scrub(setting)) == {("frankfurt", orphan, "altered"), ("dublin", orphan, "altered")}
            assert scrub(setting, replica="dublin").clean, "alone it has nobody to compare with"
        finally:
            one.delete(orphan, ANY_OBJECT)
            other.delete(orphan, ANY_OBJECT)


@pytest.mark.parametrize("fault", [TRUNCATE, STALE], ids=["cut", "empty"])
@pytest.mark.parametrize("replica", ["frankfurt", "sydney", "vault"])
def test_a_listing_that_leaves_things_out_is_neither_clean_nor_damage(
    setting: Setting, replica: str, fault: Fault
) -> None:
    def wrap(name: str, store: Store) -> Store:
        if name != replica:
            return store
        faulty = FaultyStore(
            store, clock=setting.clock, plan=lambda verb, prefix, _: fault if verb == "list" and not prefix else None
        )
        for info in store.list():
            faulty.hide(info.name)
        return faulty

    result = scrub(setting, wrap=wrap)
    assert not result.clean
    assert result.inconclusive == (replica,)
    assert damage(result) <= {(replica, names.SLOTS, "missing")}
    assert proof_of(result, replica).listing_complete is False


@pytest.mark.parametrize("table", ["", "needs"])
def test_without_audit_tables_nothing_is_clean(setting: Setting, tmp_path: Path, table: str) -> None:
    lost = {name: tmp_path / name for name in ("one", "two")}
    shutil.copytree(setting.root / "state", tmp_path / "state")
    source = Path(urlsplit(setting.config.replicas["vault"].url).path)
    for path in lost.values():
        shutil.copytree(source, path)
        shutil.rmtree(path / "audit" / table)
        if table:
            shutil.rmtree(path / "audit" / "copies")
    vault = setting.config.replicas["vault"]
    config = replace(
        setting.config,
        replicas={name: replace(vault, name=name, url=path.as_uri()) for name, path in lost.items()},
        state_dir=tmp_path / "fresh",
    )
    with open_repository(config, need=Need.NONE, clock=setting.clock) as repository:
        result = scrub_repository(repository, run=Run.start(setting.clock))
    assert not result.clean
    assert result.inconclusive == ("one", "two")
    assert result.damaged == ()


def test_results_are_kept_where_a_key_can_sign_them_and_only_changes_have_rows(setting: Setting) -> None:
    def rows(what: str) -> list[tuple[object, ...]]:
        return run_query(setting.config, what, replica="vault", clock=setting.clock).rows

    name = packs(setting)[0]
    with store_of(setting, "iowa") as store:
        data = store.get(name)
    assert scrub(setting, need=Need.WRITE).clean
    assert rows("SELECT count(*) FROM proofs") == [(0,)], "a sound object has no row"
    with instead(setting, "iowa", name, data[:-1]):
        for _ in range(2):
            assert not scrub(setting, need=Need.WRITE).clean
        assert _last_checks(setting, ["vault"])["iowa"].clean is False
        unsound = "SELECT replica, object, state, against FROM proofs_now WHERE state <> 'ok'"
        assert rows(unsound) == [("iowa", name, "truncated", "sent")]
        assert rows("SELECT count(*) FROM proofs") == [(1,)]
    assert scrub(setting, need=Need.WRITE).clean
    assert rows("SELECT state FROM proofs ORDER BY checked_utc") == [("truncated",), ("ok",)]
    last = _last_checks(setting, ["vault"])
    assert last["iowa"].clean
    assert last["iowa"].remote_utc is not None
    assert last["vault"].remote_utc is None, "a directory proves nothing by its sizes"
    proven = rows("SELECT replica, never_proven FROM replica_proofs ORDER BY replica")
    assert proven == [("dublin", 0), ("frankfurt", 0), ("iowa", 0), ("sydney", 0), ("vault", len(packs(setting)))]


def test_a_replica_of_another_kind_that_heal_filled_is_proven_too(tmp_path: Path, fresh_place: FreshPlace) -> None:
    """No backup sent it anything, so what heal sent is what its provider must tell."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "file").write_bytes(random.Random(9).randbytes(100_000))
    places = {"vault": fresh_place("file"), "sydney": fresh_place("az")}
    sources = {"home": f'type = "directory"\npath = "{tmp_path / "home"}"'}
    before = Setting(tmp_path, {"vault": places["vault"]}, sources, quorum=1)
    before.initialize(write_only=True)
    before.backup("home")
    after = Setting(tmp_path, places, sources, quorum=1)
    with open_context(after.config, clock=after.clock) as ground:
        heal_repository(ground, HealOptions(replica="sydney", new=("sydney",)), run=Run.start(after.clock))
    proof = proof_of(scrub(after, replica="sydney"), "sydney")
    assert (proof.damaged, proof.unproven, proof.unrecorded) == (0, 0, 0)


def test_damage_below_the_service_is_seen_by_reading_and_not_by_its_checksum(
    setting: Setting, s3_server: SeaweedServer
) -> None:
    """A service answers from its index what it computed when the object came; docs/stores/contract.md says so."""
    name = packs(setting)[0]
    with store_of(setting, "vault") as store:
        data = store.get(name)
    places = list(_places(s3_server.directory / "data", data[1000:1064]))
    assert len(places) >= 2, "one for each of the two replicas there"
    with store_of(setting, "dublin") as store:
        try:
            for volume, at in places:
                _flip(volume, at)
            assert scrub(setting, replica="dublin").clean
            with pytest.raises(FarshoreError):
                store.get(name)
        finally:
            for volume, at in places:
                _flip(volume, at)
        assert store.get(name) == data


def _places(folder: Path, wanted: bytes) -> Iterator[tuple[Path, int]]:
    """Yield where the service's own files hold some bytes."""
    for path in folder.rglob("*.dat"):
        content, at = path.read_bytes(), -1
        while (at := content.find(wanted, at + 1)) >= 0:
            yield path, at


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
