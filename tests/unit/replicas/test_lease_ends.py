"""One decision on each lease. tests/models/prune/lease_ends.py has the rules; its mutants are those dropped here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from farshore import limits
from farshore.errors import LeaseLost, StateUnknown, StoreUnavailable
from farshore.format import names
from farshore.format.lease import ENDS_MAX, EndState, LeaseEnd, encode_end
from farshore.replicas.lease_ends import Decision, decide, read_ends
from farshore.signing import SignedKind, SigningKey, generate_signing_key
from farshore.stores.memory import MemoryStore
from farshore.trust.actions import Right
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import CORRUPT, FAIL, LOSE_REPLY, VANISH, Fault, FaultyStore
from tests.doubles.trust import MOMENT, MadeLog, signed_text

LEASE = "1" * 32


def end(key: SigningKey, state: str, k: int, **more: object) -> bytes:
    value = LeaseEnd(LEASE, k, state, MOMENT, (1, "a" * 64), **more)  # type: ignore[arg-type]
    return signed_text(key, SignedKind.LEASE_END, names.lease_end(LEASE, k), encode_end(value))


class World:
    """One replica, a writer with a lease, a maintainer, another writer, and the owner log."""

    def __init__(self) -> None:
        self.log = MadeLog()
        self.writer = self.log.certify(Right.BACKUP)
        self.other = self.log.certify(Right.BACKUP, Right.HEAL)
        self.maintainer = self.log.certify(Right.MAINTAIN)
        self.store = MemoryStore(clock=FixedClock())

    def put(self, k: int, data: bytes) -> None:
        self.store.put(names.lease_end(LEASE, k), data)

    def commit(self, store: FaultyStore | MemoryStore | None = None, commit: bytes = b"it") -> Decision | None:
        return decide(
            store or self.store, self.log.checker, LEASE, self.writer.signer_id,
            lambda k: end(self.writer, EndState.COMMITTING, k, commit=commit),
        )  # fmt: skip

    def break_it(self) -> Decision | None:
        return decide(
            self.store, self.log.checker, LEASE, self.writer.signer_id,
            lambda k: end(self.maintainer, EndState.BROKEN, k),
        )  # fmt: skip

    def decided(self) -> str:
        read = read_ends(self.store, self.log.checker, LEASE, self.writer.signer_id)
        return read.decision.state if read.decision else ""

    def faulty(self, fault: Fault, verb: str, first: int = 1) -> FaultyStore:
        calls = {"get": 0, "put": 0}

        def plan(called: str, _name: str, _number: int) -> Fault | None:
            if called in calls:
                calls[called] += 1
            return fault if called == verb and calls[verb] == first else None

        return FaultyStore(self.store, clock=FixedClock(), plan=plan)


@pytest.fixture
def world() -> World:
    return World()


def void_ends(world: World) -> list[tuple[str, bytes]]:
    stranger = generate_signing_key()
    name = names.lease_end(LEASE, 0)
    return [
        ("garbage", b"garbage"),
        ("too large", bytes(limits.LEASE_END_BYTES_MAX + 1)),
        ("of a stranger", end(stranger, EndState.COMMITTING, 0)),
        ("broken by a stranger", end(stranger, EndState.BROKEN, 0)),
        ("broken by another writer", end(world.other, EndState.BROKEN, 0)),
        ("ended by another writer", end(world.other, EndState.ENDED, 0)),
        ("committing by a maintainer", end(world.maintainer, EndState.COMMITTING, 0)),
        ("ended by a maintainer", end(world.maintainer, EndState.ENDED, 0)),
        ("a state that nobody knows, by another writer", end(world.other, "merging", 0)),
        ("that of another number", signed_text(
            world.writer, SignedKind.LEASE_END, name, encode_end(LeaseEnd(LEASE, 1, "ended", MOMENT, (1, "a" * 64)))
        )),
        ("that of another lease", signed_text(
            world.writer, SignedKind.LEASE_END, name, encode_end(LeaseEnd("2" * 32, 0, "ended", MOMENT, (1, "a" * 64)))
        )),
        ("of another repository", signed_text(
            world.writer, SignedKind.LEASE_END, name, encode_end(LeaseEnd(LEASE, 0, "ended", MOMENT, (1, "a" * 64))),
            b"g" * 32,
        )),
        ("signed as a beat", signed_text(
            world.writer, SignedKind.LEASE, name, encode_end(LeaseEnd(LEASE, 0, "ended", MOMENT, (1, "a" * 64)))
        )),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(13))
def test_an_end_that_nobody_with_the_right_signed_is_void_and_stops_nobody(world: World, number: int) -> None:
    """Attack A8: one put of garbage stopped the backup."""
    what, data = void_ends(world)[number]
    world.put(0, data)
    assert world.decided() == "", what
    assert world.commit() is None, what
    assert world.decided() == EndState.COMMITTING
    assert (lost := world.break_it()) is not None
    assert lost.state == EndState.COMMITTING


def test_the_first_valid_end_decides_for_everybody(world: World) -> None:
    assert world.break_it() is None
    assert (lost := world.commit()) is not None
    assert (lost.state, lost.signer) == (EndState.BROKEN, world.maintainer.signer_id)
    assert world.break_it() is not None or world.decided() == EndState.BROKEN


def test_a_repeated_decision_is_the_same(world: World) -> None:
    assert world.commit() is None
    assert world.commit() is None
    assert len(list(world.store.list("leases/"))) == 1


def test_of_two_that_race_one_wins_and_both_know_it(world: World) -> None:
    for _ in range(20):
        world.store = MemoryStore(clock=FixedClock())
        with ThreadPoolExecutor(2) as pool:
            calls: list[Callable[[], Decision | None]] = [world.commit, world.break_it]
            committed, broken = [one.result() for one in [pool.submit(call) for call in calls]]
        assert (committed is None) != (broken is None)
        assert world.decided() == (EndState.COMMITTING if committed is None else EndState.BROKEN)


def test_all_numbers_void_is_reported_and_commits_nothing(world: World) -> None:
    for k in range(ENDS_MAX):
        world.put(k, b"garbage")
    with pytest.raises(LeaseLost, match="all 16 ends"):
        world.commit()
    assert read_ends(world.store, world.log.checker, LEASE, world.writer.signer_id).free == ENDS_MAX


@pytest.mark.parametrize("by", ["writer", "maintainer"])
def test_a_state_that_is_not_known_is_neither_committed_nor_broken_over(world: World, by: str) -> None:
    world.put(0, end(getattr(world, by), "merging", 0))
    assert (lost := world.commit()) is not None
    assert lost.state == "merging"
    assert (other := world.break_it()) is not None
    assert other.state == "merging"


def test_an_end_of_a_later_version_is_neither_committed_nor_broken_over(world: World) -> None:
    name = names.lease_end(LEASE, 0)
    body = encode_end(LeaseEnd(LEASE, 0, "ended", MOMENT, (1, "a" * 64))).replace(b'"version":1', b'"version":2')
    world.put(0, signed_text(world.writer, SignedKind.LEASE_END, name, body))
    assert (lost := world.commit()) is not None
    assert "later version" in lost.state


def test_a_maintainer_that_was_certified_meanwhile_is_known_before_its_end_is_called_void(world: World) -> None:
    """Mutant "an end is void as long as the log is not read": both act, and a snapshot is lost."""
    world.maintainer = world.log.certify(Right.MAINTAIN, shown=False)
    world.put(0, end(world.maintainer, EndState.BROKEN, 0))
    assert (lost := world.commit()) is not None
    assert lost.state == EndState.BROKEN
    assert world.log.readings == 1


def test_what_a_maintainer_has_broken_stays_broken_once_it_is_revoked(world: World) -> None:
    """Mutant "an end is void once its maintainer is revoked": somebody may have acted on it."""
    assert world.break_it() is None
    world.log.revoke(world.maintainer)
    assert (lost := world.commit()) is not None
    assert lost.state == EndState.BROKEN


def test_what_a_writer_has_decided_stays_decided_once_it_is_revoked(world: World) -> None:
    assert world.commit() is None
    world.log.revoke(world.writer)
    assert world.decided() == EndState.COMMITTING
    assert world.break_it() is not None


def test_a_lost_reply_is_looked_up(world: World) -> None:
    assert world.commit(world.faulty(LOSE_REPLY, "put")) is None
    assert world.decided() == EndState.COMMITTING


def test_a_put_that_fails_decides_nothing(world: World) -> None:
    with pytest.raises(StoreUnavailable):
        world.commit(world.faulty(FAIL, "put"))
    assert world.decided() == ""


@pytest.mark.parametrize("fault", [VANISH, CORRUPT], ids=["vanishes", "damaged"])
def test_an_end_that_is_not_there_as_it_was_put_commits_nothing(world: World, fault: Fault) -> None:
    """Else whoever deletes reads it as void, breaks the lease, and the snapshot loses its packs."""
    with pytest.raises(StateUnknown):
        world.commit(world.faulty(fault, "put"))


@pytest.mark.parametrize("first", [1, 2])
def test_a_damaged_answer_hides_no_decision(world: World, first: int) -> None:
    world.put(0, end(world.maintainer, EndState.BROKEN, 0))
    with contextlib.suppress(StateUnknown):
        assert world.commit(world.faulty(CORRUPT, "get", first)) is not None
    assert world.decided() == EndState.BROKEN
    assert [info.name for info in world.store.list("leases/")] == [names.lease_end(LEASE, 0)]
