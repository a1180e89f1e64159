"""Each room of the engine has a README that lists its files: no more, no less."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.tidy.code_rules import DOORS
from tests.tidy.tree import Finding, Tree

_ROW = re.compile(r"^\| *((?:`[^`|]+`(?:, *)?)+) *\|", re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")


def rooms(tree: Tree) -> set[str]:
    """Return the folders that need a README: packages of the engine, and wings of the operations."""
    folders = {file.path.rsplit("/", 1)[0] for file in tree.python("farshore") if not file.path.endswith("__init__.py")}
    found = {"/".join(folder.split("/")[:2]) for folder in folders if folder.count("/") >= 1}
    wings = {"/".join(folder.split("/")[:3]) for folder in folders if folder.startswith("farshore/ops/")}
    return found | wings


def unlisted_modules(tree: Tree) -> Iterator[Finding]:
    """The tables of a room's README name each of its modules once, by its path from the room.

    A room inside another one lists its own modules.
    """
    for room in sorted(rooms(tree)):
        page = f"{room}/README.md"
        if page not in tree:
            continue
        text = next(file.text for file in tree.files if file.path == page)
        inner = {other for other in rooms(tree) if other.startswith(f"{room}/")}
        modules = {
            file.path.removeprefix(f"{room}/")
            for file in tree.python("farshore")
            if file.path.startswith(f"{room}/")
            and (file.path in DOORS or not file.path.endswith("__init__.py"))
            and not any(file.path.startswith(f"{other}/") for other in inner)
        }
        named = [span for row in _ROW.findall(text) for span in _SPAN.findall(row) if span.endswith(".py")]
        for module in sorted(modules - set(named)):
            yield Finding(page, 1, f"no row of a table names `{module}`")
        for module in sorted({span for span in named if span not in modules or named.count(span) > 1}):
            yield Finding(page, 1, f"`{module}` is named and not there, or named twice")


def rooms_without_readme(tree: Tree) -> Iterator[Finding]:
    """Each room says what it is for, how to enter it, what it promises and where people stumble."""
    for room in sorted(rooms(tree)):
        if f"{room}/README.md" not in tree:
            yield Finding(
                room, 1, "a room needs a README.md: purpose, entry points, contracts, pitfalls, a table of its files"
            )


def files_beside_wings(tree: Tree) -> Iterator[Finding]:
    """A module at the top of the operations is in no wing, so no wall is around it."""
    for file in tree.python("farshore"):
        if (
            file.path.startswith("farshore/ops/")
            and file.path.count("/") == 2
            and not file.path.endswith("/__init__.py")
        ):
            yield file.at(1, "belongs into a wing of farshore/ops, or on a floor below")


RULES = (unlisted_modules, rooms_without_readme, files_beside_wings)
