"""Order, barriers, back-pressure: what a replica shows is always honest, and a slow one stalls nobody for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import StoreDenied, StoreUnavailable
from farshore.replicas.fanout import Fanout
from farshore.replicas.upload import Upload
from farshore.stores.memory import MemoryStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, LOSE_REPLY, Fault, FaultKind, FaultyStore, at_call, from_call
from tests.unit.replicas.stores import GatedStore

CLOCK = FixedClock()


def pack(number: int) -> Upload:
    return Upload(f"packs/{number}", b"p" * number, number, barrier=False)


def barrier(name: str) -> Upload:
    return Upload(name, name.encode(), len(name), barrier=True)


def fanout(*replicas: str, window_packs: int = 100, quorum: int | None = None) -> Fanout:
    return Fanout(replicas=replicas, clock=SystemClock(), window_packs=window_packs, quorum=quorum)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def started(call: Callable[[], None]) -> tuple[ThreadPoolExecutor, Future[None]]:
    pool = ThreadPoolExecutor(1)
    return pool, pool.submit(call)


def test_everything_reaches_every_replica() -> None:
    queues = fanout("a", "b", "c")
    stores = {name: GatedStore(clock=CLOCK) for name in "abc"}
    uploads = [barrier("key"), *(pack(number) for number in range(30)), barrier("index"), pack(99), barrier("manifest")]
    with ThreadPoolExecutor(3) as pool:
        drains = [pool.submit(queues.drain, name, store) for name, store in stores.items()]
        for upload in uploads:
            queues.offer(upload)
        queues.end()
        for drain in drains:
            drain.result()
    for name, store in stores.items():
        assert {info.name: info.size for info in store.list()} == {one.name: one.size for one in uploads}
        assert queues.finished(name)
        assert sorted(queues.acknowledged(name)) == sorted((one.name, one.size) for one in uploads)


def test_a_barrier_waits_for_all_before_it_and_holds_all_behind_it() -> None:
    queues, store = fanout("a"), GatedStore(clock=CLOCK, is_open=False)
    for upload in (barrier("key"), pack(1), pack(2), pack(3), barrier("index"), pack(4), barrier("manifest")):
        queues.offer(upload)
    queues.end()
    pool, drain = started(lambda: queues.drain("a", store))
    with pool:
        until(lambda: store.begun == ["key"])
        store.open()
        drain.result()
    assert store.done[0] == "key"
    assert set(store.done[1:4]) == {"packs/1", "packs/2", "packs/3"}
    assert store.done[4:] == ["index", "packs/4", "manifest"]


def test_nothing_passes_a_barrier_that_has_not_been_acknowledged() -> None:
    queues, store = fanout("a"), GatedStore(clock=CLOCK, is_open=False)
    queues.offer(pack(1))
    queues.offer(barrier("index"))
    queues.offer(pack(2))
    queues.end()
    pool, drain = started(lambda: queues.drain("a", store))
    with pool:
        until(lambda: store.begun == ["packs/1"])
        time.sleep(0.05)
        assert store.begun == ["packs/1"]
        store.open()
        drain.result()


def test_packs_of_one_replica_travel_together() -> None:
    queues, store = fanout("a"), GatedStore(clock=CLOCK, is_open=False)
    for number in range(20):
        queues.offer(pack(number))
    queues.end()
    pool, drain = started(lambda: queues.drain("a", store))
    with pool:
        until(lambda: len(store.begun) == limits.UPLOADS_PER_REPLICA)
        store.open()
        drain.result()
    assert store.at_once_max == limits.UPLOADS_PER_REPLICA


@contextmanager
def held_up(sealing: Callable[[], None], queues: Fanout, store: GatedStore) -> Iterator[None]:
    """Seal into queues whose one replica, `a`, takes nothing inside; then let both come to their end."""
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(sealing), pool.submit(queues.drain, "a", store)
        try:
            yield
        finally:
            store.open()
        for one in running:
            one.result()


def test_the_sealing_thread_waits_while_a_replica_is_a_window_behind() -> None:
    queues, store = fanout("a", window_packs=3), GatedStore(clock=CLOCK, is_open=False)
    offered: list[int] = []

    def offer() -> None:
        for number in range(10):
            queues.offer(pack(number))
            offered.append(number)
        queues.end()

    with held_up(offer, queues, store):
        until(lambda: len(offered) == 3)
        time.sleep(0.1)
        assert len(offered) == 3
    assert len(store.done) == 10


def test_it_is_pressed_while_the_sealing_thread_would_wait() -> None:
    queues = fanout("quick", "slow", window_packs=2)
    store = MemoryStore(clock=SystemClock())
    reported = []
    for upload in (pack(1), barrier("index/1"), pack(2)):
        reported.append(queues.uploads_are_bottleneck)
        queues.offer(upload)
    assert (reported, queues.uploads_are_bottleneck) == ([False, False, False], True)
    pool, drained = started(lambda: queues.drain("slow", store))
    pool2, drained2 = started(lambda: queues.drain("quick", store))
    until(lambda: not queues.uploads_are_bottleneck)
    queues.end()
    for one in (drained, drained2):
        one.result()
    pool.shutdown()
    pool2.shutdown()


def test_room_is_awaited_before_a_pack_is_made() -> None:
    """So memory holds no more packs than the window, and what is sealed for that pack counts as pressed."""
    queues, store = fanout("a", window_packs=2), GatedStore(clock=CLOCK, is_open=False)
    uploads_are_bottleneck: list[bool] = []
    made: list[int] = []

    def work() -> None:
        for number in range(6):
            queues.await_room()
            uploads_are_bottleneck.append(queues.uploads_are_bottleneck)
            made.append(number)
            queues.offer(pack(number))
        queues.end()

    with held_up(work, queues, store):
        until(lambda: len(made) == 2)
        time.sleep(0.1)
        assert len(made) == 2
        assert queues.packs_in_memory == 2
    assert uploads_are_bottleneck[:3] == [False, False, True]
    assert len(store.done) == 6


def test_whoever_awaits_room_is_reported_that_the_run_was_stopped() -> None:
    queues = fanout("a", window_packs=1)
    queues.await_room()
    queues.offer(pack(0))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queues.await_room)
        time.sleep(0.05)
        assert not waiting.done()
        queues.abort()
        with pytest.raises(StoreUnavailable, match="stopped"):
            waiting.result()


def test_a_replica_left_behind_presses_nobody() -> None:
    queues = fanout("slow", window_packs=1)
    queues.offer(pack(1))
    before = queues.uploads_are_bottleneck
    queues.drop("slow", StoreUnavailable("gone"))
    assert (before, queues.uploads_are_bottleneck) == (True, False)


def test_barriers_need_no_room() -> None:
    queues = fanout("a", window_packs=1)
    queues.offer(pack(1))
    for number in range(5):
        queues.offer(barrier(f"small-{number}"))


@pytest.mark.parametrize("call", range(1, 7))
@pytest.mark.parametrize("fault", [FAIL, LOSE_REPLY], ids=["fail", "lose-reply"])
def test_a_drain_that_failed_continues_where_it_stopped(call: int, fault: Fault) -> None:
    queues, inner = fanout("a"), MemoryStore(clock=CLOCK)
    uploads = [barrier("key"), pack(1), pack(2), barrier("index"), pack(3), barrier("manifest")]
    for upload in uploads:
        queues.offer(upload)
    queues.end()
    store = FaultyStore(inner, clock=CLOCK, plan=at_call(call, fault))
    with pytest.raises(StoreUnavailable):
        queues.drain("a", store)
    assert not queues.finished("a")
    queues.drain("a", store)
    assert queues.finished("a")
    assert sorted(queues.acknowledged("a")) == sorted((one.name, one.size) for one in uploads)
    puts = [one.name for one in store.calls if one.verb == "put"]
    for position in (0, 3, 5):  # each barrier still came after everything before it
        name = uploads[position].name
        assert all(puts.index(earlier.name) <= puts.index(name) for earlier in uploads[:position])
    assert len(puts) <= len(uploads) + limits.UPLOADS_PER_REPLICA
    assert {info.name for info in inner.list()} == {one.name for one in uploads}


def test_one_failing_replica_does_not_disturb_the_others() -> None:
    queues = fanout("good", "bad", window_packs=2)
    good = GatedStore(clock=CLOCK)
    bad = FaultyStore(MemoryStore(clock=CLOCK), clock=CLOCK, plan=from_call(3, Fault(FaultKind.FAIL, StoreDenied)))

    def drain_bad() -> None:
        with pytest.raises(StoreDenied):
            queues.drain("bad", bad)
        queues.drop("bad", StoreDenied("revoked"))

    with ThreadPoolExecutor(2) as pool:
        drains = [pool.submit(queues.drain, "good", good), pool.submit(drain_bad)]
        for number in range(12):
            queues.offer(pack(number))
        queues.end()
        for drain in drains:
            drain.result()
    assert len(good.done) == 12
    assert queues.finished("good")
    assert not queues.finished("bad")
    assert isinstance(queues.error_of("bad"), StoreDenied)
    assert queues.error_of("good") is None


def test_the_first_reason_for_leaving_a_replica_behind_is_kept() -> None:
    queues = fanout("a", "b")
    queues.drop("a", StoreDenied("first"))
    queues.drop("a", StoreUnavailable("second"))
    assert isinstance(queues.error_of("a"), StoreDenied)
    assert queues.at_work == ("b",)


def test_a_replica_left_behind_drains_at_once_and_is_not_finished() -> None:
    queues = fanout("a", "b")
    queues.offer(pack(1))
    queues.drop("a", StoreDenied("away"))
    store = GatedStore(clock=CLOCK)
    queues.drain("a", store)
    assert store.begun == []
    assert not queues.finished("a")


def test_an_aborted_run_stops_everybody() -> None:
    queues, store = fanout("a", window_packs=2), GatedStore(clock=CLOCK, is_open=False)

    def offer_all() -> None:
        for number in range(10):
            queues.offer(pack(number))

    with ThreadPoolExecutor(2) as pool:
        offer = pool.submit(offer_all)
        drain = pool.submit(queues.drain, "a", store)
        until(lambda: len(store.begun) == 2)
        queues.abort()
        with pytest.raises(StoreUnavailable, match="stopped"):
            offer.result()
        store.open()
        with pytest.raises(StoreUnavailable, match="stopped"):
            drain.result()
        until(lambda: len(store.done) == 2)  # what was under way ends by itself
    assert not queues.finished("a")


def test_an_aborted_run_sends_nothing_more_when_asked_again() -> None:
    queues, store = fanout("a"), GatedStore(clock=CLOCK)
    queues.offer(pack(1))
    queues.abort()
    with pytest.raises(StoreUnavailable):
        queues.drain("a", store)
    assert store.begun == []


def test_a_drain_waits_for_late_uploads() -> None:
    queues, store = fanout("a"), GatedStore(clock=CLOCK)
    pool, drain = started(lambda: queues.drain("a", store))
    with pool:
        for number in range(3):
            time.sleep(0.02)
            queues.offer(pack(number))
            until(lambda number=number: len(store.done) == number + 1)  # type: ignore[misc]
        assert not drain.done()
        queues.end()
        drain.result()
    assert queues.finished("a")


def test_an_error_is_raised_without_waiting_for_the_next_upload() -> None:
    """A replica that refuses is reported while the source is still being read, so a large file does not hide it."""
    queues = fanout("a")
    store = FaultyStore(MemoryStore(clock=CLOCK), clock=CLOCK, plan=at_call(1, Fault(FaultKind.FAIL, StoreDenied)))
    pool, drain = started(lambda: queues.drain("a", store))
    with pool:
        queues.offer(pack(1))
        try:
            with pytest.raises(StoreDenied):
                drain.result(timeout=10)
        finally:
            queues.end()
