"""Telling that what was done left no audit row: it stands all the same, and somebody should know."""

from __future__ import annotations

from farshore.cli.output import Output
from farshore.errors import EXIT_DONE, EXIT_WARNINGS

CODE = "no-audit-row"


def tell_unrecorded(output: Output, reason: str, code: int = EXIT_DONE) -> int:
    """Warn where there is a reason why no audit row was kept; return the exit code, which is no longer `done` then.

    Args:
        reason: Empty where a row was kept.
        code: That the command would end with.
    """
    if not reason:
        return code
    output.warning(f"no audit row of this was kept: {reason}", code=CODE)
    return code if code != EXIT_DONE else EXIT_WARNINGS
