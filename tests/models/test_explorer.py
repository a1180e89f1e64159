from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.explorer import Machine, explore


def _counting(limit: int, *, forbidden: int) -> Machine[int]:
    """A number that grows by 1 or by 3."""

    def steps(state: int) -> Iterator[tuple[str, int]]:
        for step in (1, 3):
            if state + step <= limit:
                yield f"add {step}", state + step

    return Machine(0, steps, lambda state: f"{state} is forbidden" if state == forbidden else None)


def test_the_shortest_trace_is_found() -> None:
    outcome = explore(_counting(10, forbidden=7))
    assert outcome.problem == "7 is forbidden"
    assert sorted(outcome.trace) == ["add 1", "add 3", "add 3"]
    assert "  3. add" in str(outcome)


def test_every_state_is_visited_once() -> None:
    outcome = explore(_counting(10, forbidden=99))
    assert (outcome.holds, outcome.states, str(outcome)) == (True, 11, "holds in all of 11 states")


def test_a_model_that_is_too_large_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="more than 50 states"):
        explore(_counting(100, forbidden=101), states_max=50)
