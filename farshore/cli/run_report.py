"""Lines that several commands print after a run: requests, repairs, problems, and a missing audit row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from farshore.cli.output import Output
from farshore.cli.wording import shown_path, shown_text
from farshore.errors import EXIT_DONE, EXIT_WARNINGS
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.model import DamagedObject, Problem

CODE = "no-audit-row"
PROBLEMS_SHOWN_MAX = 20  # a person reads these; the JSON record has the first thousand


def warn_of_problems(
    output: Output, problems: Sequence[Problem], *, about: str = "", total: int | None = None, listed: str = "them"
) -> None:
    """Warn of each problem, up to `PROBLEMS_SHOWN_MAX`, and of the number of the others.

    Args:
        about: Begins each line.
        total: The number of problems, where `problems` has only the first of them.
        listed: Completes "--json lists ...".
    """
    shown = problems[:PROBLEMS_SHOWN_MAX]
    for problem in shown:
        output.warning(f"{about}{shown_path(problem.path) or '.'}: {problem.code}: {shown_text(problem.message)}")
    more = (len(problems) if total is None else total) - len(shown)
    if more > 0:
        output.warning(f"{about}{count_of(more, 'more problem')}; --json lists {listed}")


def warn_of_bad_copies(output: Output, damaged: Sequence[DamagedObject]) -> None:
    """Warn of each object that was bad at one replica and was read from another."""
    for one in damaged:
        output.warning(f"{one.name} is {one.code} at {one.replica}; it was read from another replica")


def warn_unrecorded(output: Output, reason: str, code: int = EXIT_DONE) -> int:
    """Warn where there is a reason why no audit row was kept; return the exit code, which is no longer `done` then.

    Args:
        reason: Empty where a row was kept.
        code: That the command would end with.
    """
    if not reason:
        return code
    output.warning(f"no audit row of this was kept: {reason}", code=CODE)
    return code if code != EXIT_DONE else EXIT_WARNINGS
