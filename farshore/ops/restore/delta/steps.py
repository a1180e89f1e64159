"""The steps of a restore into an existing tree, one an entry, in order; on disk past a limit."""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from farshore import limits
from farshore.format.manifest import ManifestRow
from farshore.model import Entry, EntryKind
from farshore.ops.restore.delta.options import Action
from farshore.targets.directory.patching import Patch


class Step(NamedTuple):
    """One step. `fetched`: bytes of content, read from the repository. Of a PATCH, the row asks for no others."""

    action: Action
    row: ManifestRow
    fetched: int = 0
    patch: Patch | None = None
    first: bool = False  # of a DELETE: it is in the way of a restored name, so it goes before


class StepSpool:
    """Steps in order; memory holds some megabytes and eight bytes a step. One thread.

    Raises:
        OSError: From `add`, where the disk for temporary files is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=limits.SPOOL_MEMORY_BYTES)  # noqa: SIM115 - as long as this
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, step: Step) -> int:
        """Keep a step; return its number."""
        entry = step.row.entry
        record = (step.action.value, tuple(entry), step.row.content_hash, step.row.extents, step.row.state, *step[2:])
        data = pickle.dumps(record, pickle.HIGHEST_PROTOCOL)
        self._file.seek(self._ends[-1])
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        return len(self) - 1

    def get(self, number: int) -> Step:
        """Return one step."""
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        action, entry, content_hash, extents, state, *rest = pickle.loads(self._file.read(end - start))  # noqa: S301
        return Step(Action(action), ManifestRow(Entry(*entry), content_hash, extents, state), *rest)

    def __iter__(self) -> Iterator[Step]:
        return map(self.get, range(len(self)))

    def __reversed__(self) -> Iterator[Step]:
        return map(self.get, range(len(self) - 1, -1, -1))

    def close(self) -> None:
        """Forget all steps."""
        self._file.close()


def extra_row(path: bytes, *, directory: bool, size: int = 0) -> ManifestRow:
    """Return a row for a name of the target that the snapshot has not."""
    return ManifestRow(Entry(path, EntryKind.DIRECTORY if directory else EntryKind.FILE, size=size))
