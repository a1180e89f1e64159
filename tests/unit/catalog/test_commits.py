from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.commits import list_commits
from farshore.format import names
from farshore.format.records import Commit, encode_commit
from farshore.model import SnapshotCounts
from farshore.replicas.repository import Repository
from farshore.sealed.sealed_object import SealedKind, seal_object
from tests.doubles.faulty import FAIL, Fault, FaultyStore
from tests.unit.ops.engine import Engine, flipped

SOURCE = "5" * 32
OTHER = "6" * 32


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


def commit_at(engine: Engine, numbers: range, *replicas: str, source_id: str = SOURCE) -> None:
    """Put commit records, as backups of that many nights leave them, at some replicas or all."""
    with engine.opened() as repository:
        keys = repository.writing_keys()
        for number in numbers:
            commit = Commit(
                snapshot=format(number, "032x"), source_id=source_id, source="home", kind="directory",
                identity=f"night {number}\n", run="1" * 32, parent="", started_utc=engine.clock.now_utc(),
                committed_utc=engine.clock.now_utc(), farshore="0", data_key="2" * 32, objects={},
                counts=SnapshotCounts(entries=number), facts={"a": "\x85\u2028\r"}, quorum=1,
            )  # fmt: skip
            name = names.snapshot_object(source_id, commit.snapshot, names.COMMIT)
            data = seal_object(
                encode_commit(commit), secret=keys.index_key, key_id=keys.own,
                salt=engine.clock.random_bytes(32), kind=SealedKind.COMMIT, name=name,
                repository_id=keys.repository_id,
            )  # fmt: skip
            for replica in replicas or repository.replicas:
                repository.replicas[replica].store.put(name, data)


def asked(engine: Engine) -> tuple[list[int], dict[str, dict[str, int]]]:
    """List the commits; return their numbers and the requests that this took of each replica."""
    with engine.opened(Need.READ) as repository:
        before = {name: one.meter.snapshot().requests for name, one in repository.replicas.items()}
        found = list_commits(repository)
        meters = {name: one.meter.snapshot().requests for name, one in repository.replicas.items()}
    numbers = sorted(commit.counts.entries for commit in found.commits.values())
    return numbers, {
        name: {verb: after.get(verb, 0) - before[name].get(verb, 0) for verb in ("get", "list")}
        for name, after in meters.items()
    }


def cached(engine: Engine) -> list[Path]:
    return [path for path in engine.cached_files() if "commits" in path.parts]


def test_a_record_is_fetched_once_by_a_host_and_from_one_replica(engine: Engine) -> None:
    commit_at(engine, range(100))

    first, requests = asked(engine)
    assert first == list(range(100))
    assert sum(one["get"] for one in requests.values()) == 100

    again, requests = asked(engine)
    assert again == first
    for one in requests.values():
        assert one["get"] == 0
        assert one["list"] == 1


def test_what_a_listing_asks_with_a_warm_cache_does_not_grow_with_the_snapshots(engine: Engine) -> None:
    commit_at(engine, range(5))
    asked(engine)
    few = asked(engine)[1]
    commit_at(engine, range(5, 200))
    asked(engine)
    assert asked(engine)[1] == few


def test_many_nights_are_kept_in_few_files(engine: Engine) -> None:
    for night in range(4 * limits.CACHED_COMMIT_FILES_MAX):
        commit_at(engine, range(night, night + 1))
        assert asked(engine)[0] == list(range(night + 1))
        assert len(cached(engine)) <= limits.CACHED_COMMIT_FILES_MAX
    engine.urls = {"a": engine.urls["a"]}
    assert asked(engine)[1]["a"]["get"] == 0


def test_a_damaged_file_of_the_cache_is_dropped_and_its_records_fetched_again(engine: Engine) -> None:
    commit_at(engine, range(10))
    asked(engine)
    commit_at(engine, range(10, 13), source_id=OTHER)
    asked(engine)
    first, second = cached(engine)
    for path in (first, second):
        path.write_bytes(flipped(path.read_bytes(), 70))
    assert asked(engine)[0] == list(range(13))
    assert first not in cached(engine)
    assert sum(one["get"] for one in asked(engine)[1].values()) == 0


def test_a_file_of_the_cache_serves_its_own_source_alone(engine: Engine) -> None:
    """A file that somebody moved is not believed, or one source's snapshots would stand in for another's."""
    commit_at(engine, range(3))
    asked(engine)
    (path,) = cached(engine)
    moved = path.parent.parent / OTHER / path.name
    moved.parent.mkdir()
    path.rename(moved)
    commit_at(engine, range(3, 5), source_id=OTHER)
    assert asked(engine)[0] == list(range(5))
    assert not moved.exists()


def test_what_a_replica_gave_before_it_failed_is_kept(engine: Engine) -> None:
    commit_at(engine, range(40), "a")
    engine.urls = {"a": engine.urls["a"]}
    engine.quorum = 1
    gets = itertools.count()

    def give_up(verb: str, name: str, _: int) -> Fault | None:
        return FAIL if verb == "get" and name.endswith(names.COMMIT) and next(gets) >= 25 else None

    engine.wrap = lambda _, store: FaultyStore(store, plan=give_up, clock=engine.clock)
    with engine.opened() as repository:
        found = list_commits(repository)
    assert set(found.failed) == {"a"}
    engine.wrap = lambda _, store: store
    numbers, requests = asked(engine)
    assert numbers == list(range(40))
    assert requests["a"]["get"] <= 20


def test_a_record_that_is_damaged_everywhere_hides_no_other(engine: Engine) -> None:
    commit_at(engine, range(3))
    for replica in engine.urls:
        engine.flip(replica, names.snapshot_object(SOURCE, format(1, "032x"), names.COMMIT))
    assert asked(engine)[0] == [0, 2]


def test_holders_are_reported_in_the_order_of_the_configuration(engine: Engine) -> None:
    commit_at(engine, range(2), "b", "c")
    commit_at(engine, range(2, 3), "c", "a")
    with engine.opened() as repository:
        found = list_commits(repository)
        assert [found.holders[format(number, "032x")] for number in range(3)] == [("b", "c"), ("b", "c"), ("a", "c")]
        planted = copy_to_another_source(repository)
    assert planted == ("b", "c")


def copy_to_another_source(repository: Repository) -> tuple[str, ...]:
    """Copy a record below another source's name at a replica that lacks it; return who is said to hold the snapshot."""
    name = names.snapshot_object(SOURCE, format(0, "032x"), names.COMMIT)
    data = repository.replicas["b"].store.get(name)
    repository.replicas["a"].store.put(names.snapshot_object(OTHER, format(0, "032x"), names.COMMIT), data)
    return list_commits(repository).holders[format(0, "032x")]
