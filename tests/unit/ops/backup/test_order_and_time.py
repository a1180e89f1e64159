"""Trial F1: clocks that are wrong, and the order of snapshots that does not depend on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, latest_snapshot_per_replica, resolve_snapshot
from farshore.errors import ClockWrong
from farshore.trust import order
from tests.doubles.commits import signed_commit
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

MONTH = timedelta(days=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", b"0")
    return tree


def set_clock(engine: Engine, by: timedelta) -> None:
    assert isinstance(engine.clock, StillClock)
    engine.clock.moment_utc += by


def stamp(engine: Engine, snapshot_id: str, by: timedelta) -> None:
    """Have every store say another time of a snapshot's objects, as their own clocks would."""
    for replica in engine.urls:
        shelf = engine.shelf(replica)
        for name, (data, moment) in list(shelf.objects.items()):
            if snapshot_id in name:
                shelf.objects[name] = (data, moment + by)


def resolved(engine: Engine, selector: str) -> str:
    with engine.opened(Need.WRITE) as repository:
        return resolve_snapshot(repository, selector).snapshot_id


def make_night(engine: Engine, source: TreeSource, content: bytes) -> str:
    engine.clock.advance(86_400)
    source.write(b"a", content)
    return engine.backup(source).snapshot_id


def make_future_night(engine: Engine, source: TreeSource) -> str:
    """Return a snapshot whose host was a month ahead of the stores."""
    set_clock(engine, MONTH)
    future = make_night(engine, source, b"made in the future")
    set_clock(engine, -MONTH)
    stamp(engine, future, -MONTH)
    return future


def by_id(engine: Engine) -> dict[str, Snapshot]:
    return {one.snapshot_id: one for one in engine.snapshots()}


def test_a_snapshot_of_the_future_is_no_newest_and_the_next_ones_follow_the_last_good_one(
    engine: Engine, source: TreeSource
) -> None:
    before = make_night(engine, source, b"before")
    future = make_future_night(engine, source)
    assert resolved(engine, "home") == resolved(engine, "home@latest") == before
    first, second = make_night(engine, source, b"1"), make_night(engine, source, b"2")
    found = by_id(engine)
    assert list(found) == [before, future, first, second]
    assert [found[one].misdated for one in found] == [False, True, False, False]
    assert [found[one].sequence for one in found] == [1, 2, 3, 4]
    assert [found[one].parent for one in found] == ["", before, before, first]
    assert resolved(engine, "home") == resolved(engine, "home@2030-01-01") == second
    assert resolved(engine, future[:10]) == future
    with engine.opened(Need.WRITE) as repository:
        assert {held["home"] for held in latest_snapshot_per_replica(repository).values()} == {
            found[second].started_utc
        }


def test_it_is_none_either_once_its_date_has_passed_or_a_copy_was_stamped_anew(
    engine: Engine, source: TreeSource
) -> None:
    future = make_future_night(engine, source)
    last = make_night(engine, source, b"last")
    stamp(engine, future, 2 * MONTH)  # as if heal had made every copy of it
    set_clock(engine, 2 * MONTH)
    assert not by_id(engine)[future].misdated
    assert list(by_id(engine)) == [future, last]
    assert all(one.forked for one in engine.snapshots())  # until the next run, which follows the last of them
    assert resolved(engine, "home") == last
    assert make_night(engine, source, b"more") == resolved(engine, "home")
    assert [one.parent for one in engine.snapshots()][-1] == last


def test_a_copy_that_heal_made_does_not_make_a_date_good(engine: Engine, source: TreeSource) -> None:
    future = make_future_night(engine, source)
    shelf = engine.shelf("b")
    for name, (data, moment) in list(shelf.objects.items()):
        if future in name:
            shelf.objects[name] = (data, moment + 2 * MONTH)
    assert by_id(engine)[future].misdated


def test_a_run_long_before_the_last_snapshot_is_refused_before_the_source_is_read(
    engine: Engine, source: TreeSource
) -> None:
    make_night(engine, source, b"1")
    set_clock(engine, EPOCH - engine.clock.now_utc())
    source.reads.clear()
    with pytest.raises(ClockWrong, match="by this host's clock it is 1970-01-01 00:00 UTC, and the last snapshot of"):
        engine.backup(source)
    assert source.reads == {}
    assert len(engine.snapshots()) == 1


def test_a_clock_that_is_set_back_while_the_source_is_read_commits_nothing(engine: Engine, source: TreeSource) -> None:
    make_night(engine, source, b"1")
    source.write(b"a", b"2")
    source.before_read = lambda _: set_clock(engine, -MONTH)
    with pytest.raises(ClockWrong):
        engine.backup(source)
    assert len(engine.snapshots()) == 1


def test_hosts_that_differ_a_little_have_one_order(engine: Engine, source: TreeSource) -> None:
    first = make_night(engine, source, b"1")
    set_clock(engine, timedelta(seconds=-200))
    source.write(b"a", b"2")
    second = engine.backup(source).snapshot_id
    found = by_id(engine)
    assert list(found) == [first, second]
    assert found[second].committed_utc > found[first].committed_utc
    assert resolved(engine, "home") == second


def test_where_no_date_can_be_right_the_order_still_holds(engine: Engine, source: TreeSource) -> None:
    """A replica unpacked from an archive without times, or a rescue host whose clock stands at its epoch."""
    made = [make_night(engine, source, b"%d" % number) for number in range(3)]
    for one in made:
        stamp(engine, one, -20 * 365 * timedelta(days=1))
    set_clock(engine, EPOCH - engine.clock.now_utc())
    assert all(one.misdated for one in engine.snapshots())
    assert resolved(engine, "home") == made[-1]
    assert list(by_id(engine)) == made


def test_a_rescue_host_with_a_wrong_clock_still_reads_the_last(engine: Engine, source: TreeSource) -> None:
    """Its own clock is a cap too, so no date can be right; then the order alone decides."""
    made = [make_night(engine, source, b"%d" % number) for number in range(3)]
    set_clock(engine, EPOCH - engine.clock.now_utc())
    assert all(one.misdated for one in engine.snapshots())
    assert resolved(engine, "home") == made[-1]


def test_two_runs_side_by_side_have_one_sequence_and_the_next_one_follows_both(
    engine: Engine, source: TreeSource
) -> None:
    first = make_night(engine, source, b"1")
    with engine.away("c"):
        there = make_night(engine, source, b"2")
    found = by_id(engine)
    assert (found[first].sequence, found[there].sequence) == (1, 2)
    assert make_night(engine, source, b"3") == engine.snapshots()[-1].snapshot_id
    assert engine.snapshots()[-1].sequence == 3


# --- against the stores' own clocks -----------------------------------------------------------------------------------


def on_disk(tmp_path: Path, *, off: timedelta) -> Engine:
    """Return an engine with replicas in directories, whose file system reports the real time, `off` this host's."""
    for name in "abc":
        (tmp_path / name).mkdir()
    urls = {name: (tmp_path / name).as_uri() for name in "abc"}
    return Engine(tmp_path / "host", clock=StillClock(datetime.now(UTC) + off), urls=urls).initialize()


@pytest.mark.parametrize("off", [MONTH, -MONTH, timedelta(seconds=400), EPOCH - datetime.now(UTC)])
def test_a_first_backup_far_from_the_time_of_the_stores_is_refused(tmp_path: Path, off: timedelta) -> None:
    engine = on_disk(tmp_path, off=off)
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", b"0")
    side = "behind" if off > timedelta() else "ahead of"
    with pytest.raises(ClockWrong, match=f"the clock of a is .* {side} this host's; the clock of b"):
        engine.backup(tree)
    assert engine.snapshots() == []
    set_clock(engine, -off)
    assert len(engine.backup(tree).replicas) == 3


def test_one_replica_with_a_wrong_clock_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    urls = {**fresh_memory_urls("a", "b"), "c": (tmp_path / "c").as_uri()}
    engine = Engine(tmp_path / "host", clock=StillClock(datetime.now(UTC) + MONTH), urls=urls).initialize()
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", b"0")
    outcomes = {one.replica: one.error_code for one in engine.backup(tree).replicas}
    assert outcomes == {"a": "", "b": "", "c": "clock-wrong"}
    assert engine.snapshots()[0].replicas == ("a", "b")


@pytest.mark.parametrize("far", [timedelta(), timedelta(days=80_000)], ids=["dated now", "dated far ahead"])
@pytest.mark.parametrize("defended", [True, False])
def test_a_thief_that_takes_the_highest_sequence_stops_no_backup(
    engine: Engine, source: TreeSource, far: timedelta, defended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_night(engine, source, b"before")
    with engine.opened(Need.WRITE) as repository:
        moment = repository.clock.now_utc() + far
        parent = engine.commit_of(before).hash
        theft, stored = signed_commit(
            repository, 7, source.name, sequence=limits.SEQUENCE_MAX, committed_utc=moment, parent_commit=parent
        )
        for replica in repository.replicas.values():
            replica.store.put(theft.name, stored)
    if not defended:
        monkeypatch.setattr(order, "sequence_max", lambda _: limits.SEQUENCE_MAX + 1)
        with pytest.raises(ClockWrong):
            make_night(engine, source, b"after")
        return
    after = make_night(engine, source, b"after")
    assert resolved(engine, "home@latest") == after
    assert by_id(engine)[theft.snapshot].misdated
    assert [by_id(engine)[one].sequence for one in (before, after)] == [1, 2]
    assert by_id(engine)[after].parent == before
