"""O8: a prune that is killed at any change of a store leaves every snapshot whole, and the next one finishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.format import names
from tests.doubles.faulty import FAIL, LOSE_REPLY, Fault
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import Calls, lacking
from tests.unit.ops.prune.prune_world import everything, forget, grown, ids, needed_by, prune, states
from tests.unit.ops.templates import Template

CHANGES = ("put", "delete")


def alone(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls("a"), quorum=1)


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory: pytest.TempPathFactory) -> tuple[Template, set[str]]:
    """A repository of one replica, one of whose two snapshots is forgotten; and what the other one needs."""
    engine = alone(tmp_path_factory.mktemp("forgotten")).initialize()
    grown(engine, 2)
    first, second = ids(engine)
    forget(engine, first)
    return engine.template(), needed_by(engine, second)


def changes_of_a_whole_prune(engine: Engine) -> list[tuple[str, str]]:
    with Calls(engine) as calls:
        assert states(prune(engine, even_last=True)) == {"a": "pruned"}
    return [call for call in calls.at("a") if call[0] in CHANGES and not call[1].startswith(names.AUDIT)]


def test_a_kill_at_every_change(forgotten: tuple[Template, set[str]], tmp_path: Path) -> None:
    """A kill between two changes is at a store what a kill at the second one is. Replies are lost in turn."""
    template, needed = forgotten
    changes = changes_of_a_whole_prune(alone(tmp_path / "whole").begin_with(template))
    assert len(changes) > 12
    for number in range(1, len(changes) + 1):
        engine = alone(tmp_path / f"{number}").begin_with(template)
        made = 0

        def kill(_call: int, _replica: str, verb: str, _name: str, last: int = number) -> Fault | None:
            nonlocal made
            made += verb in CHANGES
            if made < last:
                return None
            return LOSE_REPLY if made == last and verb in CHANGES and last % 2 else FAIL

        with Calls(engine, kill):
            prune(engine, even_last=True)
        assert not lacking(engine), number
        assert set(states(prune(engine, even_last=True)).values()) <= {"pruned", "clean"}, number
        assert not lacking(engine), number
        assert everything(engine, "a") == needed, number
        assert not [name for name in engine.objects("a", names.PLANS) if name.endswith("abandoned")]
