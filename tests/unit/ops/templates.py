"""Repositories in memory that are made once for each process of tests, and copied for each test that begins with one.

A copy is much less work than making one. It has the keys of the first and objects, files and a clock of its own: what a
test does to it no other test sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from farshore.stores.memory import Kept, Shelf
from farshore.trust.memory import Memory, read_memory, remember
from tests.doubles.clock import FixedClock


@dataclass(frozen=True)
class _KeptFile:
    path: Path  # below the root
    mode: int
    data: bytes | None  # None: a directory


@dataclass(frozen=True)
class _KeptMemory:
    """The memory of one host, but for the places of the repository: each copy has its own."""

    state_dir: Path  # below the root
    repository_id: str
    memory: Memory


@dataclass(frozen=True)
class Template:
    """Everything that a repository in memory consists of at one moment: objects, hosts' files, and the clock."""

    shelves: Mapping[str, tuple[Mapping[str, tuple[bytes, datetime]], Mapping[str, Kept]]]
    files: tuple[_KeptFile, ...]
    memories: tuple[_KeptMemory, ...]
    fingerprint: str
    clock: tuple[datetime, Any]

    @staticmethod
    def of(root: Path, shelves: Mapping[str, Shelf], clock: FixedClock, fingerprint: str) -> Template:
        """Keep what is there now."""
        found = sorted(root.rglob("*"))
        memories = [path for path in found if path.parent.name == "trust" and path.suffix == ".json"]
        return Template(
            {name: (dict(shelf.objects), _copy(shelf.kept)) for name, shelf in shelves.items()},
            tuple(_kept_file(path, root) for path in found if path not in memories),
            tuple(_kept_memory(path, root) for path in memories),
            fingerprint,
            clock.state,
        )

    def fill(self, root: Path, shelves: Mapping[str, Shelf], urls: Mapping[str, str], clock: FixedClock) -> None:
        """Make an empty directory, empty shelves and a clock what those of the template were."""
        for name, (objects, kept) in self.shelves.items():
            shelf = shelves[name]
            assert not shelf.objects
            shelf.objects.update(objects)
            shelf.kept.update(_copy(kept))
            shelf.generations = count(1 + max((one.generation for one in kept.values()), default=0))
        for file in self.files:
            path = root / file.path
            if file.data is None:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(file.data)
            path.chmod(file.mode)
        for one in self.memories:
            places = frozenset(urls.values())
            remember(root / one.state_dir, one.repository_id, replace(one.memory, places=places))
        clock.state = self.clock


def _copy(kept: Mapping[str, Kept]) -> dict[str, Kept]:
    return {name: replace(one) for name, one in kept.items()}


def _kept_file(path: Path, root: Path) -> _KeptFile:
    return _KeptFile(path.relative_to(root), path.stat().st_mode & 0o7777, None if path.is_dir() else path.read_bytes())


def _kept_memory(path: Path, root: Path) -> _KeptMemory:
    state_dir = path.parents[1]
    memory = read_memory(state_dir, path.stem)
    assert memory is not None
    return _KeptMemory(state_dir.relative_to(root), path.stem, replace(memory, places=frozenset()))
