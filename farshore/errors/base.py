"""The root of the tree with the fields of every failure, the exit codes of the command line, and a broken promise."""

from __future__ import annotations

from typing import Any, ClassVar

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_WARNINGS = 3
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """Ends a command or a flow; only they catch it, and code that records the failure and goes on.

    Args:
        message: The failure with the names involved; lower case, no full stop.
        hint: A sentence that says what to do; the class default when omitted.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_BUG
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.replicas: dict[str, FarshoreError] = {}  # why each could not be asked, where it is about several

    def __reduce__(self) -> tuple[type[Failure], tuple[Any, ...]]:
        return type(self), (self.message, self.hint)

    def __str__(self) -> str:
        return self.message


class FarshoreError(Failure):
    """Base of the tree of what can go wrong with everything as it was designed."""


class Bug(Failure):
    """An internal promise was broken. No `FarshoreError`: a fallback for trouble must not hide it."""

    code = "bug"
    exit_code = EXIT_BUG
    default_hint = "Please report this with the output of 'farshore version'."
