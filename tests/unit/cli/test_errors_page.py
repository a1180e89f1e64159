"""The page of errors has them all, and only errors with an exit code of their own are raised."""

from __future__ import annotations

import ast
from pathlib import Path

from farshore import errors
from farshore.cli.errors_page import groups, leaves
from farshore.errors import Failure

ROOT = Path(__file__).parents[3]
EVERY = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Failure)]
RAISED = [one for one in EVERY if "code" in vars(one) and one is not Failure]


def test_the_page_has_every_error() -> None:
    assert sorted(one.code for group in groups() for one in leaves(group)) == sorted(one.code for one in RAISED)


def test_only_errors_with_a_code_of_their_own_are_raised() -> None:
    """A group has no exit code: raising it would tell a monitor nothing."""
    grouped = {one.__name__ for one in EVERY} - {one.__name__ for one in RAISED}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.func.id}"
        for top in ("farshore", "flows", "tasks")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in grouped
    ]
    assert not found
