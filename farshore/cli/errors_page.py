"""docs/reference/errors.md, made from farshore/errors/: `python -m farshore.cli.errors_page` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from farshore import errors
from farshore.errors import Bug, Failure, FarshoreError

HEAD = """# Errors and exit codes

Made from `farshore/errors/` by `make docs`; a test holds the two together.

Every error has a stable `code`, an exit code of its own, a message that names what failed, and a hint that says what to
do. The command line prints `error[code]: message` and `hint: ...` to standard error; with `--json` the same stands in a
record of type `error` on standard output. A program may rely on `code` and on the exit code, never on the message.

| exit code | meaning |
| ---: | --- |
| 0 | done |
| 1 | `bug`: an internal promise was broken; or `output`: standard output could not be written |
| 2 | `usage`: the command line was not understood |
| 3 | done, with warnings: entries could not be read; with `backup --strict` also, a replica was left behind |
| 3 | likewise: standard output, which held only a report, could not be written |
| 4 | differences: `restore --delta --dry-run` found some, or its `--delete` was declined; nothing was changed |
| 129, 130, 143 | `interrupted` by SIGHUP, Ctrl-C, SIGTERM |
| 141 | standard output was closed by its reader |

Any other exit code is one of the following, and any code that is not listed here means failure. "Retry" says whether
the same command may succeed by itself later.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for group in groups():
        parts.append(f"## {group.__name__}\n\n{_first_line(group)}\n")
        parts.append("| exit code | code | retry | what to do |\n| ---: | --- | --- | --- |")
        parts.extend(
            f"| {one.exit_code} | `{one.code}` | {'yes' if one.retryable else 'no'} | {one.default_hint} |"
            for one in leaves(group)
        )
        parts.append("")
    return "\n".join(parts)


def groups() -> Iterator[type[Failure]]:
    """Yield `Bug` and the classes right below the root of the tree, in the order of their exit codes."""
    found: list[type[Failure]] = [Bug, *FarshoreError.__subclasses__()]
    yield from sorted(found, key=lambda group: min(one.exit_code for one in leaves(group)))


def leaves(group: type[Failure]) -> list[type[Failure]]:
    """Return the errors of a group that are raised: its subclasses, or itself where it has none."""
    found = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, group)]
    raised = [one for one in found if "code" in vars(one)]
    return sorted(raised, key=lambda one: one.exit_code)


def _first_line(group: type[Failure]) -> str:
    return (group.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    sys.stdout.write(page())
