"""Any damage that leaves one good copy of each object somewhere changes no answer, and is mended by who found it.

Three replicas of a few snapshots; every object of any kind is spoilt at any set of replicas but one, in any way, and
replicas are slow to be asked, fail or lie at any call. `snapshots`, `ls`, `diff` and `restore` must say what they said
before, every time.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from farshore.catalog.contents import diff_snapshots, iterate_entries
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.format import names
from farshore.model import Change, Entry
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from tests.doubles.faulty import CORRUPT, FAIL, TRUNCATE, Fault, FaultyStore, Plan, at_random
from tests.unit.ops.engine import Engine, flipped, tree
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

DAMAGE = ("lost", "flipped", "cut", "empty", "other", "longer")
Answers = tuple[list[Snapshot], list[list[Entry]], list[Change]]


@dataclass(repr=False)
class Shores:
    """A repository of two snapshots whose replicas can be made good again, and what it answers while they are."""

    engine: Engine
    good: dict[str, bytes]
    answers: Answers
    contents: list[dict[bytes, bytes | None]]

    def _repr_pretty_(self, printer: RepresentationPrinter, _: bool) -> None:
        """Keep megabytes out of what Hypothesis prints: it refuses to show a failure that they are part of."""
        printer.text(f"Shores({len(self.good)} objects)")

    def heal(self) -> None:
        for replica in "abc":
            shelf = self.engine.shelf(replica)
            moment = self.engine.clock.now_utc()
            shelf.objects.clear()
            shelf.objects.update({name: (data, moment) for name, data in self.good.items()})
        self.engine.forget_cache()

    def damage(self, chance: random.Random, share: float) -> None:
        """Spoil this share of all copies, never all copies of one object, and never the headers that opening needs."""
        for name in self.good:
            if name == names.HEADER or name.startswith("audit/"):
                continue
            spared = chance.choice("abc")
            for replica in "abc":
                if replica != spared and chance.random() < share:
                    self.spoil(replica, name, chance.choice(DAMAGE), chance)

    def spoil(self, replica: str, name: str, how: str, chance: random.Random) -> None:
        data = self.good[name]
        if how == "lost":
            self.engine.lose(replica, name)
            return
        spoilt = {
            "flipped": flipped(data, chance.randrange(len(data))),
            "cut": data[: chance.randrange(len(data))],
            "empty": b"",
            "other": self.good[chance.choice(sorted(self.good))],
            "longer": data + b"\0",
        }[how]
        self.engine.alter(replica, name, lambda _: spoilt)


def ask(engine: Engine) -> Answers:
    with engine.opened() as repository:
        snapshots = list_snapshots(repository)
        entries = [list(iterate_entries(repository, one)) for one in snapshots]
        return snapshots, entries, list(diff_snapshots(repository, *snapshots))


@pytest.fixture(scope="module")
def shores() -> Iterator[Shores]:
    root = Path(tempfile.mkdtemp(prefix="farshore-reads-"))
    engine = Engine(root / "engine", clock=StillClock()).initialize()
    chance = random.Random(3)
    source = TreeSource(clock=engine.clock)
    contents = []
    for number in range(2):
        source.file(f"file-{number}".encode(), chance.randbytes(400_000))
        source.file(f"small-{number}".encode(), chance.randbytes(100))
        source.file(b"db", chance.randbytes(1 << 20), page_bytes=8192) if not number else None
        engine.backup(source)
        contents.append(dict(source.contents()))
        engine.clock.advance(3600)
    good = {name: data for name, data in engine.objects("a").items() if not name.startswith(names.LEASES)}
    assert {name for name in good if not name.startswith("audit/")} == set(engine.data_objects("b"))
    yield Shores(engine, good, ask(engine), contents)
    shutil.rmtree(root, ignore_errors=True)


def check(shores: Shores, *, answers: bool = True) -> None:
    engine = shores.engine
    if answers:
        snapshots, entries, changes = ask(engine)
        assert (entries, changes) == shores.answers[1:]
        assert [one.snapshot_id for one in snapshots] == [one.snapshot_id for one in shores.answers[0]]
    with engine.opened() as repository:
        for snapshot, content in zip(list_snapshots(repository), shores.contents, strict=True):
            target = engine.root / "restored"
            result = restore_snapshot(repository, snapshot, target, run=Run.start(engine.clock))
            assert tree(target) == content
            assert result.problems == ()
            shutil.rmtree(target)


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32), share=st.sampled_from([0.1, 0.5, 1.0]), cached=st.booleans())
def test_damage_that_leaves_one_good_copy_changes_no_answer(
    shores: Shores, seed: int, share: float, cached: bool
) -> None:
    shores.heal()
    if cached:
        ask(shores.engine)
    shores.damage(random.Random(seed), share)
    check(shores)


@settings(max_examples=8)
@given(seed=st.integers(0, 1 << 32))
def test_what_verify_mends_is_whole_at_every_replica(shores: Shores, seed: int) -> None:
    """What is gone and no commit at its replica needs is left to heal: commits themselves, fragments and key slots."""
    shores.heal()
    chance = random.Random(seed)
    shores.damage(chance, 0.4)
    engine = shores.engine
    for name, data in shores.good.items():
        if name.startswith(names.SNAPSHOTS) or names.parse_fragment(name) or names.parse_slot(name):
            for replica in "abc":
                if name not in engine.objects(replica):
                    engine.shelf(replica).objects[name] = (data, engine.clock.now_utc())
    with engine.opened() as repository:
        verify_repository(repository, read_data_percent=100.0, repair=True, run=Run.start(engine.clock))
    for replica in "abc":
        held = engine.data_objects(replica)
        assert {name: held.get(name) for name in shores.good if not name.startswith("audit/")} == {
            name: data for name, data in shores.good.items() if not name.startswith("audit/")
        }


@settings(max_examples=15)
@given(seed=st.integers(0, 1 << 32), share=st.sampled_from([0.05, 0.3]))
def test_stores_that_fail_and_lie_at_any_call_change_no_restore(shores: Shores, seed: int, share: float) -> None:
    """One replica is sound; the other two fail, cut bodies short and alter bytes on their way."""
    shores.heal()
    engine = shores.engine
    sound = random.Random(seed).choice("abc")
    clock = StillClock(seed=seed)
    lies: tuple[Fault, ...] = (FAIL, CORRUPT, TRUNCATE)
    plan: Plan = at_random(clock, share, lies)
    engine.wrap = lambda name, store: store if name == sound else FaultyStore(store, clock=clock, plan=plan)
    try:
        check(shores, answers=False)
    finally:
        engine.wrap = lambda _, store: store
