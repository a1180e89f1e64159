"""A restore into an existing tree: differences are planned, fetched, linked, mended, and deleted where asked for.

The content is fetched as in every restore, but only for rows that differ. In order: names that are in the way are
deleted first; then content is restored; then hard links, metadata, and at last names that are not in the snapshot are
deleted, unless content was lost. Of a database those go first of all: its old log files must not meet the new files.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy.typing as npt

from farshore.catalog.data_keys import reading_keys_of
from farshore.catalog.selection import Selection
from farshore.catalog.verified_objects import open_pages
from farshore.clock import Clock
from farshore.errors import CACHED_READ_ERRORS, PathsClash, TargetFailed
from farshore.format.choosing import sort_key
from farshore.format.commit import Commit
from farshore.format.manifest import ManifestReader, ManifestRow, rows_to_table
from farshore.format.page_maps import PageMap
from farshore.handles import DIRECTORY_FLAGS, Handle
from farshore.model import EntryKind, Problem, ProblemCode, SnapshotCounts
from farshore.ops.restore.delta.content import ContentComparer
from farshore.ops.restore.delta.guards import BESIDE, check_postgres, check_sqlite
from farshore.ops.restore.delta.judging import Judge, ability_at
from farshore.ops.restore.delta.looking import find_target_mounts, look
from farshore.ops.restore.delta.merging import Merge
from farshore.ops.restore.delta.options import NAMES_SHOWN_MAX, Action, DeltaOptions, Difference
from farshore.ops.restore.delta.planning import DeltaScope, Plan, Planner
from farshore.ops.restore.delta.rows import SnapshotRows
from farshore.ops.restore.delta.steps import Step
from farshore.ops.restore.privileges import Privileges
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.results import DeltaCounts
from farshore.sources.posix_mounts import file_system_type, is_mount_point
from farshore.targets.directory.existing import ExistingDirectoryTarget
from farshore.targets.directory.patching import Patch

_ROWS_AT_ONCE = 4096
_SHOWN = (Action.ADD, Action.REPLACE, Action.PATCH, Action.LINK, Action.METADATA, Action.DELETE, Action.LEFTOVER)


class DeltaRestore:
    """One restore into an existing tree. `close` after use."""

    def __init__(self, *, path: Path, options: DeltaOptions, privileges: Privileges, clock: Clock) -> None:
        self._path = path
        self._options = options
        self._privileges = privileges
        self._plan: Plan | None = None
        self._cleanup = contextlib.ExitStack()
        self._deleted_first = False
        self._declined = False  # somebody was asked, and said no
        self._looked: list[Problem] = []
        self.target = ExistingDirectoryTarget(
            path=path, clock=clock, patch_of=self._patch_of, completing=self._complete
        )

    def prepare(
        self,
        repository: Repository,
        commit: Commit,
        reader: ReplicaReader,
        manifest: ManifestReader,
        selection: Selection,
    ) -> bool:
        """Compare and plan; return whether there is something to do, and it is confirmed.

        Args:
            repository: With a reader's keys.
            commit: Of the snapshot.
            reader: Of the replicas.
            manifest: Of the snapshot.
            selection: The part of it to restore.

        Raises:
            TargetForbidden: A database there is in use, or another one.
            TargetFailed: The target cannot be opened, or another restore is at work in it.
            SnapshotUnknown: The patterns select nothing.
        """
        options = self._options
        databases = self._check(commit, manifest, selection)
        root = self._open_root()
        target_mounts = find_target_mounts(root, self._path, manifest)
        scope = DeltaScope(
            by_content=options.by_content,
            delete=options.delete,
            selects=partial(_selects, selection, self._privileges),
            mounts=target_mounts.mounts,
            is_mount=is_mount_point(root.fd),
            always_deleted=frozenset(os.fsencode(name + ending) for name in databases for ending in BESIDE),
        )
        self._deleted_first = commit.kind != "directory"
        ability = ability_at(os.fsencode(os.path.realpath(self._path)), file_system_type)
        merge = Merge(
            tables=(SnapshotRows(table, ability) for table in _tables(manifest, selection, self._privileges)),
            listings=look(root, target_mounts, manifest, self._report),
            by_content=options.by_content,
        )
        comparer = ContentComparer(
            root=root,
            keys=reading_keys_of(repository, commit),
            pages=lambda: _page_map(repository, reader, commit, selection),
            origins=selection.origins,
        )
        planner = Planner(merge=merge, scope=scope, judge=Judge(root=root, ability=ability), comparer=comparer)
        self._plan = plan = self._cleanup.enter_context(contextlib.closing(planner.run()))
        return self._is_wanted(plan)

    @property
    def counts(self) -> DeltaCounts:
        """The differences found, and the deletions."""
        options = self._options
        return DeltaCounts(
            **(self._plan.tally if self._plan else {}),
            by_content=options.by_content,
            delete=options.delete,
            dry_run=options.dry_run or self._declined,
        )

    def make_way(self) -> None:
        """Delete what must be gone before anything is restored."""
        for step in reversed(self._planned.deletions):
            if step.first or self._deleted_first:
                self._delete(step)

    @property
    def demand(self) -> SnapshotCounts:
        """The space needed at the target, at most, before anything is freed."""
        plan = self._planned
        patched = sum(plan.steps.get(number).row.entry.size for number in plan.patches.values())
        return SnapshotCounts(entries=len(plan.steps), bytes_total=plan.tally["bytes_new"] + patched)

    def rows(self) -> Iterator[ManifestRow]:
        """Yield the entries to make or write; repeatable."""
        return self._planned.rows()

    def chunk_ids(self) -> npt.NDArray[Any] | None:
        """Return the chunks to be fetched, or None when there are too many to list."""
        return self._planned.chunk_ids()

    def problems(self) -> list[Problem]:
        """Return what could not be looked at in the target, or not be put back as it was."""
        return [*self._looked, *self.target.problems()]

    def close(self) -> None:
        """Let go of everything. Safe to repeat."""
        self._cleanup.close()
        self.target.close()

    @property
    def _planned(self) -> Plan:
        if self._plan is None:
            raise TargetFailed(f"{self._path} was not compared before it was restored into")
        return self._plan

    def _complete(self) -> None:
        """Carry out the steps after content, before the target is finished. Where content was lost, nothing is deleted.

        Raises:
            TargetFailed: The target cannot be written.
        """
        plan = self._planned
        for step in plan.steps:
            entry = step.row.entry
            if entry.kind is EntryKind.HARDLINK and step.action in (Action.ADD, Action.LINK):
                self.target.make(entry)
        for step in plan.steps:
            if step.action is Action.METADATA and step.row.entry.kind is not EntryKind.DIRECTORY:
                self.target.mend(step.row.entry)
        for step in reversed(plan.deletions):
            if step.action is Action.LEFTOVER or not (self.target.lost or step.first or self._deleted_first):
                self._delete(step)
        if self.target.lost and not self._deleted_first:
            plan.tally["deleted"] = sum(step.first for step in plan.deletions)

    def _patch_of(self, path: bytes) -> Patch | None:
        return self._planned.patch_of(path)

    def _report(self, path: bytes, code: ProblemCode, message: str) -> None:
        self._looked.append(Problem(path, code, f"in the target: {message}"))

    def _check(self, commit: Commit, manifest: ManifestReader, selection: Selection) -> Sequence[str]:
        """Refuse databases that must not be written into; return the names of those that SQLite keeps files beside."""
        if commit.kind == "postgres":
            check_postgres(self._path, commit.facts, delete=self._options.delete, selected=not selection.whole)
        if commit.kind != "sqlite":
            return ()
        entries = [row.entry for row in manifest.rows()]  # few
        databases = [os.fsdecode(entry.path) for entry in entries if entry.kind is EntryKind.FILE]
        check_sqlite(self._path, databases)
        return databases

    def _open_root(self) -> Handle:
        """Return the directory, open; for a dry run where there is none, an empty one elsewhere."""
        if not self._options.dry_run:
            self.target.begin()
            return self.target.root
        path = self._path
        if not path.exists():
            path = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="farshore-delta-")))
        try:
            root = Handle(os.open(path, DIRECTORY_FLAGS & ~os.O_NOFOLLOW))
        except OSError as error:
            raise TargetFailed(f"{self._path} cannot be opened: {error.strerror}") from error
        self._cleanup.callback(root.close)
        return root

    def _is_wanted(self, plan: Plan) -> bool:
        options = self._options
        if options.report is not None:
            for step in chain(plan.steps, plan.deletions):
                if step.action in _SHOWN:
                    options.report(Difference(step.action, step.row.entry.path, step.fetched))
        if options.dry_run:
            return False
        if plan.tally["deleted"]:
            first = [step.row.entry.path for step in islice(plan.deletions, NAMES_SHOWN_MAX)]
            if not options.confirm(self.counts, first):
                self._declined = True
                return False
        return bool(len(plan.steps) or len(plan.deletions))

    def _delete(self, step: Step) -> None:
        entry = step.row.entry
        gone = self.target.delete(entry.path, directory=entry.kind is EntryKind.DIRECTORY)
        if not gone and step.action is Action.DELETE:
            self._planned.tally["deleted"] -= 1


def _selects(selection: Selection, privileges: Privileges, path: bytes, *, directory: bool) -> bool:
    """Return whether a name that is not restored may be deleted: not in place of a device that is left out."""
    return not privileges.is_left_out(path) and selection.selects(path, directory=directory)


def _tables(manifest: ManifestReader, selection: Selection, privileges: Privileges) -> Iterator[Any]:
    """Yield what is selected of a manifest as tables."""
    if not (selection.partial or privileges.limited):
        yield from manifest.tables()
        return
    selected = privileges.limit(selection.rows(manifest))
    last = b""
    while rows := list(islice(selected, _ROWS_AT_ONCE)):
        keys = [last, *(sort_key(row.entry.path) for row in rows)]
        if any(one > following for one, following in pairwise(keys)):
            raise PathsClash(
                "paths that --strip cut are in another order, so they cannot be compared with a tree",
                "Restore one subtree after the other, as SNAPSHOT:/PATH.",
            )
        last = keys[-1]
        yield rows_to_table(rows)


def _page_map(repository: Repository, reader: ReplicaReader, commit: Commit, selection: Selection) -> PageMap | None:
    """Return the page map of a snapshot; None where there is none that can be read, and chunks are compared instead."""
    try:
        return open_pages(repository, reader, commit, wanted=selection.candidates) if commit.pages else None
    except CACHED_READ_ERRORS:
        return None
