"""The tree the tidy rules look at: a checkout, or a small one planted by a test."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_BINARY_PROBE_BYTES = 8192  # as git does: a file with a NUL near its start is no text


@dataclass(frozen=True)
class Finding:
    """One broken rule at one place."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True)
class Source:
    """One file of the tree, by its path from the root with forward slashes."""

    root: Path
    path: str

    @property
    def stem(self) -> str:
        return self.path.rsplit("/", 1)[-1].split(".", 1)[0]

    @cached_property
    def text(self) -> str:
        """Its text, or nothing where it is binary."""
        data = (self.root / self.path).read_bytes()
        return "" if b"\0" in data[:_BINARY_PROBE_BYTES] else data.decode("utf-8", "replace")

    @cached_property
    def module(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the module, as `ast.walk` finds them; kept, for a dozen rules look at each."""
        return tuple(ast.walk(self.module))

    def at(self, line: int, what: str) -> Finding:
        return Finding(self.path, line, what)


class Tree:
    """All files of a checkout that git tracks or would track; of a folder without git, all files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = [Source(root, path) for path in sorted(_paths(root)) if (root / path).is_file()]
        self._known = {file.path for file in self.files}

    def python(self, *tops: str) -> Iterator[Source]:
        """Yield the Python files, of the named top folders or of all; never the data of golden repositories."""
        for file in self.files:
            if file.path.endswith(".py") and (not tops or file.path.split("/", 1)[0] in tops):
                yield file

    def __contains__(self, path: str) -> bool:
        return path in self._known


Rule = Callable[[Tree], Iterator[Finding]]


def _paths(root: Path) -> list[str]:
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    command = [git, "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    return [path for path in listed.split("\0") if path]
