"""Hosts share a repository: between any two requests of one, another may have made a whole backup.

Nothing of it may be taken for a loss, and nothing of it may be disturbed. Each operation runs once for every request
that it makes of one replica, and a neighbor's backup begins and ends right before that request. A few of these runs
follow each other in one repository, which is checked after them; the next few begin with a copy of what was there at
first, as each check reads all that neighbors ever backed up.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.check_results import VerifyResult
from farshore.ops.verify.remote.scrub import scrub_repository
from farshore.results import Found, ReplicaOutcome
from farshore.run import Run
from farshore.stores.base import Store
from tests.doubles.faulty import FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource

CHANCE = random.Random(1)
RUNS = 8  # in one repository
Operation = Callable[[], None]


class Street:
    """Two hosts at one repository, each with a source of its own."""

    def __init__(self, engine: Engine, sources: dict[str, TreeSource]) -> None:
        self.engine = engine
        self._neighbor = engine.at("neighbor")
        self._sources = sources
        self._rounds = itertools.count()

    @staticmethod
    def new(root: Path) -> Street:
        engine = Engine(root).initialize()
        made = Street(engine, {name: TreeSource(clock=engine.clock, name=name) for name in ("home", "next-door")})
        made.back_up_next_door()
        made.back_up()
        return made

    def copies(self, root: Path) -> Iterator[Street]:
        """Yield streets that are as this one is now."""
        template = self.engine.template()
        trees = {name: (copy.deepcopy(source.nodes), source.inode) for name, source in self._sources.items()}
        for number in itertools.count():
            engine = Engine(root / f"copy-{number}").begin_with(template)
            sources = {name: TreeSource(clock=engine.clock, name=name) for name in trees}
            for name, source in sources.items():
                source.nodes, source.inode = copy.deepcopy(trees[name])
            yield Street(engine, sources)

    def back_up(self) -> None:
        self._succeed(self.engine, "home")

    def back_up_next_door(self) -> None:
        self._succeed(self._neighbor, "next-door")

    def verify(self) -> None:
        _require_clean(self.engine.verify())

    def restore(self) -> None:
        newest = self.engine.snapshots("home")[-1]
        _, shown = self.engine.restore(newest.snapshot_id, replica="b")
        assert shown == self._sources["home"].contents()

    def heal(self) -> None:
        result = heal(self.engine)
        assert result.in_sync
        assert {one.found for one in result.repairs} <= {Found.SOUND, Found.MISSING}

    def scrub(self) -> None:
        with self.engine.opened() as repository:
            _require_clean(scrub_repository(repository, run=Run.start(self.engine.clock)))

    def _succeed(self, host: Engine, name: str) -> None:
        source = self._sources[name]
        source.file(b"changing", CHANCE.randbytes(50_000))
        source.file(b"round", b"%d" % next(self._rounds))
        result = host.backup(source)
        assert [_reported(outcome) for outcome in result.replicas] == [("a", ""), ("b", ""), ("c", "")]

    def beside(self, operation: Operation, number: int) -> int:
        """Run an operation with a neighbor's backup before its request of this number; return how many it made."""
        stores: list[FaultyStore] = []
        reached = itertools.count(1)

        def plan(_verb: str, _name: str, _number: int) -> None:
            if next(reached) == number:
                self.back_up_next_door()

        def wrap(name: str, store: Store) -> Store:
            if name != "b":
                return store
            stores.append(FaultyStore(store, clock=self.engine.clock, plan=plan))
            return stores[-1]

        unwrapped, self.engine.wrap = self.engine.wrap, wrap
        try:
            operation()
        finally:
            self.engine.wrap = unwrapped
        return sum(len(store.calls) for store in stores)


def _require_clean(result: VerifyResult) -> None:
    assert result.clean, [(one.replica, one.name, one.code, one.detail) for one in result.damaged]


def _reported(outcome: ReplicaOutcome) -> tuple[str, str]:
    return outcome.replica, "" if outcome.committed else f"{outcome.error_code}: {outcome.error}"


@pytest.mark.sweep
@pytest.mark.parametrize("what", ["back_up", "verify", "restore", "heal", "scrub"])
def test_a_neighbor_may_back_up_at_any_moment(tmp_path: Path, what: str) -> None:
    first = Street.new(tmp_path / "first")
    copies = first.copies(tmp_path)
    street = next(copies)
    requests = first.beside(getattr(first, what), 0)
    assert requests > 5
    for number in range(1, requests + 1):
        street.beside(getattr(street, what), number)
        if number % RUNS == 0 or number == requests:
            street.verify()
            street.restore()
            street = next(copies)
