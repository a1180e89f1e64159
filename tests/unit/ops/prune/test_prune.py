"""Pruning at replicas in memory: what goes, what stays, and who may."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.format import names
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import lacking
from tests.unit.ops.prune.prune_world import everything, forget, grown, ids, needed_by, prune, states


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


def test_what_only_a_forgotten_snapshot_needs_goes(engine: Engine) -> None:
    grown(engine, 3)
    first, *kept = ids(engine)
    alone = needed_by(engine, first) - {name for one in kept for name in needed_by(engine, one)}
    assert any(name.startswith(names.PACKS) for name in alone)
    forget(engine, first)
    result = prune(engine)
    print(result)
    assert set(states(result).values()) == {"pruned"}
    wanted = {name for one in kept for name in needed_by(engine, one)}
    for replica in "abc":
        assert everything(engine, replica) == wanted
    assert not lacking(engine)
    assert engine.verify().clean
    for one in kept:
        for replica in "abc":
            assert not engine.restore(one, replica=replica)[0].problems
    assert set(states(prune(engine)).values()) == {"clean"}
