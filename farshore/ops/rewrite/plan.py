"""The plan of a rewrite: which snapshots are made anew, what is removed, and which packs are emptied for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from farshore.format.commit import Commit
from farshore.format.needs import Needs
from farshore.index import ChunkIndex
from farshore.ops.rewrite.removal import PatternRemoval

RunKey = tuple[str, bool]  # the hash of a run of a manifest, and whether it is the oldest one of its manifest


@dataclass(frozen=True, slots=True)
class PlannedSnapshot:
    """A snapshot that is made anew.

    `entries`, `files` and `bytes` are removed from it; none where it only shares packs with what is removed.
    `successor`: the snapshot that replaces it already, made by a run that did not end.
    """

    snapshot_id: str
    source: str
    source_id: str
    committed_utc: datetime
    entries: int
    files: int
    bytes: int
    successor: str = ""


@dataclass(frozen=True, slots=True)
class StaysIn:
    """An entry that still has content that is removed elsewhere: this many chunks of it."""

    source: str
    path: str
    chunks: int


@dataclass(frozen=True, slots=True)
class LockedPacks:
    """Until when locks keep, at a replica, packs with content that is removed."""

    replica: str
    last_utc: datetime


@dataclass(frozen=True, slots=True)
class RewritePlan:
    """The effects of a rewrite, for people.

    `bytes_removed`: of content that no snapshot has afterwards, plain. `packs`: that have some of it, and go whole;
    `bytes_moved`: of other content in them, which is stored anew. `stays`: content that stays, because other entries
    have it, the largest first. `refused`: snapshots that do not count, which nothing is removed from.
    """

    patterns: tuple[str, ...]
    snapshots: tuple[PlannedSnapshot, ...]
    bytes_removed: int = 0
    packs: int = 0
    packs_bytes: int = 0
    bytes_moved: int = 0
    stays: tuple[StaysIn, ...] = ()
    locked: tuple[LockedPacks, ...] = ()
    forgotten: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Work:
    """The plan in the terms of the repository.

    `affected`: commits that are made anew, oldest first. `runs`: of manifests that are written anew. `drops_pages`:
    hashes of commits whose page map has something of what is removed. `dirty`: packs that are emptied. `moved`:
    chunks to store anew. `elsewhere`: packs of an earlier try that have some of them already, and their keys.
    """

    removal: PatternRemoval
    affected: tuple[Commit, ...] = ()
    successors: Mapping[str, Commit] = field(default_factory=dict)  # by hash of the commit that each replaces
    obsolete: tuple[Commit, ...] = ()  # that say to replace one, by another key; they go with it
    removed: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)  # by commit: entries, files, bytes
    runs: frozenset[RunKey] = frozenset()
    drops_pages: frozenset[str] = frozenset()
    needs: Mapping[str, Needs] = field(default_factory=dict)  # by commit
    index: ChunkIndex = field(default_factory=ChunkIndex)
    dirty: frozenset[str] = frozenset()
    moved: frozenset[bytes] = frozenset()
    elsewhere: Needs = field(default_factory=Needs)

    @property
    def going(self) -> tuple[Commit, ...]:
        """The commits that are forgotten."""
        return tuple({one.hash: one for one in (*self.affected, *self.obsolete)}.values())

    @property
    def to_make(self) -> tuple[Commit, ...]:
        """The commits that have no successor yet."""
        return tuple(one for one in self.affected if one.hash not in self.successors)
