"""Verify: every damage is found, named by its object and by what it touches, and nothing sound is blamed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.audit import names as audit_names
from farshore.check_results import VerifyResult
from farshore.errors import CheckInconclusive, HistoryCut, ReplicaEmpty, StoreUnavailable, VerifyFailed
from farshore.format import decode_object, encode_canonical, names
from farshore.model import DamagedObject
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.owner_actions import append_entry
from farshore.ops.verify.outcomes import check_errors
from farshore.ops.verify.verify import verify_repository
from farshore.repair.object_checks import check_itself
from farshore.run import Run
from farshore.trust.actions import Revocation, encode_accepted
from tests.unit.ops.engine import Engine, flipped
from tests.unit.ops.lease_world import forget
from tests.unit.ops.tree_source import TreeSource

NOISE = random.Random(1).randbytes(200_000)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize(write_only=True)


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    """Two snapshots: the second reuses the pack of the first and adds one; it has a page map."""
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", NOISE)
    tree.file(b"b", NOISE[::-1])
    tree.file(b"db", NOISE * 8, page_bytes=4096)
    engine.clock.wait_s(60)
    engine.backup(tree)
    engine.clock.wait_s(60)
    tree.write(b"b", b"changed")
    engine.backup(tree)
    return tree


def reader(engine: Engine) -> Engine:
    """The same repository from a host with all keys."""
    return engine.at("desk")


def found(engine: Engine, *, percent: float = 100.0, need: Need = Need.READ) -> dict[str, DamagedObject]:
    result: VerifyResult = reader(engine).verify(percent=percent, need=need)
    assert all(one.replica == "b" for one in result.damaged)
    return {one.name: one for one in result.damaged}


def by_role(engine: Engine, role: str) -> list[str]:
    """Return the objects of a kind, of the older snapshot first."""
    return [engine.object_of(one.snapshot_id, role) for one in engine.snapshots()]


def test_a_sound_repository_is_clean(engine: Engine, source: TreeSource) -> None:
    result = reader(engine).verify()
    assert result.clean
    assert result.replicas == ("a", "b", "c")
    assert (result.snapshots, result.read_data_percent) == (2, 100.0)
    assert result.objects > 30
    assert result.bytes_read > 3 * len(NOISE)


def test_a_pack_that_is_gone_names_its_snapshots_and_paths(engine: Engine, source: TreeSource) -> None:
    first, second = engine.snapshots()
    for pack in engine.objects("b", names.PACKS):
        engine.lose("b", pack)
    blamed = found(engine, percent=0)
    assert {one.code for one in blamed.values()} == {"missing"}
    assert len(blamed) == 2
    touched = sorted(blamed.values(), key=lambda one: len(one.snapshots))
    assert touched[0].snapshots == (second.snapshot_id,)
    assert touched[0].paths == (b"home:b",)
    assert set(touched[1].snapshots) == {first.snapshot_id, second.snapshot_id}
    assert set(touched[1].paths) == {b"home:a", b"home:b", b"home:db"}
    assert touched[1].paths_total == 3


def test_a_flip_in_a_pack_is_found_only_by_reading_it(engine: Engine, source: TreeSource) -> None:
    pack = next(iter(engine.objects("b", names.PACKS)))
    engine.flip("b", pack)
    assert found(engine, percent=0) == {}
    assert found(engine)[pack].code == "altered"


def test_a_cut_in_a_pack_is_found_by_its_size(engine: Engine, source: TreeSource) -> None:
    pack = next(iter(engine.objects("b", names.PACKS)))
    engine.alter("b", pack, lambda data: data[:-1])
    assert found(engine, percent=0)[pack].code == "truncated"


@pytest.mark.parametrize("role", ["manifest", "needs", "pages"])
@pytest.mark.parametrize(("damage", "code"), [("lost", "missing"), ("cut", "truncated"), ("flipped", "altered")])
def test_damage_to_an_object_of_a_snapshot_touches_that_snapshot(
    engine: Engine, source: TreeSource, role: str, damage: str, code: str
) -> None:
    name = by_role(engine, role)[0]
    if damage == "lost":
        engine.lose("b", name)
    else:
        engine.alter("b", name, lambda data: data[:-1] if damage == "cut" else flipped(data, len(data) // 2))
    blamed = found(engine, percent=0)
    assert list(blamed) == [name]
    assert blamed[name].code == code
    naming = [one for one in engine.snapshots() if name in {run.name for run in one.commit.all_runs}]
    assert naming
    assert sorted(blamed[name].snapshots) == sorted(one.snapshot_id for one in naming)


@pytest.mark.parametrize("at", [0, 4, 5, 6, 7, 30, 80, -1])
def test_a_commit_record_that_does_not_open_is_named(engine: Engine, source: TreeSource, at: int) -> None:
    name = by_role(engine, "commit")[0]
    engine.flip("b", name, at=at)
    blamed = found(engine, percent=0)
    assert list(blamed) == [name]
    assert blamed[name].code == "altered"
    assert blamed[name].snapshots == (engine.snapshots()[0].snapshot_id,)


@pytest.mark.parametrize("at", [0, 4, 5, 8, 30, -1])
def test_a_damaged_data_key_touches_every_snapshot_that_needs_it(engine: Engine, source: TreeSource, at: int) -> None:
    first, second = engine.snapshots()
    keys = list(engine.objects("b", names.DATA_KEYS))
    for name in keys:
        engine.flip("b", name, at=at)
    blamed = found(engine, percent=0)
    assert set(blamed) == set(keys)
    assert sorted(set(one.snapshots) for one in blamed.values()) in (
        [{second.snapshot_id}, {first.snapshot_id, second.snapshot_id}],
        [{first.snapshot_id, second.snapshot_id}, {second.snapshot_id}],
    )


def test_a_writer_sees_a_damaged_data_key_too(engine: Engine, source: TreeSource) -> None:
    name = next(iter(engine.objects("b", names.DATA_KEYS)))
    engine.flip("b", name)
    assert list(found(engine, percent=0, need=Need.WRITE)) == [name]


def test_a_data_key_that_is_gone(engine: Engine, source: TreeSource) -> None:
    for name in engine.objects("b", names.DATA_KEYS):
        engine.lose("b", name)
    assert {one.code for one in found(engine, percent=0).values()} == {"missing"}


@pytest.mark.parametrize("at", [0, 4, 5, 30, -1])
def test_a_damaged_index_fragment_is_named(engine: Engine, source: TreeSource, at: int) -> None:
    name = next(iter(engine.objects("b", names.FRAGMENTS)))
    engine.flip("b", name, at=at)
    blamed = found(engine, percent=0)
    assert list(blamed) == [name]
    assert "rebuilt" in blamed[name].detail


def test_a_key_slot_that_is_damaged_or_gone_leaves_the_replica_locked(engine: Engine, source: TreeSource) -> None:
    slots = list(engine.objects("b", names.SLOTS))
    engine.flip("b", slots[0])
    assert found(engine, percent=0)[slots[0]].code == "altered"
    for slot in slots:
        engine.lose("b", slot)
    blamed = found(engine, percent=0)
    assert {name: one.code for name, one in blamed.items()} == dict.fromkeys(slots, "missing")
    assert "no key slot" in blamed[slots[0]].detail


def test_slots_that_no_replica_has_are_named_together(engine: Engine, source: TreeSource) -> None:
    with engine.opened(Need.WRITE) as repository:  # by this host's credential, which needs none
        for slot in engine.objects("a", names.SLOTS):
            for replica in "abc":
                engine.lose(replica, slot)
        result = verify_repository(repository, run=Run.start(engine.clock))
    assert {(one.replica, one.name, one.code) for one in result.damaged} == {
        (replica, names.SLOTS, "missing") for replica in "abc"
    }


@pytest.mark.parametrize("damage", ["lost", "flipped", "cut"])
def test_every_entry_of_the_owner_log_that_the_replica_names_is_checked(
    engine: Engine, source: TreeSource, damage: str
) -> None:
    engine.enroll()  # a second entry: behind those that anything names, and so no damage where it is not yet
    first, second = sorted(engine.objects("b", names.LOG))
    engine.lose("b", second)
    assert not found(engine, percent=0)
    engine.backup(source)  # which brings it
    for name in (first, second):
        good = engine.shelf("b").objects[name]
        if damage == "lost":
            engine.lose("b", name)
        else:
            engine.alter("b", name, lambda data: flipped(data, 9) if damage == "flipped" else data[:-1])
        blamed = found(engine, percent=0)
        assert {one: each.code for one, each in blamed.items()} == {name: "missing" if damage == "lost" else "altered"}
        engine.shelf("b").objects[name] = good
    assert not found(engine, percent=0)


def test_a_list_of_accepted_commits_is_checked_with_the_log(engine: Engine, source: TreeSource) -> None:
    with engine.opened(Need.OWNER) as repository:
        other = enroll(repository, "another host").signer
        named, data = encode_accepted(engine.commit_of(one.snapshot_id).hash for one in engine.snapshots())
        name = names.accepted(named.hash)
        append_entry(repository, [Revocation(other, named, {}, "stolen")], [(name, data)])
    assert not found(engine, percent=0)
    engine.flip("b", name)
    assert {one: each.code for one, each in found(engine, percent=0).items()} == {name: "altered"}
    engine.lose("b", name)
    assert {one: each.code for one, each in found(engine, percent=0).items()} == {name: "missing"}


def test_a_damaged_tombstone_is_named(engine: Engine, source: TreeSource) -> None:
    name = forget(engine, "b", engine.snapshots()[0].snapshot_id)
    assert not found(engine, percent=0)
    engine.flip("b", name)
    assert {one: each.code for one, each in found(engine, percent=0).items()} == {name: "altered"}


def test_a_slot_under_another_name(engine: Engine, source: TreeSource) -> None:
    slot = next(iter(engine.objects("b", names.SLOTS)))
    other = names.slot("ab" * 32)
    engine.shelf("b").objects[other] = engine.shelf("b").objects[slot]
    assert found(engine, percent=0)[other].code == "altered"


def test_audit_rows_are_part_of_what_is_checked(engine: Engine, source: TreeSource) -> None:
    tables = [name for name in engine.objects("b", names.AUDIT) if name.endswith(".parquet")]
    engine.flip("b", tables[0])
    engine.lose("b", tables[1])
    blamed = found(engine, percent=0)
    assert blamed[tables[0]].code == "altered"
    assert blamed[tables[1]].code == "missing"


def test_a_seal_of_a_later_version_is_called_too_new(engine: Engine, source: TreeSource) -> None:
    name = next(name for name in engine.objects("b", names.AUDIT) if "/_seals/" in name)
    body, signature = engine.objects("b")[name].splitlines(keepends=True)
    data = encode_canonical(decode_object(body, name) | {"version": 2}) + signature
    place = audit_names.parse_seal(name)
    assert place is not None
    later = audit_names.seal_name(place.chain, place.sequence, names.hash_of(data))
    engine.shelf("b").objects[later] = (data, engine.shelf("b").objects[name][1])
    blamed = found(engine, percent=0)[later]
    assert (blamed.code, "has version 2; this Farshore knows 1" in blamed.detail) == ("undecodable", True)
    with engine.opened() as repository:
        assert check_itself(later, data, repository), "its bytes hash to its name"


def test_a_writer_verifies_too_but_names_no_paths(engine: Engine, source: TreeSource) -> None:
    pack = next(iter(engine.objects("b", names.PACKS)))
    engine.flip("b", pack)
    result = engine.verify(need=Need.WRITE)
    (one,) = result.damaged
    assert (one.name, one.code, one.paths) == (pack, "altered", ())


def test_a_sample_reads_only_its_share(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    for number in range(10):
        source.file(b"f", random.Random(number).randbytes(1000))
        engine.clock.wait_s(60)
        engine.backup(source)
    packs = {name: len(data) for name, data in engine.objects("b", names.PACKS).items()}
    assert len(packs) == 10
    nothing = engine.verify(replica="b", percent=0, need=Need.WRITE).bytes_read
    some = engine.verify(replica="b", percent=25, need=Need.WRITE).bytes_read
    every = engine.verify(replica="b", percent=100, need=Need.WRITE).bytes_read
    assert 2 * max(packs.values()) < some - nothing < 6 * max(packs.values())
    assert every - nothing >= sum(packs.values())


def test_one_replica_is_verified_alone(engine: Engine, source: TreeSource) -> None:
    engine.flip("b", next(iter(engine.objects("b", names.PACKS))))
    assert reader(engine).verify(replica="a").clean
    assert not reader(engine).verify(replica="b").clean


def test_a_replica_that_is_away_is_neither_checked_nor_damaged(engine: Engine, source: TreeSource) -> None:
    """Trial N6."""
    with engine.away("b"):
        result = reader(engine).verify(percent=0)
    assert result.damaged == ()
    assert states(result) == {"a": "clean", "b": "not-asked", "c": "clean"}
    assert result.not_asked == ("b",)
    assert not result.clean
    assert [type(one) for one in check_errors(result)] == [StoreUnavailable]
    assert checked_states(engine, "a") == {"a": "ok", "b": "unreachable", "c": "ok"}


def test_a_replica_that_lists_no_snapshot_is_not_clean(engine: Engine, source: TreeSource) -> None:
    """Trial F10: a check of nothing found nothing, and says so."""
    for name in engine.objects("b", names.SNAPSHOTS):
        engine.lose("b", name)
    result = reader(engine).verify(percent=0)
    assert states(result) == {"a": "clean", "b": "empty", "c": "clean"}
    assert not result.clean
    assert [type(one) for one in check_errors(result)] == [ReplicaEmpty]
    assert checked_states(engine, "a")["b"] == "inconclusive"


def test_a_replica_that_lists_fewer_snapshots_is_behind(engine: Engine, source: TreeSource) -> None:
    """Trial F10."""
    engine.lose("b", by_role(engine, "commit")[0])
    result = reader(engine).verify(percent=0)
    assert states(result) == {"a": "clean", "b": "behind", "c": "clean"}
    assert [one.behind for one in result.checks] == [0, 1, 0]
    assert result.behind == ("b",)
    assert check_errors(result) == []


def test_a_repository_without_any_snapshot_is_not_clean(tmp_path: Path) -> None:
    """Trial F10."""
    result = Engine(tmp_path).initialize().verify(percent=0)
    assert not result.clean
    assert [type(one) for one in check_errors(result)] == [CheckInconclusive]


def states(result: VerifyResult) -> dict[str, str]:
    """The outcome at each replica."""
    return {one.replica: one.state.value for one in result.checks}


def checked_states(engine: Engine, replica: str) -> dict[str, str]:
    """The states of the rows that the last verify wrote, as a replica reports them."""
    answer = run_query(
        engine.config, "SELECT replica, state FROM checks WHERE object IS NULL", replica=replica, clock=engine.clock
    )
    return {str(name): str(state) for name, state in answer.rows}


def test_a_header_that_is_damaged_is_reported(engine: Engine, source: TreeSource) -> None:
    engine.flip("b", names.HEADER, at=100)
    result = reader(engine).verify(percent=0)
    assert [(one.replica, one.name) for one in result.damaged] == [("b", names.HEADER)]


def test_damage_at_two_replicas_is_reported_for_each(engine: Engine, source: TreeSource) -> None:
    pack = next(iter(engine.objects("a", names.PACKS)))
    engine.lose("a", pack)
    engine.flip("c", pack)
    result = reader(engine).verify()
    assert {(one.replica, one.name, one.code) for one in result.damaged} == {
        ("a", pack, "missing"), ("c", pack, "altered")
    }  # fmt: skip


def test_verify_changes_nothing_but_its_own_audit_rows(engine: Engine, source: TreeSource) -> None:
    before = engine.data_objects("b")
    engine.verify(need=Need.WRITE)
    assert engine.data_objects("b") == before


def test_the_newest_snapshot_and_seal_deleted_everywhere_are_missing_at_every_replica(
    engine: Engine, source: TreeSource
) -> None:
    source.file(b"new", b"1")
    newest = engine.backup(source).snapshot_id
    with engine.opened() as repository:
        assert repository.memory is not None
        heads = repository.memory.chains
    gone = [name for name in engine.objects("a") if newest in name or any(last in name for _, last in heads.values())]
    for replica in engine.places:
        for name in gone:
            engine.shelf(replica).objects.pop(name, None)
    with engine.away("c"):
        assert not [one for one in engine.verify(percent=0).damaged if "no replica has it" in one.detail]
    result = engine.verify(percent=0)
    cut = [one for one in result.damaged if "no replica has it" in one.detail]
    assert {one.replica for one in cut} == {"a", "b", "c"}
    assert set(result.cut) == {one.name for one in cut}
    assert [type(one) for one in check_errors(result)] == [HistoryCut], "as every other command calls it"
    engine.shelf("a").objects.pop(next(iter(engine.objects("a", names.PACKS))))
    assert [type(one) for one in check_errors(engine.verify(percent=0))] == [HistoryCut, VerifyFailed]
    assert any(newest in one.name for one in cut)
    assert any(audit_names.parse_seal(one.name) for one in cut)
