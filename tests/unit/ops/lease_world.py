"""Leases, plans and tombstones of a test's repository: read at a replica, and put there as a maintainer would."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest

from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.catalog.needs import objects_of, read_needs
from farshore.errors import QuorumNotReached
from farshore.format import decode_signed, names
from farshore.format.lease import EndState, LeaseEnd, decode_end, encode_end
from farshore.format.plan import PlanPart, PlanState, encode_plan
from farshore.format.tombstone import CounterTombstone, Tombstone, encode_counter, encode_tombstone
from farshore.format.tombstone_set import SUBJECT, SignedStone, encode_set
from farshore.ops.setup.owner_actions import append_entry
from farshore.replicas.lease_holder import known_log
from farshore.signing import SignedKind, SigningKey
from farshore.stores.base import Store
from farshore.stores.wrappers.ahead import AheadStore
from farshore.trust.actions import Revocation
from tests.doubles.faulty import FAIL, Fault, FaultyStore
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


def maintainer(engine: Engine) -> tuple[SigningKey, bytes, tuple[int, str]]:
    """Return the reader's signing key, which has the right to maintain, the fingerprint, and the head of the log."""
    with engine.opened(Need.READ) as repository:
        keys = repository.reading_keys()
        assert keys.signing_key is not None
        return keys.signing_key, keys.fingerprint, known_log(repository)


def put_plan(
    engine: Engine, replica: str, condemned: Iterable[str], *states: PlanState, number: int = 1,
    key: SigningKey | None = None,
) -> None:  # fmt: skip
    """Put a plan that condemns these names, and perhaps closes or abandons it."""
    own, fingerprint, log = maintainer(engine)
    for state in (PlanState.OPEN, PlanState.CONDEMNED, *states):
        part = PlanPart(number, state, engine.clock.now_utc(), log, names=tuple(condemned))
        name = names.plan(number, state)
        put(engine, replica, name, signed_text(key or own, SignedKind.PLAN, name, encode_plan(part), fingerprint))


def forget(engine: Engine, replica: str, snapshot: str, *, key: SigningKey | None = None) -> str:
    """Put the tombstone of a snapshot at a replica; return its name."""
    own, fingerprint, log = maintainer(engine)
    commit = engine.commit_of(snapshot)
    stone = Tombstone(snapshot, commit.hash, "a test", "none", engine.clock.now_utc(), log)
    subject = f"forgotten/{snapshot}"
    data = signed_text(key or own, SignedKind.TOMBSTONE, subject, encode_tombstone(stone), fingerprint)
    name = names.tombstone(subject, names.hash_of(data))
    put(engine, replica, name, data)
    return name


def unforget(engine: Engine, replica: str, tombstone: str) -> None:
    """Take a tombstone back at a replica."""
    key, fingerprint, log = maintainer(engine)
    parsed = names.parse_tombstone(tombstone)
    assert parsed is not None
    counter = CounterTombstone(parsed.snapshot, (parsed.hash,), "a test", engine.clock.now_utc(), log)
    subject = f"unforgotten/{parsed.snapshot}"
    data = signed_text(key, SignedKind.UNTOMBSTONE, subject, encode_counter(counter), fingerprint)
    put(engine, replica, names.tombstone(subject, names.hash_of(data)), data)


def put_set(engine: Engine, replica: str, stones: Sequence[SignedStone], *, key: SigningKey | None = None) -> str:
    """Put a set of tombstones at a replica; return its hash."""
    own, fingerprint, log = maintainer(engine)
    body = encode_set(stones, engine.clock.now_utc(), log)
    data = signed_text(key or own, SignedKind.TOMBSTONE_SET, SUBJECT, body, fingerprint)
    put(engine, replica, names.tombstone_set(names.hash_of(data)), data)
    return names.hash_of(data)


def break_lease(engine: Engine, replica: str, lease: str, k: int = 0) -> None:
    """Break a lease at a replica, as a maintainer."""
    key, fingerprint, log = maintainer(engine)
    name = names.lease_end(lease, k)
    body = encode_end(LeaseEnd(lease, k, EndState.BROKEN, engine.clock.now_utc(), log))
    put(engine, replica, name, signed_text(key, SignedKind.LEASE_END, name, body, fingerprint))


def revoke(engine: Engine, signer: str, accepted: Iterable[str] = ()) -> None:
    """Revoke a signer, and accept only these commits of it."""
    with engine.opened(Need.OWNER) as repository:
        append_entry(repository, [Revocation(signer, frozenset(accepted), {}, "stolen")])


def put(engine: Engine, replica: str, name: str, data: bytes) -> None:
    """Put an object past all wrappers."""
    engine.shelf(replica).objects[name] = (data, engine.clock.now_utc())


def leases(engine: Engine, replica: str) -> dict[str, list[str]]:
    """Return the beats and ends of each lease at a replica."""
    found: dict[str, list[str]] = {}
    for name in engine.objects(replica, names.LEASES):
        _, lease, rest = name.split("/", 2)
        found.setdefault(lease, []).append(rest)
    return found


def end_of(engine: Engine, replica: str, lease: str, k: int = 0) -> LeaseEnd:
    """Return an end of a lease, without checking its signature."""
    name = names.lease_end(lease, k)
    return decode_end(decode_signed(engine.objects(replica)[name], name, 2**21).value, name)


def states(engine: Engine, replica: str) -> dict[str, str]:
    """Return the state of the first end of each lease; empty where it has none."""
    return {
        lease: end_of(engine, replica, lease).state if "end/0" in of_lease else ""
        for lease, of_lease in leases(engine, replica).items()
    }


def lacking(engine: Engine) -> dict[str, list[str]]:
    """Return by replica what the commits it lists need and it has not: O1 of the models, which must hold always."""
    found: dict[str, list[str]] = {}
    with engine.opened(Need.WRITE) as repository:
        listed = list_commits(repository)
        for one, head in listed.heads.items():
            for replica in listed.holders[one]:
                there = engine.objects(replica)
                try:
                    needs = read_needs(repository, repository.replicas[replica], head)
                except Exception as error:  # noqa: BLE001 - whatever it is, the snapshot does not restore
                    found.setdefault(replica, []).append(repr(error))
                    continue
                missing = [item.name for item in objects_of(head, needs) if item.name not in there]
                if missing:
                    found.setdefault(replica, []).extend(missing)
    return found


class Calls:
    """Every call to any replica of an engine, in order; a fault from a number on is what a killed process is.

    Args:
        far: Replicas are asked ahead, as services are.
    """

    def __init__(
        self,
        engine: Engine,
        fault_at: Callable[[int, str, str, str], Fault | None] | None = None,
        *,
        far: bool = False,
    ) -> None:
        self._far = far
        self.made: list[tuple[str, str, str]] = []
        self._numbers = itertools.count(1)
        self._fault_at = fault_at or (lambda *_: None)
        self._engine = engine

    def __enter__(self) -> Calls:
        self._engine.wrap = self._wrap
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.wrap = lambda _, store: store

    def _wrap(self, replica: str, store: Store) -> Store:
        def plan(verb: str, name: str, _number: int) -> Fault | None:
            fault = self._fault_at(next(self._numbers), replica, verb, name)
            self.made.append((replica, verb, name))
            return fault

        faulty = FaultyStore(store, clock=self._engine.clock, plan=plan)
        return AheadStore(faulty) if self._far else faulty

    def at(self, replica: str) -> list[tuple[str, str]]:
        return [(verb, name) for where, verb, name in self.made if where == replica]


def unfinished(engine: Engine) -> list[str]:
    """Return the commits that committing ends promise, and that are not there."""
    found = []
    for replica in engine.urls:
        there = engine.objects(replica, names.SNAPSHOTS)
        for lease, of_lease in leases(engine, replica).items():
            end = end_of(engine, replica, lease) if "end/0" in of_lease else None
            if end is None or end.state != EndState.COMMITTING:
                continue
            promised = end.commits or (names.hash_of(end.commit),)
            if not {name[-64:] for name in there}.issuperset(promised):
                found.append(f"{replica}: {lease}")
    return found


def killed_before_w7(engine: Engine, source: TreeSource, *, identity: str = "") -> None:
    """Run a backup that decides at all replicas and puts no commit."""

    def fault(_at: int, _replica: str, verb: str, name: str) -> Fault | None:
        return FAIL if verb == "put" and name.startswith(names.SNAPSHOTS) else None

    with Calls(engine, fault), pytest.raises(QuorumNotReached):
        engine.backup(source, identity=identity)
    assert len(unfinished(engine)) == len(engine.urls)
