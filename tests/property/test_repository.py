"""A whole repository against a simple model: what each snapshot held, and which replicas are sound.

Rules change a real directory, back it up, kill a backup at any call of any store, take replicas away and bring them
back, and damage single objects. After every step: each snapshot that a sound replica lists restores from that replica
alone, bit for bit; all sound replicas verify clean; and nothing that was there was overwritten.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import QuorumNotReached, StoreUnavailable
from farshore.format import names
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from farshore.sources.directory.source import DirectorySource
from farshore.stores.base import Store
from tests.doubles.faulty import FAIL, Fault, FaultyStore
from tests.property.living_tree import Fingerprint, LivingTree, ShiftedClock, fingerprint
from tests.unit.ops.engine import Engine, flipped

REPLICAS = ("a", "b", "c")
NAMES = st.sampled_from(LivingTree.NAMES)


class RepositoryMachine(RuleBasedStateMachine):
    """One repository with a quorum of two of three replicas."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="farshore-machine-"))
        self.clock = ShiftedClock()
        self.engine = Engine(self.root / "engine", clock=self.clock).initialize()
        self.away: set[str] = set()
        self.damaged: set[str] = set()
        self.expected: dict[str, Fingerprint] = {}  # what each snapshot held
        self.held: dict[str, dict[str, bytes]] = {name: {} for name in REPLICAS}
        self.lagging: set[str] = set()  # replicas that wait for audit rows of runs they missed
        self.checked: set[tuple[str, str]] = set()
        self.numbers = itertools.count()
        self.hurt: set[tuple[str, str]] = set()

    @initialize(seed=st.integers(0, 1 << 32))
    def plant(self, seed: int) -> None:
        self.tree = LivingTree(self.root / "source", seed)
        self.tree.write("a", 100)

    def teardown(self) -> None:
        try:
            for replica in sorted(set(REPLICAS) - self.damaged):
                self.bring_back(replica)
            self.every_listed_snapshot_restores_from_each_sound_replica_alone(again=True)
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    # --- the source --------------------------------------------------------------------------------------------------

    @rule(name=NAMES, other=NAMES, what=st.integers(0, 8), size=st.sampled_from([0, 1, 3000, 400_000]))
    def edit(self, name: str, other: str, what: int, size: int) -> None:
        """One rule for every kind of change, or backups would be rare among them."""
        tree = self.tree
        edits: list[Callable[[], None]] = [
            lambda: tree.write(name, size),
            lambda: tree.write("disk.img", 0),
            lambda: tree.sparse(name),
            lambda: tree.link(name, other),
            lambda: tree.symlink(name, other),
            lambda: tree.chmod(name, 0o600 + size % 512),
            lambda: tree.move(name, other),
            lambda: tree.remove(name),
            lambda: tree.remove("d"),
        ]
        edits[what]()

    # --- backups -----------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0, 30, 5000]))
    def back_up(self, seconds: int) -> None:
        self.clock.advance(seconds)
        try:
            self._back_up(_as_it_is)
        except QuorumNotReached:
            assert len(self.away | self.damaged) >= 2

    @rule(calls=st.integers(1, 120))
    def kill_a_backup(self, calls: int) -> None:
        """From some call on no store answers any more, as if the process had died there."""
        count = itertools.count(1)

        def dying(_verb: str, _name: str, _number: int) -> Fault | None:
            return FAIL if next(count) > calls else None

        self.lagging = set(REPLICAS)
        try:
            self._back_up(lambda _, store: FaultyStore(store, clock=self.clock, plan=dying))
        except (StoreUnavailable, QuorumNotReached) as error:
            note(f"killed: {error}")

    def _back_up(self, wrap: Callable[[str, Store], Store]) -> None:
        now = fingerprint(self.tree.root)
        before = set(self.expected)
        source = DirectorySource(name="home", path=self.tree.root, clock=self.clock)
        try:
            with self.engine.opened(Need.WRITE) as repository:
                repository.replicas = {
                    name: replace(one, store=wrap(name, one.store)) for name, one in repository.replicas.items()
                }
                result = run_backup(repository, source, allow_empty=True, run=Run.start(self.clock))
                assert result.problems == ()
                assert sum(one.committed for one in result.replicas) >= 2
                assert not self.away & {one.replica for one in result.replicas if one.committed}
                for name in set(REPLICAS) - self.away - self.damaged:
                    if wrap is _as_it_is:
                        assert next(one for one in result.replicas if one.replica == name).committed, result.replicas
                        self.lagging.discard(name)
        finally:
            for snapshot_id in self._listed() - before:  # the process died, and yet its last words may have been kept
                self.expected[snapshot_id] = now

    def _listed(self) -> set[str]:
        found = set()
        for replica in REPLICAS:
            for name in self.engine.objects(replica, names.SNAPSHOTS):
                parsed = names.parse_commit(name)
                if parsed is not None:
                    found.add(parsed.snapshot_id)
        return found

    # --- replicas ----------------------------------------------------------------------------------------------------

    @rule(replica=st.sampled_from(REPLICAS))
    def take_away(self, replica: str) -> None:
        if len(self.away | self.damaged) < 2:
            self.away.add(replica)
            self.lagging.add(replica)
            self.engine.take_away(replica)

    @rule(replica=st.sampled_from(REPLICAS))
    def bring_back(self, replica: str) -> None:
        self.away.discard(replica)
        self.engine.bring_back(replica)

    @rule(
        replica=st.sampled_from(REPLICAS),
        kind=st.sampled_from([names.PACKS, names.FRAGMENTS, names.DATA_KEYS, names.SNAPSHOTS]),
        number=st.integers(0, 99),
        how=st.sampled_from(["flip", "cut", "lose"]),
        where=st.floats(0, 0.999),
    )
    def damage(self, replica: str, kind: str, number: int, how: str, where: float) -> None:
        """Hurt one object that a snapshot may need, at one replica while the others are sound."""
        hurtable = list(self.engine.objects(replica, kind))
        if self.damaged | self.away or not hurtable:
            return
        name = hurtable[number % len(hurtable)]
        note(f"{how} {name}")
        self.damaged.add(replica)
        self.hurt.add((replica, name))  # this one time it is us, and who reads it may mend it
        self.held[replica].pop(name, None)
        if how == "lose":
            self.engine.lose(replica, name)
        else:
            at = int(where * len(self.engine.objects(replica)[name]))
            self.engine.alter(replica, name, lambda body: flipped(body, at) if how == "flip" else body[:at])

    @rule()
    def damage_is_blamed_on_the_replica_that_has_it(self) -> None:
        if self.damaged:
            result = self.engine.verify()
            assert {one.replica for one in result.damaged} - self.away - self.lagging <= self.damaged

    @rule()
    def lose_the_cache(self) -> None:
        self.engine.forget_cache()

    @rule(number=st.integers(0, 99))
    def restore_from_any_replica_left(self, number: int) -> None:
        """Object by object from any replica: one sound replica that lists a snapshot is enough."""
        if self.expected:
            snapshot_id = sorted(self.expected)[number % len(self.expected)]
            sound = [name for name in REPLICAS if name not in self.away | self.damaged]
            if any(self._lists(name, snapshot_id) for name in sound):
                self._restore(snapshot_id, None)

    # --- what must always hold ---------------------------------------------------------------------------------------

    @invariant()
    def every_listed_snapshot_restores_from_each_sound_replica_alone(self, *, again: bool = False) -> None:
        for replica in REPLICAS:
            if replica in self.away | self.damaged:
                continue
            for snapshot_id in sorted(self.expected):
                if self._lists(replica, snapshot_id) and (again or (replica, snapshot_id) not in self.checked):
                    self._restore(snapshot_id, replica)
                    self.checked.add((replica, snapshot_id))

    @invariant()
    def nothing_is_ever_overwritten_or_deleted(self) -> None:
        for replica in REPLICAS:
            now = self.engine.data_objects(replica)
            assert self.held[replica].items() <= now.items()
            self.held[replica] = {name: data for name, data in now.items() if (replica, name) not in self.hurt}

    @invariant()
    def sound_replicas_verify_clean(self) -> None:
        if len(self.expected) % 3 == 1:  # a full check costs as much as a backup
            for replica in sorted(set(REPLICAS) - self.away - self.damaged - self.lagging):
                result = self.engine.verify(replica=replica)
                assert result.clean, result.damaged

    def _lists(self, replica: str, snapshot_id: str) -> bool:
        return any(f"/{snapshot_id}-" in name for name in self.engine.objects(replica, names.SNAPSHOTS))

    def _restore(self, snapshot_id: str, replica: str | None) -> None:
        target = self.root / f"restored-{next(self.numbers)}"
        with self.engine.opened() as repository:
            (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == snapshot_id]
            restore_snapshot(repository, snapshot, target, replica=replica, run=Run.start(self.clock))
        restored = fingerprint(target)
        shutil.rmtree(target)
        assert restored == self.expected[snapshot_id], f"{snapshot_id} from {replica}"


def _as_it_is(_: str, store: Store) -> Store:
    return store


RepositoryMachine.TestCase.settings = settings(
    max_examples=24, stateful_step_count=20, deadline=None, database=None, print_blob=True
)
TestRepository = RepositoryMachine.TestCase
