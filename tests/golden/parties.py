"""The golden repository `v1-parties`: many hosts in several domains, one of them revoked, and what prune will leave.

Hosts of a shared domain and of domains of their own; a commit beyond a revocation; a snapshot that was forgotten, and
one that was forgotten by mistake; a plan that is open and one that is closed; runs that died before and after they
decided, the first of them broken by a maintainer. What maintainers and approvers say is in `words.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.config import Config
from farshore.errors import QuorumNotReached
from farshore.format import names
from farshore.format.plan import PlanState
from farshore.format.tombstone import CounterTombstone, Tombstone
from farshore.format.tombstone_set import SignedStone
from farshore.ops.setup.accepted import accepted_now
from farshore.ops.setup.owner_actions import append_entry
from farshore.trust.actions import Revocation
from tests.doubles.faulty import FAIL, Fault
from tests.golden.words import approver_of, condemn_packs, keep_and_lift, rewrite_newest
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import Calls, break_lease, forget, maintainer, put_plan, put_set, states, unforget
from tests.unit.ops.liar import lying_pack, plant
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

REPLICA = "only"
SHARED_DOMAIN = "laptops"
LONG_AGO = b"a commit of long ago"  # whose hash a set forgets
HOUR_S = 3600
_SEED = 2029


@dataclass
class Parties:
    """The repository while it is made, and ids of what is in it by what it is."""

    engine: Engine
    marks: dict[str, str]
    made: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, Engine] = field(default_factory=dict)
    trees: dict[str, TreeSource] = field(default_factory=dict)

    def enroll(self, host: str, source: str, domain: str = "") -> None:
        """Enroll a host that holds nothing but its credential."""
        at = self.engine.at(host)
        at.repository_config = self.engine.repository_config
        credential = at.enroll(name=host, sources=(source,), domain=domain)
        at.repository_config = replace(
            at.repository_config, passphrase=None, identity=None, credential=Path(credential)
        )  # fmt: skip
        self.hosts[host] = at
        self.trees[host] = self.tree(source)

    def tree(self, source: str) -> TreeSource:
        """Return a small tree; a file is the same in all, and shared where the domain is."""
        tree = TreeSource(name=source, clock=self.engine.clock, marks={**self.marks, "path": f"/srv/{source}"})
        tree.directory(b"documents")
        tree.file(b"documents/shared", random.Random(_SEED).randbytes(40_000))
        tree.file(b"documents/own", f"of {source}\n".encode() * 50)
        return tree

    def backup(self, host: str, name: str) -> str:
        """Back up what has changed since; return the snapshot's id, which is noted under a name."""
        engine, tree = (self.hosts.get(host, self.engine), self.trees[host])
        result = engine.backup(tree)
        self.made[name] = result.snapshot_id
        self._go_on(tree, name)
        return result.snapshot_id

    def die(self, host: str, name: str, at: Callable[[str], bool]) -> str:
        """Back up with a process that dies when it puts a name; return its lease."""
        engine, tree = self.hosts[host], self.trees[host]
        before = states(self.engine, REPLICA)
        dead = False

        def fault(_at: int, _replica: str, verb: str, called: str) -> Fault | None:
            nonlocal dead
            dead = dead or (verb == "put" and at(called))
            return FAIL if dead else None

        with Calls(engine, fault), pytest.raises(QuorumNotReached):
            engine.backup(tree)
        (lease,) = states(self.engine, REPLICA).keys() - before.keys()
        self.made[name] = lease
        self._go_on(tree, name)
        return lease

    def fold(self) -> None:
        """Put a set: of a snapshot that was forgotten long ago, and of one that was taken back."""
        at_utc, (own, _, log) = self.engine.clock.now_utc(), maintainer(self.engine)
        back = self.engine.commit_of(self.made["laptop-1 1"])
        stones = [
            Tombstone("1" * 32, names.hash_of(LONG_AGO), "keep 7", "daily", at_utc, log),
            Tombstone(back.snapshot, back.hash, "by mistake", "", at_utc, log),
            CounterTombstone(back.snapshot, ("2" * 64,), "it is needed", at_utc, log),
        ]
        put_set(self.engine, REPLICA, [
            SignedStone(f"{number}" * 64, own.signer_id, one) for number, one in enumerate(stones, 1)
        ])  # fmt: skip

    def lie(self, host: str, name: str) -> None:
        """Have a host pack what does not hash to the id that it gives it, which the next reading finds."""
        pack, objects = lying_pack(self.hosts[host], {bytes.fromhex("ee" * 32): 1000})
        plant(self.engine, objects, [REPLICA])
        self.made[name] = pack.pack_id.hex()

    def revoke(self, host: str, name: str) -> str:
        """Revoke a host as its owner does who noticed late: what it stored last is beyond the cut."""
        with self.engine.opened(Need.OWNER) as repository:
            (signer,) = [
                signer for signer, found in repository.trust.certificates.items()
                if any(one.certificate.host == host for one in found)
            ]  # fmt: skip
            before = accepted_now(repository, [signer])
        self.backup(host, name)
        with self.engine.opened(Need.OWNER) as repository:
            accepted = frozenset(one.hash for one in before.commits)
            append_entry(repository, [Revocation(signer, accepted, dict(before.chains), "the till was stolen")])
        return signer

    def _go_on(self, tree: TreeSource, name: str) -> None:
        tree.file(f"documents/after {name}".encode(), name.encode() * 20)
        self.engine.clock.advance(HOUR_S)


def make_parties(engine: Engine, marks: dict[str, str]) -> dict[str, str]:
    """Fill a repository that was initialized; return the ids of snapshots, leases and signers by what they are."""
    parties = Parties(engine, marks)
    parties.trees["golden"] = parties.tree("home")
    for host, source, domain in (
        ("clinic", "records", ""),
        ("laptop-1", "mail", SHARED_DOMAIN),
        ("laptop-2", "photos", SHARED_DOMAIN),
        ("till", "sales", ""),
    ):
        parties.enroll(host, source, domain)
    for host in ("golden", "clinic", "laptop-1", "laptop-2", "till"):
        parties.backup(host, f"{host} 1")
    parties.backup("golden", "golden 2")
    rewrite_newest(engine, parties.made)
    approver = approver_of(engine, parties.made)
    parties.made["till"] = parties.revoke("till", "till 2, refused")
    parties.lie("laptop-2", "quarantined pack")
    assert [one.name for one in engine.verify().damaged] == [names.pack(parties.made["quarantined pack"])]
    parties.trees["laptop-1"].file(b"documents/of the other", parties.trees["laptop-2"].content(b"documents/own"))
    parties.backup("laptop-1", "laptop-1 2")

    forget(engine, REPLICA, parties.made["golden 1"])
    unforget(engine, REPLICA, forget(engine, REPLICA, parties.made["clinic 1"]))

    parties.fold()

    broken = parties.die("laptop-2", "broken lease", lambda name: name.startswith(names.LEASES) and "/end/" in name)
    break_lease(engine, REPLICA, broken)
    parties.die("laptop-1", "committing lease", lambda name: name.startswith(names.SNAPSHOTS))

    put_plan(engine, REPLICA, [names.pack("ab" * 32)], PlanState.CLOSED, number=1)
    put_plan(engine, REPLICA, [names.run("cd" * 32)], number=2)
    condemn_packs(engine, REPLICA, number=3)
    keep_and_lift(engine, approver, parties.made)
    return parties.made


@dataclass
class GoldenEngine(Engine):
    """A repository whose owner has a passphrase, in an environment."""

    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return replace(super().config, environment=self.environment)


def engine_of(config: Config, scratch: Path, clock: StillClock) -> Engine:
    """Return the engine of a repository that is there already, as its owner sees it."""
    engine = GoldenEngine(
        scratch / "hosts", clock=clock, urls={name: one.url for name, one in config.replicas.items()}, quorum=1,
        host="golden", settings={name: {"region": one.region} for name, one in config.replicas.items()},
        environment=dict(config.environment),
    )  # fmt: skip
    engine.repository_config = config.repository
    return engine
