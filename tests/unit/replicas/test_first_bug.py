"""A broken promise of ours in a thread whose answer is dropped is kept, and raised at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from farshore import limits
from farshore.errors import Bug, StoreUnavailable
from farshore.replicas import DetachedThreads, FirstBug, ask_all, ask_first
from farshore.replicas.fanout import Fanout
from farshore.replicas.lease_holder import LeaseHolder
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Replica
from farshore.replicas.upload import Upload
from farshore.stores.base import Body, PutOutcome
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import Fault, FaultKind, FaultyStore, at_call
from tests.doubles.trust import keys_of
from tests.unit.replicas.clocks import StillClock
from tests.unit.replicas.test_lease_holder import LOG, WRITER, lease_for

BUG = Fault(FaultKind.FAIL, Bug)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets what hangs go on, and meet its bug."""
    event = threading.Event()
    yield event
    event.set()


def is_kept(first_bug: FirstBug) -> bool:
    """Whether a bug is there before long."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            first_bug.check()
        except Bug:
            return True
        time.sleep(0.002)
    return False


def test_the_first_is_raised_once_and_only_in_place_of_an_expected_error() -> None:
    first_bug = FirstBug()
    first_bug.keep(None)
    first_bug.keep(StoreUnavailable("a"))
    first_bug.check()
    first_bug.keep(Bug("one"))
    first_bug.keep(Bug("two"))
    with pytest.raises(Bug, match="one"):
        first_bug.check()
    first_bug.check()
    for ends_with in (KeyboardInterrupt(), Bug("another")):
        first_bug.keep(Bug("one"))
        first_bug.check(ends_with)
    trouble = StoreUnavailable("a")
    first_bug.keep(Bug("one"))
    with pytest.raises(Bug) as raised:
        first_bug.check(trouble)
    assert raised.value.__cause__ is trouble


def test_of_a_read_that_another_replica_answered(release: threading.Event) -> None:
    clock, threads = StillClock(), DetachedThreads(4, "read")
    stores = {name: MemoryStore(clock=clock) for name in "ab"}
    replicas = [Replica(name, "", "", store, MeteredStore(store)) for name, store in stores.items()]
    reader = ReplicaReader(replicas=replicas, clock=clock, threads=threads)

    def ask(replica: Replica) -> str:
        if replica.name == "a":
            release.wait()
            raise Bug("late")
        return "answer"

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.ask, "object", ask)
        while not reading.done():
            clock.ring()
            time.sleep(0.002)
    assert reading.result() == "answer"
    threads.first_bug.check()
    release.set()
    assert is_kept(threads.first_bug)
    threads.close()


@pytest.mark.parametrize("way", [ask_all, ask_first])
def test_of_a_replica_that_was_silent_for_too_long(way: Callable[..., Any], release: threading.Event) -> None:
    clock, first_bug = StillClock(), FirstBug()

    def ask(name: str) -> str:
        if name == "a":
            release.wait()
            raise Bug("late")
        return name

    with ThreadPoolExecutor(1) as pool:
        options = {"patient": True} if way is ask_all else {}
        asking = pool.submit(way, ["a", "b"], ask, clock=clock, first_bug=first_bug, **options)
        while not asking.done():
            if clock.waiting:
                clock.advance(limits.SILENCE_S_MAX)
                clock.ring()
            time.sleep(0.002)
    assert "b" in asking.result()[way is ask_first]
    first_bug.check()
    release.set()
    assert is_kept(first_bug)


@pytest.mark.parametrize("is_aborted", [False, True], ids=["dropped", "aborted"])
def test_of_a_put_to_a_replica_that_was_dropped(is_aborted: bool, release: threading.Event) -> None:
    first_bug, begun = FirstBug(), threading.Event()

    class Hanging(MemoryStore):
        def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
            begun.set()
            release.wait()
            raise Bug("late")

    fanout = Fanout(replicas=["a"], clock=StillClock(), first_bug=first_bug)
    fanout.offer(Upload("packs/1", b"1", 1, barrier=False))
    with ThreadPoolExecutor(1) as pool:
        drain = pool.submit(fanout.drain, "a", Hanging(clock=FixedClock()))
        begun.wait(30)
        if is_aborted:
            fanout.abort()
        else:
            fanout.drop("a", StoreUnavailable("too slow"))
        assert (type(drain.exception(30)) is StoreUnavailable) == is_aborted
    first_bug.check()
    release.set()
    assert is_kept(first_bug)


def test_of_a_lease_that_is_renewed() -> None:
    clock, first_bug = StillClock(), FirstBug()
    store = FaultyStore(MemoryStore(clock=clock), clock=clock, plan=at_call(2, BUG))
    holder = LeaseHolder(
        stores={"a": store}, keys=keys_of(WRITER), lease=lease_for(clock), clock=clock, checker=LOG.checker,
        first_bug=first_bug,
    )  # fmt: skip
    holder.acquire()
    while not clock.waiting:
        time.sleep(0.002)
    clock.advance(limits.LEASE_BEAT_S)
    clock.ring()
    assert is_kept(first_bug)
