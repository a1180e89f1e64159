"""Leases as others see them: whose they are, whether they live, and how many are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.errors import BackupRunning
from farshore.format import names
from farshore.format.lease import EndState, Lease, LeaseEnd, encode_end, encode_lease
from farshore.ops.backup.attempt import refuse_if_running
from farshore.ops.setup.enroll import enroll
from farshore.replicas.leases import ReplicaLeases, note_settled, read_leases
from farshore.signing import SignedKind, SigningKey, generate_signing_key
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import Calls, maintainer, put, revoke

LEASE_ID = "1" * 32


class World:
    """One replica, the key of its reader, and that of another writer with sources of its own."""

    def __init__(self, root: Path) -> None:
        self.engine = Engine(root, urls=fresh_memory_urls("a"), quorum=1).initialize()
        self.key, self.fingerprint, self.log = maintainer(self.engine)
        with self.engine.opened(Need.OWNER) as repository:
            other = enroll(repository, "other").credential.signing_key
            self.source_id = repository.source_id("home")
        assert other is not None
        self.other = other

    def lease(self, lease_id: str = LEASE_ID, **more: object) -> Lease:
        now = self.engine.clock.now_utc()
        lease = Lease(
            lease=lease_id, run="2" * 32, source_id=self.source_id, identity="nightly", snapshot="4" * 32, host="{}",
            beat=0, started_utc=now, expires_utc=now + timedelta(seconds=limits.LEASE_S), log=self.log,
        )  # fmt: skip
        return replace(lease, **more)  # type: ignore[arg-type]

    def beat(self, lease: Lease, key: SigningKey | None = None) -> None:
        name = names.lease_beat(lease.lease, lease.beat)
        put(
            self.engine, "a", name,
            signed_text(key or self.key, SignedKind.LEASE, name, encode_lease(lease), self.fingerprint),
        )  # fmt: skip

    def end(self, lease_id: str = LEASE_ID, state: str = EndState.ENDED, k: int = 0) -> None:
        name = names.lease_end(lease_id, k)
        body = encode_end(LeaseEnd(lease_id, k, state, self.engine.clock.now_utc(), self.log))
        put(self.engine, "a", name, signed_text(self.key, SignedKind.LEASE_END, name, body, self.fingerprint))

    def read(self, *settled: str) -> ReplicaLeases:
        with self.engine.opened(Need.WRITE) as repository:
            note_settled(repository, repository.replicas["a"], settled)
            return read_leases(repository, repository.replicas["a"])

    def is_refused(self) -> bool:
        """Whether a run of the same backup that begins later is refused."""
        ours = self.lease("9" * 32, started_utc=self.engine.clock.now_utc() + timedelta(seconds=9))
        with self.engine.opened(Need.WRITE) as repository:
            try:
                refuse_if_running(repository, ours)
            except BackupRunning:
                return True
        return False


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_lease_is_that_of_its_last_beat_and_of_whoever_signed_its_first(world: World) -> None:
    put(world.engine, "a", names.lease_beat(LEASE_ID, 0), b"garbage")
    for beat in (2, 3, 10):
        world.beat(world.lease(beat=beat))
    world.beat(world.lease(beat=11), world.other)
    put(world.engine, "a", names.lease_beat(LEASE_ID, 12), b"garbage")
    (seen,) = world.read().leases
    assert (seen.lease.beat, seen.signer, seen.live) == (10, world.key.signer_id, True)


def test_a_beat_under_the_name_of_another_is_none(world: World) -> None:
    lease = world.lease(beat=1)
    name = names.lease_beat(LEASE_ID, 0)
    put(
        world.engine, "a", name,
        signed_text(world.key, SignedKind.LEASE, name, encode_lease(lease), world.fingerprint),
    )  # fmt: skip
    assert world.read() == ReplicaLeases((), foreign=1)


def test_a_silent_lease_is_dead_only_after_the_skew_that_clocks_may_have(world: World) -> None:
    world.beat(world.lease())
    world.engine.clock.advance(limits.LEASE_S + limits.CLOCK_SKEW_S_MAX - 1)
    assert [one.live for one in world.read().leases] == [True]
    world.engine.clock.advance(1)
    assert [one.live for one in world.read().leases] == [False]


def test_only_a_valid_end_ends_a_lease(world: World) -> None:
    world.beat(world.lease())
    put(world.engine, "a", names.lease_end(LEASE_ID, 0), b"garbage")
    assert world.is_refused()
    world.end(k=1)
    (seen,) = world.read().leases
    assert not seen.live
    assert seen.decision is not None
    assert seen.decision.state == EndState.ENDED
    assert not world.is_refused()


@pytest.mark.parametrize("thief", ["nobody certified", "a writer of other sources", "revoked"])
def test_a_lease_of_somebody_who_may_not_commit_the_source_keeps_nobody_from_it(world: World, thief: str) -> None:
    key = generate_signing_key() if thief == "nobody certified" else world.other
    lease = world.lease()
    if thief == "revoked":
        with world.engine.opened(Need.OWNER) as repository:
            same = enroll(repository, "third", sources=["home"]).credential.signing_key
            assert same is not None
            key = same
            certified = repository.trust.certificate(key.signer_id)
            assert certified is not None
            lease = replace(lease, source_id=str(certified.certificate.source_id("home")))
        revoke(world.engine, key.signer_id)
    world.beat(lease, key)
    assert not world.is_refused()
    world.beat(replace(world.lease(), lease="5" * 32))
    assert world.is_refused()


def test_of_unknown_leases_only_the_newest_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNKNOWN_LEASES_MAX", 3)
    for number in range(10):
        world.engine.clock.advance(1)
        world.beat(world.lease(f"{number:032x}"))
    read = world.read()
    assert [one.lease.lease[-1] for one in read.leases] == ["9", "8", "7"]
    assert (read.foreign, read.unread) == (0, 7)
    known = [f"{number:032x}" for number in (9, 8, 7)]
    read = world.read(*known)
    assert [one.lease.lease[-1] for one in read.leases] == ["6", "5", "4", "3", "2", "1"]
    assert read.unread == 1


def test_a_lease_that_is_settled_is_not_read_and_forgotten_once_it_is_gone(world: World) -> None:
    world.beat(world.lease())
    assert world.read(LEASE_ID) == ReplicaLeases()
    with Calls(world.engine) as seen:
        assert world.read() == ReplicaLeases()
    assert not [name for verb, name in seen.at("a") if verb == "get" and name.startswith("leases/")]
    data = world.engine.objects("a")[names.lease_beat(LEASE_ID, 0)]
    world.engine.lose("a", names.lease_beat(LEASE_ID, 0))
    assert world.read() == ReplicaLeases()
    put(world.engine, "a", names.lease_beat(LEASE_ID, 0), data)
    assert len(world.read().leases) == 1


def test_a_flood_of_ends_of_strangers_makes_nobody_read_the_owner_log_again_and_again(world: World) -> None:
    stranger = generate_signing_key()
    for number in range(5):
        lease = f"{number:032x}"
        world.beat(world.lease(lease))
        for k in range(4):
            name = names.lease_end(lease, k)
            body = encode_end(LeaseEnd(lease, k, EndState.BROKEN, world.engine.clock.now_utc(), world.log))
            put(world.engine, "a", name, signed_text(stranger, SignedKind.LEASE_END, name, body, world.fingerprint))
    with Calls(world.engine) as seen:
        assert [one.live for one in world.read().leases] == [True] * 5
    assert sum(verb == "list" and name == names.LOG for verb, name in seen.at("a")) == 1
