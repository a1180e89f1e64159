"""The page docs/errors.md, made from farshore/errors.py: `make docs` writes it, a test compares it."""

from __future__ import annotations

import inspect
from pathlib import Path

from farshore import errors

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"

_HEAD = f"""\
# Errors and exit codes

Made from `farshore/errors.py` by `make docs`; do not edit by hand.

A command ends with the exit code of what happened. The `code` stands in `--json` output, in the audit tables and in
Prefect's reports, and never changes its meaning. An exit code that is not listed here means failure.

| exit code | meaning |
| --- | --- |
| {errors.EXIT_DONE} | done |
| {errors.EXIT_BUG} | a bug, or an error without a class of its own: please report it |
| {errors.EXIT_USAGE} | the command line was wrong; nothing was done |
| {errors.EXIT_WARNINGS} | done, with warnings: the result counts, and a person should look |
| {errors.EXIT_INTERRUPTED} | interrupted by Ctrl-C; nothing committed is lost, and the next run continues |
"""


def leaves(group: type[errors.FarshoreError]) -> list[type[errors.FarshoreError]]:
    """Return the classes of a group that are raised, by exit code."""
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, group)]
    return sorted((cls for cls in classes if not cls.__subclasses__()), key=lambda cls: cls.exit_code)


def groups() -> list[type[errors.FarshoreError]]:
    """Return the branches of the tree in the order they are written."""
    return errors.FarshoreError.__subclasses__()


def errors_page() -> str:
    """Return the page as it should be."""
    parts = [_HEAD]
    for group in groups():
        retry = (
            "The next attempt continues where this one stopped." if group.retryable else "A retry alone does not help."
        )
        parts.append(f"\n## {group.__name__}\n\n{group.__doc__} {retry}\n\n")
        parts.append("| exit code | code | what to do |\n| --- | --- | --- |\n")
        parts += [f"| {cls.exit_code} | `{cls.code}` | {cls.default_hint} |\n" for cls in leaves(group)]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(errors_page())
