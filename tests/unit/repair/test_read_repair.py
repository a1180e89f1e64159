"""Read-repair: what a restore or verify finds bad at one replica and good at another is mended there, and reported."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.snapshots import list_snapshots
from farshore.check_results import VerifyResult
from farshore.errors import StoreDenied, StoreUnavailable
from farshore.format import names
from farshore.model import DamagedObject
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.verify.verify import verify_repository
from farshore.repair.object_checks import digest_in_name
from farshore.repair.outcome import Repair
from farshore.repair.read_repair import ReadRepair
from farshore.replicas.reader import open_reader
from farshore.results import RestoreResult
from farshore.run import Run
from tests.doubles.faulty import DENY, FAIL, Fault, FaultKind, FaultyStore
from tests.unit.ops.engine import Engine, flipped, tree
from tests.unit.ops.tree_source import TreeSource

CHANCE = random.Random(11)
CONTENT = {b"one": CHANCE.randbytes(3_000_000), b"two": CHANCE.randbytes(2_000_000), b"small": b"small"}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    for path, data in CONTENT.items():
        source.file(path, data)
    engine.backup(source)
    engine.forget_cache()
    return engine


def named(engine: Engine, kind: str, replica: str = "a") -> str:
    """The one object of a kind at a replica."""
    prefixes = {"pack": names.PACKS, "data-key": names.DATA_KEYS, "index": names.FRAGMENTS}
    found = engine.data_objects(replica)
    if kind in prefixes:
        (name,) = [name for name in found if name.startswith(prefixes[kind])]
    else:
        (snapshot,) = engine.snapshots()
        name = engine.object_of(snapshot.snapshot_id, kind)
    return name


def restore(engine: Engine, *, repair: bool = True, replica: str | None = None) -> RestoreResult:
    """Restore the one snapshot and check that everything is there."""
    target = engine.root / f"restored-{next(engine.restored)}"
    with engine.opened() as repository:
        (snapshot,) = list_snapshots(repository)
        engine.forget_cache()  # what the listing read is read again, so that its damage is seen
        result = restore_snapshot(
            repository, snapshot, target, replica=replica, repair=repair, run=Run.start(engine.clock)
        )
    assert {path: data for path, data in tree(target).items() if path} == CONTENT
    return result


def rows(engine: Engine) -> int:
    """Files of rows about repairs; the first has none, and teaches other engines the columns."""
    return sum(name.startswith("audit/repairs/") for name in engine.objects("b")) - 1


@pytest.mark.parametrize("kind", ["pack", "data-key", "manifest", "needs", "commit"])
@pytest.mark.parametrize("damage", ["lost", "flipped", "cut"])
def test_what_a_restore_finds_bad_is_good_after_it(engine: Engine, kind: str, damage: str) -> None:
    name = named(engine, kind)
    before = engine.data_objects("a")
    if damage == "lost" and kind == "commit":
        return  # a replica without the record does not list the snapshot, and owes nothing of it
    if damage == "lost":
        engine.lose("a", name)
    else:
        engine.alter("a", name, (lambda data: flipped(data, 100)) if damage == "flipped" else lambda data: data[:70])
    result = restore(engine)
    (repair,) = result.repairs
    assert (repair.replica, repair.name, repair.mended) == ("a", name, True)
    assert repair.action == ("copied" if damage == "lost" else "replaced")
    assert repair.source in {"b", "c"}
    assert engine.data_objects("a") == before
    assert rows(engine) == 1
    again = restore(engine)
    assert (again.repairs, again.fell_over) == ((), ())


def test_an_altered_index_fragment_is_mended_and_a_missing_one_left_to_heal(engine: Engine) -> None:
    """A listed fragment promises its packs, which a reader does not look at."""
    name, before = named(engine, "index"), engine.data_objects("a")
    engine.flip("a", name)
    assert [(one.name, one.action) for one in restore(engine).repairs] == [(name, "replaced")]
    assert engine.data_objects("a") == before
    engine.lose("a", name)
    assert restore(engine).repairs == ()
    assert name not in engine.objects("a")


def test_who_wants_no_repair_gets_none(engine: Engine) -> None:
    name = named(engine, "pack")
    engine.flip("a", name)
    damaged = engine.data_objects("a")
    result = restore(engine, repair=False)
    assert [one.name for one in result.fell_over] == [name]
    assert (result.repairs, engine.data_objects("a"), rows(engine)) == ((), damaged, 0)


def test_one_replica_alone_is_read_and_mended_by_nothing(engine: Engine) -> None:
    engine.flip("a", named(engine, "needs"))
    assert restore(engine, replica="b").repairs == ()


def refusing(engine: Engine, *verbs: str, fault: Fault = DENY) -> Callable[[], int]:
    """Have replica `a` refuse these verbs on repository objects; return how often it did."""
    refused = [0]

    def plan(verb: str, name: str, _: int) -> Fault | None:
        if verb not in verbs or name.startswith("audit/"):
            return None
        refused[0] += 1
        return fault

    engine.wrap = lambda name, store: FaultyStore(store, clock=engine.clock, plan=plan) if name == "a" else store
    return lambda: refused[0]


def test_a_credential_that_only_reads_reports_and_fails_nothing(engine: Engine) -> None:
    engine.flip("a", named(engine, "pack"))
    engine.lose("a", named(engine, "data-key"))
    refused = refusing(engine, "put", "delete")
    result = restore(engine)
    assert {one.action for one in result.repairs} == {"refused"}
    assert {one.error_code for one in result.repairs} == {StoreDenied.code}
    assert len(result.repairs) == 2
    assert refused() <= 2  # it is not asked again and again


def test_a_repair_that_fails_is_reported_and_changes_nothing_about_the_restore(engine: Engine) -> None:
    engine.lose("a", named(engine, "pack"))
    refusing(engine, "put", fault=FAIL)
    (repair,) = restore(engine).repairs
    assert (repair.action, repair.error_code) == ("left", StoreUnavailable.code)


def test_a_repair_that_hangs_is_left_when_the_restore_is_done(engine: Engine) -> None:
    engine.lose("a", named(engine, "pack"))
    release = threading.Event()
    refusing(engine, "put", fault=Fault(FaultKind.HANG, until=release))
    done: list[RestoreResult] = []
    running = threading.Thread(target=lambda: done.append(restore(engine)))
    running.start()
    clock = engine.clock
    while running.is_alive():
        running.join(0.02)
        if not done:
            clock.ring()  # type: ignore[attr-defined]
    release.set()
    assert [one.action for one in done[0].repairs] == ["left"]
    assert "heal" in done[0].repairs[0].detail


def test_no_more_wait_than_there_is_room_for(engine: Engine) -> None:
    engine.lose("a", named(engine, "pack"))
    release = threading.Event()
    hung = refusing(engine, "put", fault=Fault(FaultKind.HANG, until=release))
    with engine.opened() as repository:
        mending = ReadRepair(repository=repository, reader=open_reader(repository), commits={}, run_id="7" * 32)
        replica = repository.replicas["a"]
        mending.offer(replica, named(engine, "pack", "b"), "missing", "b", None)
        while not hung():  # until it is at work on that one
            time.sleep(0.005)
        for number in range(limits.REPAIRS_WAITING_MAX + 5):
            for _ in range(2):  # each is taken once
                mending.offer(replica, names.pack(f"{number:064x}"), "missing", "b", None)
        repairs = ringing(engine, mending)
        release.set()
    assert len(repairs) == limits.REPAIRS_WAITING_MAX + 5 + 1
    assert {one.action for one in repairs} == {"left"}
    assert sum("too much else" in one.detail for one in repairs) == 5


def ringing(engine: Engine, mending: ReadRepair) -> list[Repair]:
    """Finish, with the time of the wait over at once."""
    with ThreadPoolExecutor(1) as pool:
        finishing = pool.submit(mending.finish)
        while not finishing.done():
            engine.clock.ring()  # type: ignore[attr-defined]
            time.sleep(0.005)
        return finishing.result()


def test_a_copy_that_is_bad_itself_mends_nothing(engine: Engine) -> None:
    """Each of two replicas has the pack damaged elsewhere; only the third can mend them."""
    name, before = named(engine, "pack"), engine.data_objects("c")
    engine.flip("a", name, at=100)
    engine.flip("b", name, at=len(engine.objects("b")[name]) - 100)
    result = verify(engine, repair=True)
    assert {(one.replica, one.source, one.action) for one in result.repairs} == {
        ("a", "c", "replaced"), ("b", "c", "replaced")
    }  # fmt: skip
    assert engine.data_objects("a") == engine.data_objects("b") == before


def verify(engine: Engine, *, repair: bool) -> VerifyResult:
    engine.forget_cache()
    with engine.opened() as repository:
        return verify_repository(repository, read_data_percent=100.0, repair=repair, run=Run.start(engine.clock))


@pytest.mark.parametrize("kind", ["pack", "index", "data-key", "manifest", "needs", "commit"])
def test_verify_mends_only_when_asked(engine: Engine, kind: str) -> None:
    name, before = named(engine, kind), engine.data_objects("a")
    engine.flip("a", name)
    damaged = engine.data_objects("a")
    result = verify(engine, repair=False)
    assert name in {one.name for one in result.damaged}
    assert (result.repairs, engine.data_objects("a")) == ((), damaged)
    result = verify(engine, repair=True)
    assert [(one.replica, one.name, one.action) for one in result.repairs] == [("a", name, "replaced")]
    assert result.mended
    assert not result.clean
    assert engine.data_objects("a") == before
    assert verify(engine, repair=False).clean


def test_a_key_slot_and_an_audit_file_are_mended_by_verify(engine: Engine) -> None:
    slot = next(name for name in engine.objects("a", names.SLOTS))
    row = next(name for name in engine.objects("a", "audit/") if name.endswith(".parquet"))
    before = engine.objects("a")
    engine.flip("a", slot)
    engine.lose("a", row)
    result = verify(engine, repair=True)
    assert {one.name for one in result.repairs} == {slot, row}
    assert result.mended
    assert {name: data for name, data in engine.objects("a").items() if name in before} == before


def test_what_is_bad_everywhere_is_reported_and_left(engine: Engine) -> None:
    name = named(engine, "pack")
    for replica in "abc":
        engine.flip(replica, name)
    result = verify(engine, repair=True)
    assert {one.action for one in result.repairs} == {"left"}
    assert not result.mended
    assert digest_in_name(name)


def test_a_damaged_record_or_needs_hides_no_other_damage_from_verify(engine: Engine) -> None:
    """The other replicas tell as well what this one must hold."""
    pack = named(engine, "pack")
    for kind in ("commit", "needs"):
        engine.flip("a", named(engine, kind))
    engine.lose("a", pack)
    engine.lose("a", named(engine, "index"))
    found: dict[str, DamagedObject] = {one.name: one for one in verify(engine, repair=False).damaged}
    assert found[pack].code == "missing"
    assert found[pack].snapshots
