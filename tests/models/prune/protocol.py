"""The prune protocol at one replica: all processes, each step of each, and what must hold."""

from __future__ import annotations

from collections.abc import Iterator

from tests.models.explorer import Machine
from tests.models.prune import sweep, write
from tests.models.prune.replica import PROTOCOL, Cast, Pruner, Rules, World, lost, start


def machine(cast: Cast, rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model with these processes under these rules."""
    return Machine(start(cast), lambda world: _steps(world, rules), lost)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    for index, process in enumerate(world.processes):
        if isinstance(process, Pruner):
            yield from sweep.steps(world, index, process, rules)
        else:
            yield from write.steps(world, index, process, rules)
