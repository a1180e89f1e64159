"""Delta logs of the tables: what is in them, and what becomes of logs that somebody else wrote."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.audit import index, names
from farshore.audit.index import TableIndexed, index_replica
from farshore.audit.schema import TABLES
from farshore.errors import KeyMissing, ObjectCorrupt, StateUnknown
from farshore.run import Run
from farshore.stores.base import Body, PutOutcome, Store
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import WrappingStore
from tests.unit.ops.domain_hosts import host
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = Engine(tmp_path).initialize(write_only=True)
    _backup(made, 0)
    return made


def _backup(engine: Engine, number: int) -> None:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", random.Random(number).randbytes(1000))
    engine.backup(tree, accept_new=True)


def _index(engine: Engine, *, rebuild: bool = False, replica: str = "a") -> dict[str, TableIndexed]:
    with engine.opened(Need.READ) as repository:
        found = index_replica(repository, repository.replica(replica), run=Run.start(engine.clock), rebuild=rebuild)
    return {one.table: one for one in found}


def _files(engine: Engine, table: str, replica: str = "a") -> set[str]:
    return {name for name in engine.objects(replica, f"audit/{table}/") if names.table_of(name)}


def _read(engine: Engine, table: str) -> dict[str, dict[str, object]]:
    """Read a log as the protocol has it, by no code of ours: what is added last by path, less what is removed."""
    found: dict[str, dict[str, object]] = {}
    for name, data in sorted(engine.objects("a", names.delta_log(table)).items()):
        assert int(name.rpartition("/")[2].removesuffix(".json")) >= 0
        for line in data.decode().splitlines():
            action = json.loads(line)
            if "add" in action:
                found[action["add"]["path"]] = action["add"]
            if "remove" in action:
                found.pop(action["remove"]["path"])
    return found


def test_a_log_has_the_files_that_count_and_grows_by_what_is_new(engine: Engine) -> None:
    first = _index(engine)
    assert set(first) == set(TABLES)
    for table in TABLES:
        assert {f"audit/{table}/{path}" for path in _read(engine, table)} == _files(engine, table)
        assert (first[table].version, first[table].added) == (0, len(_files(engine, table)))
    assert {(one.version, one.added) for one in _index(engine).values()} == {(0, 0)}, "nothing new, nothing written"
    engine.clock.wait_s(3600)
    _backup(engine, 1)
    second = _index(engine)
    assert (second["runs"].version, second["runs"].added, second["checks"].version) == (1, 1, 0)
    assert {f"audit/runs/{path}" for path in _read(engine, "runs")} == _files(engine, "runs")
    assert not engine.objects("b", names.delta_log("runs"))


def test_each_file_has_its_size_its_day_and_bounds(engine: Engine) -> None:
    _index(engine)
    held = engine.objects("a", "audit/needs/")
    for path, added in _read(engine, "needs").items():
        assert added["size"] == len(held[f"audit/needs/{path}"])
        assert added["partitionValues"] == {"date": path.removeprefix("date=")[:10]}
        stats = json.loads(str(added["stats"]))
        if stats["numRecords"]:
            assert stats["minValues"]["object"] <= stats["maxValues"]["object"]
            assert stats["minValues"]["recorded_utc"].endswith("Z")
            assert stats["nullCount"]["snapshot_id"] == 0


def test_planted_files_are_in_no_log(engine: Engine) -> None:
    name = next(iter(_files(engine, "runs")))
    planted = f"{name.rpartition('/')[0]}/{'0' * 32}-{name.rpartition('-')[2]}"
    engine.shelf("a").objects[planted] = engine.shelf("a").objects[name]
    _index(engine)
    assert planted.removeprefix("audit/runs/") not in _read(engine, "runs")


def test_what_somebody_else_added_or_removed_is_set_right(engine: Engine) -> None:
    _index(engine)
    (real, *_) = _read(engine, "runs")
    lie = f"date=2026-01-01/{'0' * 32}-{'0' * 32}.parquet"
    version = json.dumps({"add": {"path": lie}}) + "\n" + json.dumps({"remove": {"path": real}}) + "\n"
    engine.shelf("a").objects[names.delta_version("runs", 1)] = (version.encode(), engine.clock.now_utc())
    assert lie in _read(engine, "runs")
    done = _index(engine)["runs"]
    assert (done.version, done.added, done.removed) == (2, 1, 1)
    assert {f"audit/runs/{path}" for path in _read(engine, "runs")} == _files(engine, "runs")


NOT_OURS = {
    "garbage": b"garbage",
    "a path outside": json.dumps({"add": {"path": "../../packs/aa"}}).encode(),
    "other columns": json.dumps({"metaData": {"schemaString": "{}"}}).encode(),
    "a list": b"[1]",
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_a_log_that_is_none_of_ours_is_named_and_made_anew(engine: Engine, what: str) -> None:
    _index(engine)
    engine.shelf("a").objects[names.delta_version("runs", 1)] = (NOT_OURS[what], engine.clock.now_utc())
    with pytest.raises(ObjectCorrupt, match="at a") as refused:
        _index(engine)
    assert "--rebuild" in refused.value.hint
    assert _index(engine, rebuild=True)["runs"].version == 0
    assert {f"audit/runs/{path}" for path in _read(engine, "runs")} == _files(engine, "runs")


def test_a_version_that_is_missing_and_other_objects_are_named(engine: Engine) -> None:
    _index(engine)
    engine.shelf("a").objects[f"{names.delta_log('runs')}_last_checkpoint"] = (b"{}", engine.clock.now_utc())
    with pytest.raises(ObjectCorrupt, match="other objects"):
        _index(engine)


class _Racing(WrappingStore):
    """A store at which somebody else puts each version of a log first, so many times."""

    def __init__(self, inner: Store, times: int) -> None:
        super().__init__(inner)
        self.times = times

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        if names.parse_delta(name) and self.times:
            self.times -= 1
            super().put(name, b'{"commitInfo":{}}\n')
        return super().put(name, body, retention)


@pytest.mark.parametrize(("times", "version"), [(1, 2), (3, 4)])
def test_whoever_puts_a_version_second_goes_on_after_the_first(engine: Engine, times: int, version: int) -> None:
    _index(engine)
    _backup(engine, 1)
    engine.wrap = lambda name, store: _Racing(store, times) if name == "a" else store
    assert _index(engine)["runs"].version == version
    assert {f"audit/runs/{path}" for path in _read(engine, "runs")} == _files(engine, "runs")


def test_others_who_never_stop_are_an_error(engine: Engine) -> None:
    _index(engine)
    _backup(engine, 1)
    engine.wrap = lambda name, store: _Racing(store, 1000) if name == "a" else store
    with pytest.raises(StateUnknown, match="all the time"):
        _index(engine)


def test_only_who_maintains_writes_a_log(engine: Engine) -> None:
    writer = host(engine, "db1")
    with writer.opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="maintain"):
        index_replica(repository, repository.replica("a"), run=Run.start(engine.clock))
    assert not engine.objects("a", names.delta_log("runs"))


def test_without_the_check_a_writer_would_write_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "require_maintainer", lambda _: None)
    with host(engine, "db1").opened(Need.WRITE) as repository:
        assert index_replica(repository, repository.replica("a"), run=Run.start(engine.clock))


def test_verify_and_heal_leave_a_log_where_it_is(engine: Engine) -> None:
    """It is of one replica alone: no damage, not foreign, and not copied."""
    _index(engine)
    assert engine.verify().clean
    result = heal(engine)
    assert all(one.foreign == 0 for one in result.replicas)
    assert not engine.objects("b", names.delta_log("runs"))
    assert engine.objects("a", names.delta_log("runs"))
