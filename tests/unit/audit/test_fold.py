"""Folds of months: the same answers from fewer objects, chains that stay provable, and nothing deleted unproven."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.access.unlock import Need
from farshore.audit import names
from farshore.audit.cached_query import query_replica, tables_at
from farshore.audit.delta_log import files_of
from farshore.audit.evidence import read_evidence
from farshore.audit.fold import FoldOptions, FoldResult, fold_tables
from farshore.audit.index import index_replica
from farshore.audit.schema import TABLES
from farshore.audit.seal_cache import open_seal_cache
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import KeyMissing
from farshore.repair.vouching import Vouching
from farshore.run import Run
from farshore.stores.base import Body, ObjectInfo, PutOutcome, Store
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import WrappingStore
from tests.doubles.faulty import DENY, LOSE_REPLY, FaultyStore, Plan, at_random
from tests.unit.ops.domain_hosts import host
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource

DAY_S = 24 * 3600.0
OPTIONS = FoldOptions(grace=timedelta(days=7))


BACKUPS = 17


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Backups of four days, and two a month later, so that the month is over and a daily seal names all of it."""
    made = Engine(tmp_path).initialize(write_only=True)
    live(made, BACKUPS - 1)
    made.clock.wait_s(32 * DAY_S)
    live(made, 1)
    return made


def live(engine: Engine, backups: int) -> None:
    for number in range(backups):
        tree = TreeSource(clock=engine.clock)
        tree.file(b"a", random.Random(number // 4).randbytes(100))
        engine.backup(tree, accept_new=True)
        engine.clock.wait_s(DAY_S / 4)


def fold(engine: Engine, options: FoldOptions = OPTIONS) -> FoldResult:
    with engine.opened(Need.READ) as repository:
        return fold_tables(repository, options, Run.start(engine.clock))


def rows(engine: Engine, table: str, replica: str = "a", *, unused: bool = False) -> list[Any]:
    columns = ", ".join(column.name for column in TABLES[table].columns)
    where = " WHERE operation = 'backup'" if table == "runs" else ""
    with engine.opened(Need.READ) as repository:
        found = query_replica(repository, repository.replica(replica), f"SELECT {columns} FROM {table}{where}")
    assert unused or found.unused == 0
    return sorted(map(repr, found.rows))


def everything(engine: Engine, replica: str = "a", *, unused: bool = False) -> dict[str, list[Any]]:
    return {table: rows(engine, table, replica, unused=unused) for table in ("runs", "needs", "copies", "checks")}


def audit_objects(engine: Engine, replica: str = "a") -> set[str]:
    return {one for one in engine.objects(replica, names.AUDIT) if names.parse_delta(one) is None}


def test_folds_give_the_same_answers_from_fewer_objects(engine: Engine) -> None:
    before, objects = everything(engine), audit_objects(engine)
    assert len(before["runs"]) == BACKUPS
    result = fold(engine)
    assert result.done
    assert result.months
    assert not result.unfolded
    assert everything(engine) == before
    assert objects < audit_objects(engine), "nothing goes before the grace is over"
    assert all(one.deleted == 0 and one.waiting and one.waiting_until_utc for one in result.replicas)
    assert engine.verify().clean
    before = everything(engine)
    assert not fold(engine).months, "what is folded is not folded again"

    engine.clock.wait_s(8 * DAY_S)
    swept = fold(engine)
    assert swept.done
    assert all(one.deleted and not one.left for one in swept.replicas)
    for replica in ("a", "b", "c"):
        assert everything(engine, replica) == before
    assert engine.verify().clean
    assert len(audit_objects(engine)) < 0.6 * len(objects)
    healed = heal(engine)
    assert all(one.copied == 0 and one.foreign == 0 for one in healed.replicas)
    live(engine, 2)
    assert engine.verify().clean
    assert set(before["runs"]) < set(rows(engine, "runs"))


def test_a_host_without_a_cache_reads_the_same(engine: Engine) -> None:
    before = everything(engine)
    fold(engine)
    engine.clock.wait_s(8 * DAY_S)
    fold(engine)
    fresh = engine.at("fresh")
    assert everything(fresh) == before
    assert fresh.verify().clean


def test_only_who_maintains_folds(engine: Engine) -> None:
    with host(engine, "db1").opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="maintain"):
        fold_tables(repository, OPTIONS, Run.start(engine.clock))


def test_the_delta_log_names_the_files_of_the_fold_and_none_that_went(engine: Engine) -> None:
    with engine.opened(Need.READ) as repository:
        index_replica(repository, repository.replica("a"), run=Run.start(engine.clock))
    first = len(engine.objects("a", names.delta_log("copies")))
    fold(engine)
    engine.clock.wait_s(8 * DAY_S)
    fold(engine)
    versions = engine.objects("a", names.delta_log("copies"))
    assert len(versions) > first
    there = {name for name in audit_objects(engine) if names.table_of(name) == "copies"}
    assert files_of("copies", sorted(versions.items())) == there


def test_seals_that_went_are_not_read_with_each_question(engine: Engine) -> None:
    everything(engine)
    fold(engine)
    engine.clock.wait_s(8 * DAY_S)
    fold(engine)
    before = everything(engine)
    with engine.opened(Need.READ) as repository:
        at = tables_at(repository, repository.replica("a"))
        cache = open_seal_cache(at.cache_dir, at.repository_id, at.authority.fingerprint)
        evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority)
    went = evidence.counted.folded.superseded_hashes
    assert went
    assert not went & cache.seals.keys()
    cache.read_folded()
    assert went <= cache.seals.keys()
    assert everything(engine) == before


# --- faults -----------------------------------------------------------------------------------------------------------


class _Killed(BaseException):
    """The process ends here."""


class _Deadly(WrappingStore):
    """A store at which the process dies before or after the n-th put or deletion."""

    def __init__(self, inner: Store, number: int, *, after: bool) -> None:
        super().__init__(inner)
        self.calls, self._number, self._after = 0, number, after

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        outcome: PutOutcome = self._once(lambda: super(_Deadly, self).put(name, body, retention))
        return outcome

    def delete(self, name: str, seen: str) -> None:
        self._once(lambda: super(_Deadly, self).delete(name, seen))

    def _once(self, act: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self._number and not self._after:
            raise _Killed
        done = act()
        if self.calls == self._number:
            raise _Killed
        return done


def _saved(engine: Engine) -> Callable[[], None]:
    """Return what sets replicas and state directory back to this moment."""
    shelves = {name: dict(engine.shelf(name).objects) for name in ("a", "b", "c")}
    kept = engine.root / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(engine.state_dir, kept)

    def restore() -> None:
        for name, objects in shelves.items():
            engine.shelf(name).objects.clear()
            engine.shelf(name).objects.update(objects)
        shutil.rmtree(engine.state_dir)
        shutil.copytree(kept, engine.state_dir)

    return restore


@pytest.mark.sweep
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("stage", ["fold", "sweep"])
def test_killed_at_any_call_it_loses_no_row_and_the_next_one_goes_on(engine: Engine, stage: str, after: bool) -> None:
    before = everything(engine)
    if stage == "sweep":
        fold(engine)
        engine.clock.wait_s(8 * DAY_S)
    back = _saved(engine)
    deadly: list[_Deadly] = []

    def wrap(name: str, store: Store) -> Store:
        if name != "a":
            return store
        deadly.append(_Deadly(store, number, after=after))
        return deadly[-1]

    number, kills = 1, 0
    while True:
        back()
        engine.wrap = wrap
        with suppress(_Killed):
            fold(engine)
            break
        kills += 1
        engine.wrap = lambda _, store: store
        assert everything(engine, unused=True) == before, (
            "files of a fold whose seal is not there yet count for nothing"
        )
        number += 11  # a fold has some 30 calls, a sweep some 40; both parameters begin elsewhere
    engine.wrap = lambda _, store: store
    assert kills > 1
    fold(engine)
    engine.clock.wait_s(8 * DAY_S)
    assert fold(engine).done
    for replica in ("a", "b", "c"):
        assert everything(engine, replica) == before
    assert engine.verify().clean


def test_replies_that_are_lost_change_nothing(engine: Engine) -> None:
    before = everything(engine)
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=at_random(engine.clock, 0.1, (LOSE_REPLY,)))
        if name == "b"
        else store
    )
    for _ in range(3):
        fold(engine)
        engine.clock.wait_s(8 * DAY_S)
    engine.wrap = lambda _, store: store
    assert fold(engine).done
    for replica in ("a", "b", "c"):
        assert everything(engine, replica) == before
    assert engine.verify().clean


class _Between(WrappingStore):
    """A store at which somebody else acts before the first call that begins like this."""

    def __init__(self, inner: Store, verb: str, prefix: str, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._verb, self._prefix, self._act = verb, prefix, [act]

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        self._meet("put", name)
        return super().put(name, body, retention)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._meet("list", prefix)
        yield from super().list(prefix)

    def _meet(self, verb: str, name: str) -> None:
        if self._act and verb == self._verb and name.startswith(self._prefix):
            self._act.pop()()


def test_two_maintainers_at_once_leave_each_row_once(engine: Engine) -> None:
    before = everything(engine)
    other = engine.at("other")
    engine.wrap = lambda name, store: _Between(store, "put", "audit/", lambda: fold(other)) if name == "a" else store
    assert fold(engine).months
    engine.wrap = lambda _, store: store
    for replica in ("a", "b", "c"):
        assert everything(engine, replica) == before
    engine.clock.wait_s(8 * DAY_S)
    assert fold(other).done
    assert fold(engine).done
    assert everything(engine) == before
    assert engine.verify().clean
    with engine.opened(Need.READ) as repository:
        at = tables_at(repository, repository.replica("a"))
        evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority)
    assert evidence.counted.folded.shadowed
    assert not evidence.counted.spare & audit_objects(engine), "the files of the fold that is not used are gone"


def test_a_reader_that_listed_before_finds_the_rows_in_the_fold(engine: Engine) -> None:
    before = everything(engine)
    other, reader = engine.at("other"), engine.at("reader")

    def replace_all() -> None:
        fold(other)
        fold(other, FoldOptions(grace=timedelta(0)))

    reader.wrap = lambda name, store: _Between(store, "list", "audit/runs/", replace_all) if name == "a" else store
    assert rows(reader, "runs") == before["runs"]


def test_a_replica_that_was_away_is_brought_up_and_brings_nothing_back(engine: Engine) -> None:
    before = everything(engine)
    with engine.away("c"):
        fold(engine)
        engine.clock.wait_s(8 * DAY_S)
        fold(engine)
    assert everything(engine, "c") == before
    few = audit_objects(engine)
    heal(engine)
    fresh = {names.table_of(name) for name in audit_objects(engine) - few}
    assert fresh <= {None, "runs", "repairs"}, "the rows of the heal alone"
    for replica in ("a", "b", "c"):
        assert everything(engine, replica) == before
    assert fold(engine).done
    assert everything(engine, "c") == before
    assert engine.verify().clean


def test_without_that_a_heal_would_bring_them_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.away("c"):
        fold(engine)
        engine.clock.wait_s(8 * DAY_S)
        fold(engine)
    few = len(audit_objects(engine))
    monkeypatch.setattr(Vouching, "folded_at", lambda *_: frozenset())
    heal(engine)
    assert len(audit_objects(engine)) > few + 10


def test_locked_files_stay_and_are_told(engine: Engine) -> None:
    before = everything(engine)
    fold(engine)
    engine.clock.wait_s(8 * DAY_S)
    denied: Plan = lambda verb, _name, _number: DENY if verb == "delete" else None  # noqa: E731
    engine.wrap = lambda _, store: FaultyStore(store, clock=engine.clock, plan=denied)
    swept = fold(engine)
    assert swept.done
    assert all(one.locked and not one.deleted for one in swept.replicas)
    engine.wrap = lambda _, store: store
    assert everything(engine) == before
    assert engine.verify().clean


# --- retention --------------------------------------------------------------------------------------------------------


def _gone(engine: Engine) -> str:
    """Delete the oldest snapshot at each replica, as a prune does in the end; return its id."""
    commits = sorted(name for name in engine.objects("a", "snapshots/"))
    with engine.opened(Need.READ) as repository:
        oldest = list_snapshots(repository)[0].snapshot_id
    for name in commits:
        if oldest in name:
            for replica in ("a", "b", "c"):
                del engine.shelf(replica).objects[name]
    return str(oldest)


def test_rows_older_than_they_are_kept_go_but_for_those_about_what_there_is(engine: Engine) -> None:
    fold(engine)
    gone = _gone(engine)
    before = everything(engine)
    old = FoldOptions(grace=timedelta(days=7), keep=timedelta(days=1))
    with engine.away("c"):
        held = fold(engine, old)
        assert not held.months
        assert "no audit rows are dropped" in held.unexpired
    expired = fold(engine, old)
    assert expired.months
    assert all(one.expired for one in expired.months)
    after = everything(engine)
    assert len(after["runs"]) == len(before["runs"]) - 1
    assert not any(f"{gone}-" in row for row in after["copies"] + after["needs"])
    assert {row for row in before["copies"] if f"{gone}-" not in row} == set(after["copies"])
    engine.clock.wait_s(8 * DAY_S)
    assert fold(engine, FoldOptions(grace=timedelta(days=7))).done
    assert everything(engine) == after
    assert not fold(engine, old).unexpired
