"""O9: promises go before what is promised, so a reader at any moment of a sweep finds all that it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.catalog.fragments import decode_named
from farshore.catalog.needs import objects_of, read_needs
from farshore.format import names
from farshore.ops.prune.sweep import Sweeper
from farshore.stores.base import ObjectInfo
from tests.doubles.faulty import Fault
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import Calls
from tests.unit.ops.prune.prune_world import forget, grown, ids, prune, states


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """One replica with four snapshots, the first two of which are forgotten; a fragment has packs of both kinds."""
    engine = Engine(tmp_path, urls=fresh_memory_urls("a"), quorum=1).initialize()
    grown(engine, 4)
    forget(engine, *ids(engine)[:2])
    return engine


def promises_of(engine: Engine) -> dict[str, set[str]]:
    """Return for each commit what its snapshot needs, also where it is forgotten."""
    with engine.opened(Need.READ) as repository:
        listed = list_commits(repository)
        heads = [*listed.heads.values(), *listed.forgotten.values()]
        return {
            head.name: {one.name for one in objects_of(head, read_needs(repository, repository.replicas["a"], head))}
            for head in heads
        }


def broken_promises(engine: Engine, promised: dict[str, set[str]]) -> list[str]:
    """Return what the replica shows and lacks: commits with their needs, fragments with their packs."""
    there = engine.objects("a")
    broken = [
        f"{commit} needs {one}" for commit in promised.keys() & there.keys() for one in promised[commit] - there.keys()
    ]
    for name, data in there.items():
        fragment_id = names.parse_fragment(name)
        if fragment_id is not None:
            packs = {names.pack(one.pack_id.hex()) for one in decode_named(fragment_id, data).entries}
            broken += [f"{name} promises {one}" for one in packs - there.keys()]
    return broken


def prefixes_with_broken_promises(engine: Engine) -> tuple[int, list[str]]:
    """Prune, and look before each deletion as a reader would; return the number of looks, and what was broken."""
    looks, broken, promised = 0, [], promises_of(engine)

    def look(_call: int, _replica: str, verb: str, name: str) -> Fault | None:
        nonlocal looks
        if verb == "delete" and not name.startswith((names.LEASES, names.PLANS, "probe/")):
            looks += 1
            broken.extend(broken_promises(engine, promised))
        return None

    with Calls(engine, look):
        assert states(prune(engine)) == {"a": "pruned"}
    return looks, broken + broken_promises(engine, promised)


def test_readers_at_every_prefix_of_a_sweep_find_what_they_are_shown(engine: Engine) -> None:
    looks, broken = prefixes_with_broken_promises(engine)
    assert looks >= 8
    assert broken == []


@pytest.mark.parametrize("late", [names.SNAPSHOTS, names.FRAGMENTS])
def test_a_promise_that_goes_after_what_it_promises_is_found(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """Mutants: commits, or fragments, are deleted once the packs are gone."""
    whole, held = Sweeper.delete, list[tuple[Sweeper, list[ObjectInfo]]]()

    def packs_first(sweeper: Sweeper, infos: Iterable[ObjectInfo]) -> None:
        doomed = list(infos)
        if doomed and doomed[0].name.startswith(late):
            held.append((sweeper, doomed))
            return
        whole(sweeper, doomed)
        while held and doomed and doomed[0].name.startswith(names.PACKS):
            whole(*held.pop())

    monkeypatch.setattr(Sweeper, "delete", packs_first)
    assert prefixes_with_broken_promises(engine)[1]
