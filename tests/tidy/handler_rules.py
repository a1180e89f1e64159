"""A rule for handlers: what goes on after an error says which errors it means, or records the one it met."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.tree import Finding, Tree

BROAD = {"BaseException", "Exception", "Failure", "FarshoreError"}  # each catches what nobody thought of


def silent_handlers(tree: Tree) -> Iterator[Finding]:
    """A handler of a broad class raises, or uses the error that it caught: else a fault stays unseen for years."""
    for file in tree.python("farshore", "flows", "tasks"):
        for node in file.nodes:
            if isinstance(node, ast.ExceptHandler):
                broad = _names(node.type) & BROAD if node.type else {"everything"}
                if broad and not _raises(node) and not _uses(node):
                    yield file.at(node.lineno, f"catches {broad.pop()} and goes on; name the errors it is for")
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                for name in (name for argument in node.args for name in _names(argument) & BROAD):
                    yield file.at(node.lineno, f"suppresses {name}; name the errors it is for")


def _names(caught: ast.expr) -> set[str]:
    """Return the last names of the classes that an `except` or a `suppress` lists."""
    found = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return {ast.unparse(one).rpartition(".")[2] for one in found}


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for one in handler.body for node in ast.walk(one))


def _uses(handler: ast.ExceptHandler) -> bool:
    inside = (node for one in handler.body for node in ast.walk(one))
    return any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)


RULES = (silent_handlers,)
