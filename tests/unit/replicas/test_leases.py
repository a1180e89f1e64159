from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from farshore import limits
from farshore.clock import Clock
from farshore.errors import FarshoreError, LeaseLost, ObjectCorrupt, StoreUnavailable
from farshore.format import names
from farshore.format.records import Lease, encode_lease
from farshore.replicas.leases import LeaseHolder, read_leases
from farshore.sealed.sealed_object import SealedKind, seal_object
from farshore.stores.base import Store
from farshore.stores.memory import MemoryStore
from tests.doubles.faulty import FAIL, FaultyStore, Plan, at_call, no_faults
from tests.doubles.keys import fixed_keys
from tests.unit.replicas.clocks import StillClock
from tests.unit.replicas.stores import GatedStore

KEYS = fixed_keys(repository_id=b"r" * 16, chunk_key=b"c" * 32, index_key=b"i" * 32)
LEASE_ID = "1" * 32


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def lease_for(clock: Clock, lease_id: str = LEASE_ID) -> Lease:
    now = clock.now_utc()
    return Lease(
        lease=lease_id, run="2" * 32, source_id="3" * 32, identity="", snapshot="4" * 32, host="here", beat=0,
        started_utc=now, expires_utc=now,
    )  # fmt: skip


@contextmanager
def held(clock: StillClock, **stores: Store) -> Iterator[LeaseHolder]:
    holder = LeaseHolder(stores=stores, keys=KEYS, lease=lease_for(clock), clock=clock)
    try:
        yield holder
    finally:
        holder.end()


def put_beat(store: Store, lease: Lease, beat: int | None) -> None:
    name = names.lease(lease.lease, beat)
    store.put(
        name,
        seal_object(
            encode_lease(replace(lease, beat=beat or 0)), secret=KEYS.index_key, key_id=KEYS.own, salt=b"s" * 32,
            kind=SealedKind.LEASE, name=name, repository_id=KEYS.repository_id,
        ),
    )  # fmt: skip


def beats(store: Store) -> list[str]:
    return [info.name.removeprefix(f"leases/{LEASE_ID}/") for info in store.list("leases/")]


def test_a_lease_is_taken_renewed_and_ended_by_new_objects_alone() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    with held(clock, a=store) as holder:
        assert holder.acquire() == {}
        assert beats(store) == ["000000"]
        for number in (1, 2):
            until(lambda: clock.waiting == 1)
            clock.advance(limits.LEASE_BEAT_S)
            clock.ring()
            until(lambda number=number: len(beats(store)) == number + 1)  # type: ignore[misc]
        holder.check("a")
    assert beats(store) == ["000000", "000001", "000002", "end"]
    assert holder.lease.beat == 2


def test_a_live_lease_is_reported_by_its_last_beat() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    with held(clock, a=store) as holder:
        holder.acquire()
        (found,) = read_leases(store, KEYS, clock)
        assert found.live
        assert found.lease.expires_utc == clock.now_utc() + timedelta(seconds=limits.LEASE_S)
        assert found.lease.run == "2" * 32
        until(lambda: clock.waiting == 1)
        clock.advance(limits.LEASE_S)
        clock.ring()
        until(lambda: len(beats(store)) == 2)
        (found,) = read_leases(store, KEYS, clock)
        assert (found.live, found.lease.beat) == (True, 1)
    assert read_leases(store, KEYS, clock) == []


def test_a_silent_lease_is_dead_only_after_the_skew_that_clocks_may_have() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    put_beat(store, replace(lease_for(clock), expires_utc=clock.now_utc() + timedelta(seconds=limits.LEASE_S)), 0)
    clock.advance(limits.LEASE_S + limits.CLOCK_SKEW_S_MAX - 1)
    assert [one.live for one in read_leases(store, KEYS, clock)] == [True]
    clock.advance(1)
    assert [one.live for one in read_leases(store, KEYS, clock)] == [False]


def test_beats_are_ordered_by_number_and_not_by_listing() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    for beat in (0, 9, 10, 2):
        put_beat(store, replace(lease_for(clock), expires_utc=clock.now_utc() + timedelta(seconds=beat)), beat)
    store.put("leases/not-one-of-ours", b"x")
    (found,) = read_leases(store, KEYS, clock)
    assert found.lease.beat == 10


def test_an_expired_lease_stops_the_commit() -> None:
    """Invariant: a writer that slept past its lease must not commit over a prune that took it for dead."""
    clock = StillClock()
    with held(clock, a=MemoryStore(clock=clock)) as holder:
        holder.acquire()
        clock.advance(limits.LEASE_S - 1)
        holder.check("a")
        clock.advance(1)
        with pytest.raises(LeaseLost, match="expired"):
            holder.check("a")


def test_a_lease_broken_by_another_host_stops_the_commit() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    with held(clock, a=store, b=MemoryStore(clock=clock)) as holder:
        holder.acquire()
        put_beat(store, replace(holder.lease, state="broken"), None)
        with pytest.raises(LeaseLost, match="broken"):
            holder.check("a")
        holder.check("b")


def test_a_lease_that_was_never_written_somewhere_does_not_hold_there() -> None:
    clock = StillClock()
    good, bad = MemoryStore(clock=clock), FaultyStore(MemoryStore(clock=clock), clock=clock, plan=at_call(1, FAIL))
    with held(clock, good=good, bad=bad) as holder:
        failed = holder.acquire()
        assert list(failed) == ["bad"]
        assert isinstance(failed["bad"], StoreUnavailable)
        holder.check("good")
        with pytest.raises(LeaseLost):
            holder.check("bad")


@pytest.mark.parametrize("plan", [no_faults, lambda *_: FAIL], ids=["reachable", "away"])
def test_renewing_goes_on_at_the_replicas_that_can_be_reached(plan: Plan) -> None:
    clock = StillClock()
    good = MemoryStore(clock=clock)
    other = FaultyStore(MemoryStore(clock=clock), clock=clock, plan=plan)
    with held(clock, good=good, other=other) as holder:
        holder.acquire()
        clock.advance(limits.LEASE_S)
        until(lambda: clock.waiting == 1)
        clock.ring()
        until(lambda: len(beats(good)) == 2)
        until(lambda: clock.waiting == 1)
        holder.check("good")
        if plan is not no_faults:
            with pytest.raises(LeaseLost):
                holder.check("other")


def test_a_replica_that_does_not_answer_does_not_let_the_lease_run_out_at_the_others() -> None:
    clock = StillClock()
    good, silent = MemoryStore(clock=clock), GatedStore(clock=clock)
    with held(clock, silent=silent, good=good) as holder:
        holder.acquire()
        silent.shut()
        clock.advance(limits.LEASE_S)
        until(lambda: clock.waiting == 1)
        clock.ring()
        until(lambda: len(beats(good)) == 2)
        until(lambda: not _has_expired(holder, "good"))
        assert _has_expired(holder, "silent")
        silent.open()
        until(lambda: not _has_expired(holder, "silent"))


def _has_expired(holder: LeaseHolder, replica: str) -> bool:
    try:
        holder.check(replica)
    except LeaseLost:
        return True
    return False


def test_ending_never_raises_and_may_be_repeated() -> None:
    clock = StillClock()
    store = FaultyStore(
        MemoryStore(clock=clock), clock=clock, plan=lambda _verb, name, _number: FAIL if "end" in name else None
    )
    with held(clock, a=store) as holder:
        holder.acquire()
        holder.end()
        holder.end()
    assert [one.live for one in read_leases(MemoryStore(clock=clock), KEYS, clock)] == []
    assert len(beats(store)) == 1


def test_ending_a_lease_that_was_never_taken_does_no_harm() -> None:
    clock = StillClock()
    with held(clock, a=MemoryStore(clock=clock)):
        pass


def test_a_lease_that_does_not_open_is_reported_as_such() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    store.put(names.lease(LEASE_ID, 0), b"garbage")
    with pytest.raises(ObjectCorrupt):
        read_leases(store, KEYS, clock)


def test_two_leases_at_once() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    expires = clock.now_utc() + timedelta(seconds=limits.LEASE_S)
    for digit in "56":
        put_beat(store, replace(lease_for(clock, digit * 32), expires_utc=expires), 0)
    put_beat(store, lease_for(clock, "5" * 32), None)
    assert [one.lease.lease for one in read_leases(store, KEYS, clock)] == ["6" * 32]


def test_nothing_of_a_lease_shows_without_the_index_key() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    with held(clock, a=store) as holder:
        holder.acquire()
        sealed = store.get(names.lease(LEASE_ID, 0))
        assert b"here" not in sealed
        with pytest.raises(FarshoreError):
            read_leases(
                store, fixed_keys(repository_id=KEYS.repository_id, chunk_key=b"c" * 32, index_key=b"x" * 32), clock
            )
