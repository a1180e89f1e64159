from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from farshore import limits
from farshore.clock import Clock
from farshore.errors import LeaseLost, SourceNotEnrolled, StoreUnavailable
from farshore.format import names
from farshore.format.lease import EndState, Lease, LeaseEnd, encode_end
from farshore.replicas.lease_ends import read_ends
from farshore.replicas.lease_holder import LeaseHolder
from farshore.signing import SignedKind
from farshore.stores.base import Store
from farshore.stores.memory import MemoryStore
from farshore.trust.actions import Right
from tests.doubles.faulty import FAIL, FaultyStore, Plan, at_call, no_faults
from tests.doubles.trust import MadeLog, keys_of, signed_text
from tests.unit.replicas.clocks import StillClock
from tests.unit.replicas.stores import GatedStore

LOG = MadeLog()
WRITER = LOG.certify(Right.BACKUP)
MAINTAINER = LOG.certify(Right.MAINTAIN)
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
        started_utc=now, expires_utc=now, log=(1, "a" * 64),
    )  # fmt: skip


@contextmanager
def held(clock: StillClock, **stores: Store) -> Iterator[LeaseHolder]:
    holder = LeaseHolder(stores=stores, keys=keys_of(WRITER), lease=lease_for(clock), clock=clock, checker=LOG.checker)
    try:
        yield holder
    finally:
        holder.end()


def break_lease(store: Store, clock: Clock, k: int = 0) -> None:
    name = names.lease_end(LEASE_ID, k)
    end = LeaseEnd(LEASE_ID, k, EndState.BROKEN, clock.now_utc(), (1, "a" * 64))
    store.put(name, signed_text(MAINTAINER, SignedKind.LEASE_END, name, encode_end(end)))


def put_names(store: Store) -> list[str]:
    return [info.name.removeprefix(f"leases/{LEASE_ID}/") for info in store.list("leases/")]


def decided(store: Store) -> str:
    read = read_ends(store, LOG.checker, LEASE_ID, WRITER.signer_id)
    return read.decision.state if read.decision else ""


def test_a_lease_is_taken_renewed_and_ended_by_new_objects_alone() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    with held(clock, a=store) as holder:
        assert holder.acquire() == {}
        assert put_names(store) == ["000000"]
        for number in (1, 2):
            until(lambda: clock.waiting == 1)
            clock.advance(limits.LEASE_BEAT_S)
            clock.ring()
            until(lambda number=number: len(put_names(store)) == number + 1)  # type: ignore[misc]
    assert put_names(store) == ["000000", "000001", "000002", "end/0"]
    assert holder.lease.beat == 2
    assert decided(store) == EndState.ENDED


def test_a_lease_that_commits_is_not_ended_any_more() -> None:
    clock = StillClock()
    a, b = MemoryStore(clock=clock), MemoryStore(clock=clock)
    with held(clock, a=a, b=b) as holder:
        holder.acquire()
        holder.commit("a", b"the commit")
        holder.commit("a", b"the commit")
    assert decided(a) == EndState.COMMITTING
    read = read_ends(a, LOG.checker, LEASE_ID, WRITER.signer_id).decision
    assert read is not None
    assert read.end is not None
    assert read.end.commit == b"the commit"
    assert decided(b) == EndState.ENDED
    assert put_names(a) == ["000000", "end/0"]


def test_a_writer_that_slept_past_its_lease_commits_unless_it_was_broken() -> None:
    """No clock decides: whoever deletes puts an end first, and then this run finds it."""
    clock = StillClock()
    asleep, broken = MemoryStore(clock=clock), MemoryStore(clock=clock)
    with held(clock, asleep=asleep, broken=broken) as holder:
        holder.acquire()
        clock.advance(100 * limits.LEASE_S)
        break_lease(broken, clock)
        holder.commit("asleep", b"the commit")
        with pytest.raises(LeaseLost, match="broken"):
            holder.commit("broken", b"the commit")
    assert decided(broken) == EndState.BROKEN


def test_an_end_of_a_thief_stops_nobody() -> None:
    clock = StillClock()
    store = MemoryStore(clock=clock)
    with held(clock, a=store) as holder:
        holder.acquire()
        store.put(names.lease_end(LEASE_ID, 0), b"garbage")
        holder.commit("a", b"the commit")
    assert put_names(store) == ["000000", "end/0", "end/1"]
    assert decided(store) == EndState.COMMITTING


def test_a_run_that_was_ended_commits_nothing() -> None:
    clock = StillClock()
    with held(clock, a=MemoryStore(clock=clock)) as holder:
        holder.acquire()
        holder.end()
        with pytest.raises(LeaseLost, match="ended"):
            holder.commit("a", b"the commit")


def test_a_lease_that_was_never_written_somewhere_does_not_hold_there() -> None:
    clock = StillClock()
    good, bad = MemoryStore(clock=clock), FaultyStore(MemoryStore(clock=clock), clock=clock, plan=at_call(1, FAIL))
    with held(clock, good=good, bad=bad) as holder:
        failed = holder.acquire()
        assert list(failed) == ["bad"]
        assert isinstance(failed["bad"], StoreUnavailable)
        holder.commit("good", b"the commit")
        with pytest.raises(LeaseLost, match="never written"):
            holder.commit("bad", b"the commit")


@pytest.mark.parametrize("plan", [no_faults, lambda *_: FAIL], ids=["reachable", "away"])
def test_renewing_goes_on_at_the_replicas_that_can_be_reached(plan: Plan) -> None:
    clock = StillClock()
    good = MemoryStore(clock=clock)
    other = FaultyStore(MemoryStore(clock=clock), clock=clock, plan=plan)
    with held(clock, good=good, other=other) as holder:
        holder.acquire()
        until(lambda: clock.waiting == 1)
        clock.ring()
        until(lambda: len(put_names(good)) == 2)
        holder.commit("good", b"the commit")


def test_a_replica_that_does_not_answer_keeps_no_beat_from_the_others() -> None:
    clock = StillClock()
    good, silent = MemoryStore(clock=clock), GatedStore(clock=clock)
    with held(clock, silent=silent, good=good) as holder:
        holder.acquire()
        until(lambda: clock.waiting == 1)
        silent.shut()
        clock.ring()
        until(lambda: len(put_names(good)) == 2)
        silent.open()


def test_ending_never_raises_and_may_be_repeated() -> None:
    clock = StillClock()
    store = FaultyStore(
        MemoryStore(clock=clock), clock=clock, plan=lambda _verb, name, _number: FAIL if "end" in name else None
    )
    with held(clock, a=store) as holder:
        holder.acquire()
        holder.end()
        holder.end()
    assert put_names(store) == ["000000"]


def test_ending_a_lease_that_was_never_taken_does_no_harm() -> None:
    clock = StillClock()
    with held(clock, a=MemoryStore(clock=clock)):
        pass


def test_without_a_signing_key_there_is_no_lease() -> None:
    clock = StillClock()
    holder = LeaseHolder(
        stores={"a": MemoryStore(clock=clock)}, keys=keys_of(None), lease=lease_for(clock), clock=clock,
        checker=LOG.checker,
    )  # fmt: skip
    with pytest.raises(SourceNotEnrolled):
        holder.acquire()
