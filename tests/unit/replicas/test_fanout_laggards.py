"""Laggards: nobody waits for them while a quorum keeps up, what they lack is on disk, and there is an end to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farshore import limits
from farshore.errors import ReplicaTooSlow, StoreDenied, StoreUnavailable
from farshore.replicas.fanout import Fanout
from farshore.replicas.upload import Spool, Upload
from farshore.replicas.upload_queue import QueueLimits
from farshore.stores.memory import MemoryStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, FaultyStore, at_call, from_call
from tests.unit.replicas.stores import GatedStore

SIZE = 1000


def pack(number: int) -> Upload:
    return Upload(f"packs/{number:03}", bytes([number]) * SIZE, SIZE, barrier=False)


def barrier(name: str) -> Upload:
    return Upload(name, name.encode(), len(name), barrier=True)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def files(place: Path) -> list[Path]:
    return sorted(place.iterdir())


class Run:
    """Two quick replicas and slow ones behind gates, which drain beside the test."""

    def __init__(
        self, place: Path | None, *slow: str, quorum: int = 2, spool_bytes: int = 10**9, free_bytes_min: int = 0
    ) -> None:
        self.clock = FixedClock()
        self.names = ("one", "two", *slow)
        self.queues = Fanout(
            replicas=self.names,
            clock=self.clock,
            quorum=quorum,
            queue_limits={name: QueueLimits(uploads=2, spool_bytes=spool_bytes) for name in self.names},
            spool=Spool(place, free_bytes_min=free_bytes_min),
            window_packs=3,
        )
        self.stores = {name: GatedStore(clock=self.clock, is_open=name not in slow) for name in self.names}
        self.pool = ThreadPoolExecutor(len(self.names))
        self.drains = {name: self.pool.submit(self.queues.drain, name, self.stores[name]) for name in self.names}

    def offer(self, *numbers: int) -> None:
        for number in numbers:
            self.queues.offer(pack(number))

    def close(self) -> None:
        self.queues.abort()
        for store in self.stores.values():
            store.open()
        self.pool.shutdown()


def test_nobody_waits_for_a_laggard_and_it_loses_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, "slow")
    run.queues.offer(barrier("key"))
    run.offer(*range(30))
    run.queues.offer(barrier("index"))
    run.queues.end()
    run.drains["one"].result()
    run.drains["two"].result()
    assert run.queues.finished("one")
    assert run.queues.packs_in_memory <= 3 + 2
    assert len(files(tmp_path)) >= 25
    assert run.queues.at_work == run.names
    run.stores["slow"].open()
    run.drains["slow"].result()
    assert run.queues.finished("slow")
    assert files(tmp_path) == []
    assert {info.name for info in run.stores["slow"].list()} == {info.name for info in run.stores["one"].list()}
    assert all(run.stores["slow"].get(f"packs/{number:03}") == pack(number).body for number in range(30))
    assert (run.stores["slow"].done[0], run.stores["slow"].done[-1]) == ("key", "index")
    run.close()


def test_laggards_share_one_copy_and_the_last_one_deletes_it(tmp_path: Path) -> None:
    run = Run(tmp_path, "slow", "slower")
    run.offer(*range(20))
    run.queues.end()
    run.drains["two"].result()
    spooled = len(files(tmp_path))
    assert 14 <= spooled <= 18
    run.stores["slow"].open()
    run.drains["slow"].result()
    assert len(files(tmp_path)) == spooled
    run.stores["slower"].open()
    run.drains["slower"].result()
    assert files(tmp_path) == []
    run.close()


def test_past_its_spool_a_replica_is_left_behind_and_the_disk_is_free_again(tmp_path: Path) -> None:
    run = Run(tmp_path, "slow", spool_bytes=5 * SIZE)
    most = 0
    for number in range(30):
        run.offer(number)
        most = max(most, len(files(tmp_path)))
    assert most == 5
    assert run.queues.at_work == ("one", "two")
    error = run.queues.error_of("slow")
    assert isinstance(error, ReplicaTooSlow)
    assert "5,000 bytes of the spool" in error.message
    run.drains["slow"].result()  # at once: what is under way ends by itself
    run.queues.end()
    run.drains["one"].result()
    run.drains["two"].result()
    run.stores["slow"].open()
    until(lambda: files(tmp_path) == [])
    assert not run.queues.finished("slow")
    run.close()


@pytest.mark.parametrize("trouble", ["none", "full", "gone"])
def test_a_spool_that_takes_nothing_is_like_a_full_one(tmp_path: Path, trouble: str) -> None:
    place = tmp_path / "spool"
    place.mkdir()
    run = Run(None if trouble == "none" else place, "slow", free_bytes_min=1 << 60 if trouble == "full" else 0)
    if trouble == "gone":
        place.rmdir()
    run.offer(*range(10))
    assert run.queues.at_work == ("one", "two")
    assert isinstance(run.queues.error_of("slow"), ReplicaTooSlow)
    run.queues.end()
    run.drains["one"].result()
    assert len(run.stores["one"].done) == 10
    run.close()


def test_when_all_are_slow_the_reader_is_held_and_nobody_is_left_behind(tmp_path: Path) -> None:
    run = Run(tmp_path, "a", "b", quorum=4)
    offered: list[int] = []
    with ThreadPoolExecutor(1) as pool:

        def offer_all() -> None:
            for number in range(12):
                run.offer(number)
                offered.append(number)
            run.queues.end()

        offering = pool.submit(offer_all)
        until(lambda: len(offered) == 3)
        run.clock.advance(3600)
        time.sleep(0.05)
        assert len(offered) == 3
        assert run.queues.uploads_are_bottleneck
        assert files(tmp_path) == []
        run.stores["a"].open()
        run.stores["b"].open()
        offering.result()
    for drain in run.drains.values():
        drain.result()
    assert all(run.queues.finished(name) for name in run.names)
    run.close()


def test_a_laggard_presses_nobody_while_a_quorum_keeps_up(tmp_path: Path) -> None:
    run = Run(tmp_path, "slow")
    for number in range(10):
        run.offer(number)
        until(lambda: not run.queues.uploads_are_bottleneck)
    run.close()


def test_at_the_end_a_laggard_that_cannot_finish_soon_is_not_waited_for(tmp_path: Path) -> None:
    run = Run(tmp_path, "slow")
    run.offer(*range(10))
    run.clock.advance(100)  # in which it has at most what is under way, two packs; the rest would take 400 s
    run.queues.end()
    for name in run.names:
        run.drains[name].result(timeout=10)
    assert run.queues.at_work == ("one", "two")
    error = run.queues.error_of("slow")
    assert isinstance(error, ReplicaTooSlow)
    assert "10 objects" in error.message
    run.close()


def test_at_the_end_one_that_was_asked_to_wait_at_first_is_waited_for(tmp_path: Path) -> None:
    """A second into a run, with a kilobyte done, nobody knows its rate."""
    run = Run(tmp_path, "slow")
    run.offer(*range(100))
    run.clock.advance(1)
    run.queues.end()
    run.drains["one"].result()
    run.drains["two"].result()
    time.sleep(0.5)
    assert "slow" in run.queues.at_work
    run.stores["slow"].open()
    run.drains["slow"].result(timeout=10)
    assert run.queues.finished("slow")
    run.close()


def test_at_the_end_one_that_has_nearly_all_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    run = Run(tmp_path, "slow")
    run.offer(0, 1)
    run.queues.end()
    run.drains["one"].result()
    run.drains["two"].result()
    run.clock.advance(limits.LAGGARD_WAIT_S - 1)
    time.sleep(0.5)
    assert "slow" in run.queues.at_work
    run.clock.advance(2)
    run.drains["slow"].result(timeout=10)
    assert run.queues.at_work == ("one", "two")
    run.close()


def test_rest_is_in_vain_once_a_quorum_has_everything_or_the_run_has_stopped() -> None:
    clock = FixedClock()
    queues = Fanout(replicas=["a", "b"], clock=clock, quorum=1)
    assert queues.backoff("b", 5.0)
    queues.end()
    queues.drain("a", MemoryStore(clock=clock))
    assert not queues.backoff("b", 5.0)
    queues = Fanout(replicas=["a", "b"], clock=clock)
    queues.abort()
    assert not queues.backoff("b", 5.0)
    queues = Fanout(replicas=["a", "b"], clock=clock)
    queues.drop("b", StoreDenied("revoked"))
    assert not queues.backoff("b", 5.0)


def test_a_replica_that_the_quorum_needs_may_fail_for_a_while() -> None:
    clock = FixedClock()
    queues = Fanout(replicas=["a", "b"], clock=clock, quorum=2)
    store = FaultyStore(MemoryStore(clock=clock), clock=clock, plan=from_call(1, FAIL))
    queues.offer(pack(1))
    queues.end()
    started_s = clock.monotonic_s()
    with pytest.raises(StoreUnavailable):
        queues.drain("b", store)
    while queues.backoff("b", 2.0):
        with pytest.raises(StoreUnavailable):
            queues.drain("b", store)
    assert limits.REPLICA_PATIENCE_S <= clock.monotonic_s() - started_s <= limits.REPLICA_PATIENCE_S + 2.5


def test_a_spooled_upload_is_put_again_after_a_failure(tmp_path: Path) -> None:
    clock = FixedClock()
    queues = Fanout(replicas=["a", "b"], clock=clock, quorum=1, spool=Spool(tmp_path, free_bytes_min=0), window_packs=1)
    store, quick = MemoryStore(clock=clock), MemoryStore(clock=clock)
    with ThreadPoolExecutor(1) as pool:
        drain = pool.submit(queues.drain, "a", quick)
        for number in range(6):
            queues.offer(pack(number))
        queues.end()
        drain.result()
    assert len(files(tmp_path)) >= 5
    with pytest.raises(StoreUnavailable):
        queues.drain("b", FaultyStore(store, clock=clock, plan=at_call(3, FAIL)))
    queues.drain("b", store)
    assert queues.finished("b")
    assert [info.size for info in store.list()] == [SIZE] * 6
    assert files(tmp_path) == []


def test_progress_that_fails_is_reported_by_the_drain() -> None:
    def tell(_: int) -> None:
        raise ValueError("a broken terminal")

    queues = Fanout(replicas=["a"], clock=FixedClock())
    queues.offer(pack(1))
    queues.end()
    with pytest.raises(ValueError, match="terminal"):
        queues.drain("a", MemoryStore(clock=FixedClock()), tell)
