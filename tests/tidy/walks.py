"""Walks through the code, told by the pages docs/internals/a-*.md: `python -m tests.tidy.walks` counts their files.

A walk is the numbered list of its page. Each item links the file that a reader opens next:

    3. [ops/backup/prepare.py](../../farshore/ops/backup/prepare.py): what it does
    7. [sources/directory/content.py](../../farshore/sources/directory/content.py) (protocol): implements a contract

A reader gets from file to file by imports. Where there is none, the item says what leads on: `(protocol)`, where the
file implements a contract that was named before, or `(child process)`, where a file named before starts it by its
dotted name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.tidy.tree import Finding, Source, Tree

FILES_MAX = 20  # what one person reads in a sitting
_PAGE = re.compile(r"docs/internals/a-[\w-]+\.md")
_ITEM = re.compile(r"^\d+\. \[([^\]]+)\]\(\.\./\.\./([^)]+)\)(?: \((protocol|child process)\))?", re.MULTILINE)


class Step(NamedTuple):
    """One item of a walk."""

    line: int
    path: str
    leads: str  # `protocol`, `child process`, or nothing: by an import


def steps_of(page: Source) -> list[Step]:
    """Return the items of a page's numbered list, in order."""
    return [
        Step(page.text.count("\n", 0, found.start()) + 1, found[2], found[3] or "")
        for found in _ITEM.finditer(page.text)
    ]


def broken_walks(tree: Tree) -> Iterator[Finding]:
    """Each file of a walk is there and is reached from one that was named before it; a walk is short."""
    files = {file.path: file for file in tree.files}
    for page in tree.files:
        if not _PAGE.fullmatch(page.path):
            continue
        steps = steps_of(page)
        if not steps:
            yield page.at(1, "this page tells no walk: a numbered list of links to files")
        if len(steps) > FILES_MAX:
            yield page.at(steps[FILES_MAX].line, f"{len(steps)} files; a walk has at most {FILES_MAX}")
        before: list[Source] = []
        for step in steps:
            if step.path not in files:
                yield page.at(step.line, f"{step.path} is not there")
                continue
            file = files[step.path]
            if file in before:
                yield page.at(step.line, f"{step.path} was named before")
            elif before and not _is_reached(file, before, step.leads):
                yield page.at(step.line, f"no file named before leads to {step.path}")
            before.append(file)


def _is_reached(file: Source, before: list[Source], leads: str) -> bool:
    if leads == "protocol":
        return bool(_imported(file) & {one.path for one in before})
    if leads == "child process":
        module = file.path.removesuffix(".py").replace("/", ".")
        return any(module in one.text for one in before)
    return any(file.path in _imported(one) for one in before)


def _imported(file: Source) -> set[str]:
    """Return the paths that a file imports directly, wherever in it; a name may be of a module or in one."""
    found = set()
    for node in file.nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = name.replace(".", "/")
            found |= {f"{path}.py", f"{path}/__init__.py"}
    return found


RULES = (broken_walks,)


def main() -> None:
    """Print how many files each walk of this checkout has."""
    for page in Tree(Path(__file__).parents[2]).files:
        if _PAGE.fullmatch(page.path):
            print(f"{len(steps_of(page)):3} files  {page.path}")


if __name__ == "__main__":
    main()
