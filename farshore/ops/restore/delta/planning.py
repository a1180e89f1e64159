"""Compare a snapshot with a tree, and plan what makes the tree as the snapshot. Changes nothing."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from farshore.format.extents import view_extents
from farshore.format.manifest import ManifestRow
from farshore.model import HOLE, EntryKind, dataclass
from farshore.ops.restore.delta.content import Compared, ContentComparer, data_bytes
from farshore.ops.restore.delta.judging import Judge
from farshore.ops.restore.delta.looking import is_within
from farshore.ops.restore.delta.merging import Both, Extra, Merge, Missing, directories_above
from farshore.ops.restore.delta.options import Action
from farshore.ops.restore.delta.steps import Step, StepSpool, extra_row
from farshore.sources.directory.metadata import KINDS
from farshore.sources.posix_status import KnownStatus
from farshore.targets.directory.occupants import LOST_AND_FOUND
from farshore.targets.directory.patching import Patch
from farshore.targets.directory.replacing_tree import is_temporary

_CHUNKS_MAX = 1_000_000  # 40 MB beside the index; a restore of more uses the index of the whole snapshot
_RESTORED = (Action.ADD, Action.REPLACE, Action.PATCH)
_TYPE_BITS = stat.S_IFMT(0xFFFF)


class Selects(Protocol):
    """Whether a path is selected."""

    def __call__(self, path: bytes, /, *, directory: bool) -> bool: ...


def _any_name(_path: bytes, *, directory: bool) -> bool:  # noqa: ARG001 - whatever it is
    return True


@dataclass(frozen=True, slots=True)
class DeltaScope:
    """How a restore into an existing tree is to go about it.

    `selects` returns for a name that is not in the snapshot whether the patterns match it. `mounts` are paths where
    something is mounted, and `is_mount` whether the tree itself is. `always_deleted`: names that must go in any case.
    """

    by_content: bool = False
    delete: bool = False
    selects: Selects = _any_name
    mounts: Sequence[bytes] = ()
    is_mount: bool = False
    always_deleted: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class Plan:
    """Steps in manifest order, deletions apart, and how many there are."""

    steps: StepSpool = field(default_factory=StepSpool)
    deletions: StepSpool = field(default_factory=StepSpool)
    patches: dict[bytes, int] = field(default_factory=dict)  # path -> number of its step
    chunks: list[bytes] = field(default_factory=list)
    chunks_count: int = 0
    tally: Counter[str] = field(default_factory=Counter)  # the counts of `DeltaCounts`, by the names of its fields

    def rows(self) -> Iterator[ManifestRow]:
        """Yield the entries to make or write, each after the directories above it, without hard links."""
        for step in self.steps:
            kind = step.row.entry.kind
            if kind is EntryKind.DIRECTORY or (step.action in _RESTORED and kind is not EntryKind.HARDLINK):
                yield step.row

    def patch_of(self, path: bytes) -> Patch | None:
        """Return what of a file is kept; None where nothing is."""
        number = self.patches.get(path)
        return None if number is None else self.steps.get(number).patch

    def chunk_ids(self) -> npt.NDArray[Any] | None:
        """Return the chunks to be fetched (`V32`), or None when there are too many to list."""
        if self.chunks_count > _CHUNKS_MAX:
            return None
        return np.frombuffer(b"".join(self.chunks), f"V{len(HOLE)}")

    def close(self) -> None:
        """Forget everything."""
        self.steps.close()
        self.deletions.close()


class Planner:
    """Turns what a merge yields into steps. One use; one thread."""

    def __init__(self, *, merge: Merge, scope: DeltaScope, judge: Judge, comparer: ContentComparer) -> None:
        self._merge = merge
        self._scope = scope
        self._judge = judge
        self._comparer = comparer
        self._plan = Plan()
        self._entered: list[bytes] = []  # directories above the last step that have a step themselves
        self._blocked: bytes | None = None  # a directory that has the place of something else
        self._heads: dict[bytes, tuple[int, int] | None] = {}  # first name -> the file it keeps
        self._owners: dict[tuple[int, int], bytes] = {}  # a file with several names -> the first name that keeps it

    def run(self) -> Plan:
        """Compare all; return the plan.

        Raises:
            OSError: There is no space to keep it.
        """
        for event in self._merge.run():
            if isinstance(event, Missing):
                self._restore(Action.ADD, event.row)
            elif isinstance(event, Extra):
                self._plan_extra(event)
            else:
                self._plan_both(event)
        tally = self._plan.tally
        tally["compared"] = self._merge.compared
        tally["bytes_read"] = self._comparer.bytes_read
        return self._plan

    def _plan_both(self, both: Both) -> None:
        entry = both.row.entry
        status = both.listing.status(both.at)
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        if kind is EntryKind.DIRECTORY and entry.kind is not EntryKind.DIRECTORY:
            self._blocked = entry.path
        if entry.kind is EntryKind.HARDLINK:
            self._plan_link(both.row, status)
        elif kind is not entry.kind:
            self._restore(Action.REPLACE, both.row)
        elif kind is EntryKind.DIRECTORY:
            if not self._judge.has_metadata(entry, both.listing, both.at):
                self._add(Step(Action.METADATA, both.row))
        else:
            self._plan_file(both, status, kind)

    def _plan_file(self, both: Both, status: KnownStatus, kind: EntryKind) -> None:
        """Plan for anything that may have several names."""
        row = both.row
        file = status.st_dev, status.st_ino
        shared = status.st_nlink > 1
        owned = shared and self._owners.get(file, row.entry.path) != row.entry.path  # it is another's here, not there
        compared = Compared(same=False)
        if not owned:
            if kind is EntryKind.FILE:
                compared = self._compare(row, status, alone=not shared and row.entry.links <= 1)
            else:
                compared = Compared(same=self._judge.is_same_node(row.entry, both.listing, both.at))
        right = self._judge.has_metadata(row.entry, both.listing, both.at)
        # Metadata is not mended where a file has names that the snapshot does not know: one may be anywhere else, and
        # have been given to it by a user who would like to own that file.
        keeps = compared.same and (right or status.st_nlink <= max(row.entry.links, 1))
        if shared or row.entry.links > 1:
            self._heads[row.entry.path] = file if keeps else None
            if keeps and shared:
                self._owners[file] = row.entry.path
        if not keeps:
            self._restore(Action.PATCH if compared.patch else Action.REPLACE, row, compared)
        elif not right:
            self._add(Step(Action.METADATA, row))

    def _plan_link(self, row: ManifestRow, status: KnownStatus) -> None:
        kept = self._heads.get(row.entry.target)
        if kept is None or kept != (status.st_dev, status.st_ino):
            self._add(Step(Action.LINK, row))

    def _compare(self, row: ManifestRow, status: KnownStatus, *, alone: bool) -> Compared:
        entry = row.entry
        if not self._scope.by_content and status.st_size == entry.size and self._judge.is_of_time(entry, status):
            return Compared(same=True)
        return self._comparer.compare(row, alone=alone)

    def _restore(self, action: Action, row: ManifestRow, compared: Compared | None = None) -> None:
        if row.entry.kind is EntryKind.HARDLINK:
            self._add(Step(Action.LINK if action is Action.REPLACE else action, row))
            return
        asked = row if compared is None or compared.row is None else compared.row
        patch = compared.patch if compared else None
        fetched = 0
        if row.entry.kind is EntryKind.FILE:
            fetched = data_bytes(asked)
            self._want_chunks(asked)
        number = self._add(Step(action, asked, fetched, patch))
        if patch is not None:
            self._plan.patches[row.entry.path] = number

    def _plan_extra(self, extra: Extra) -> None:
        path = extra.path
        status = extra.listing.status(extra.at)
        directory = stat.S_ISDIR(status.st_mode)
        row = extra_row(path, directory=directory, size=0 if directory else status.st_size)
        tally = self._plan.tally
        if not directory and is_temporary(path.rpartition(b"/")[2]):
            self._delete(Step(Action.LEFTOVER, row))
            tally["leftovers"] += 1
        elif path in self._scope.always_deleted or self._may_delete(path, directory=directory):
            first = self._blocked is not None and is_within(path, (self._blocked,))
            self._delete(Step(Action.DELETE, row, first=first or path in self._scope.always_deleted))
            tally["deleted"] += 1
            tally["bytes_deleted"] += row.entry.size
        else:
            tally["extra"] += 1

    def _may_delete(self, path: bytes, *, directory: bool) -> bool:
        scope = self._scope
        if not scope.delete or is_within(path, scope.mounts):
            return False
        if scope.is_mount and is_within(path, (LOST_AND_FOUND,)):
            return False  # every ext file system has one of its own
        return scope.selects(path, directory=directory)

    def _delete(self, step: Step) -> None:
        self._enter_above(step.row.entry.path)
        self._plan.deletions.add(step)

    def _add(self, step: Step) -> int:
        entry = step.row.entry
        if step.action is not Action.METADATA or entry.kind is EntryKind.DIRECTORY:
            self._enter_above(entry.path)
        self._count(step)
        number = self._plan.steps.add(step)
        if entry.kind is EntryKind.DIRECTORY:
            self._entered.append(entry.path)
        return number

    def _enter_above(self, path: bytes) -> None:
        """Plan for the directories above what changes: times of theirs change with it, and are put back at the end."""
        above = list(directories_above(path))
        self._entered = [one for one in self._entered if one in above]
        for directory in above:
            if directory not in self._entered:
                row = self._merge.directory(directory)
                if row is not None:
                    self._plan.steps.add(Step(Action.TOUCH, row))
                    self._entered.append(directory)

    def _want_chunks(self, row: ManifestRow) -> None:
        plan = self._plan
        if row.extents and plan.chunks_count <= _CHUNKS_MAX:
            chunks = np.ascontiguousarray(view_extents(row.extents)["chunk"])
            plan.chunks.append(chunks.tobytes())
            plan.chunks_count += len(chunks)

    def _count(self, step: Step) -> None:
        tally = self._plan.tally
        match step.action:
            case Action.ADD:
                tally["added"] += 1
            case Action.REPLACE:
                tally["replaced"] += 1
            case Action.PATCH:
                tally["patched"] += 1
            case Action.LINK:
                tally["linked"] += 1
            case Action.METADATA:
                tally["metadata"] += 1
            case _:
                return
        tally["bytes_fetched"] += step.fetched
        if step.action is not Action.PATCH:
            tally["bytes_new"] += step.fetched
