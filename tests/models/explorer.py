"""Breadth-first search over every interleaving of a small state machine, with the shortest trace to what breaks it.

A machine is a start state and a function from a state to its steps. States are immutable and hashable. A process that
may stop for ever, or for any time, between two steps needs no step of its own: the search also looks at all
interleavings in which it never moves again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)

STATES_MAX = 400_000  # a model beyond this is too large for a test; make it smaller, or split it


@dataclass(frozen=True)
class Machine(Generic[State]):
    """A start state, the steps from each state with a label each, and the check that each state must pass.

    `problem` returns a sentence for a state that breaks a property, nothing for one that does not.
    """

    start: State
    steps: Callable[[State], Iterable[tuple[str, State]]]
    problem: Callable[[State], str | None]


@dataclass(frozen=True)
class Outcome:
    """The result of a search: how many states were reached, and where one is broken, why and by which steps."""

    states: int
    problem: str | None = None
    trace: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.problem is None

    def __str__(self) -> str:
        if self.problem is None:
            return f"holds in all of {self.states} states"
        steps = "\n".join(f"  {number}. {label}" for number, label in enumerate(self.trace, 1))
        return f"broken after {self.states} states: {self.problem}\n{steps}"


def explore(machine: Machine[State], states_max: int = STATES_MAX) -> Outcome:
    """Visit every reachable state once, nearest first; stop at the first that is broken.

    Raises:
        AssertionError: There are more than `states_max` states, so nothing is proved.
    """
    origins: dict[State, tuple[State, str] | None] = {machine.start: None}
    waiting = deque([machine.start])
    while waiting:
        state = waiting.popleft()
        problem = machine.problem(state)
        if problem is not None:
            return Outcome(len(origins), problem, _trace(origins, state))
        for label, following in machine.steps(state):
            if following not in origins:
                origins[following] = (state, label)
                waiting.append(following)
        assert len(origins) <= states_max, f"more than {states_max} states"
    return Outcome(len(origins))


def _trace(origins: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels = []
    origin = origins[state]
    while origin is not None:
        state, label = origin
        labels.append(label)
        origin = origins[state]
    return tuple(reversed(labels))
