"""The base of targets whose bytes go out in sequence: an archive, or one file, to a pipe.

Bytes that were sent are final. So a small file is hashed before its first byte is sent, and left out when it is wrong;
a larger one is sent as its chunks arrive, each of which was hashed, and where it proves wrong the stream ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from farshore import limits
from farshore.errors import Bug, OutletClosed, RestoreIncomplete, TargetFailed
from farshore.format.extents import EXTENT_BYTES, view_extents
from farshore.format.manifest import ManifestRow
from farshore.model import Entry, EntryKind, Problem, ProblemCode
from farshore.targets.base import Placed, SmallFile, TargetKind

_ZEROS = memoryview(bytes(1 << 20))
Runs = npt.NDArray[np.int64]  # of a file's data: offset and length of each, holes between


class OrderedTarget:
    """Implements `Target` but for `make`, and for how a file begins and ends.

    Args:
        outlet: Where the bytes go.
    """

    in_order = True
    kind: TargetKind
    spoilt_hint = ""

    def __init__(self, outlet: IO[bytes]) -> None:
        self._outlet = outlet
        self._sparse: dict[bytes, Runs] = {}
        self._lost: set[bytes] = set()
        self._problems: list[Problem] = []
        self._problems_more = 0  # than `PROBLEMS_MAX`
        self._placed = Placed()
        self._open: Entry | None = None
        self._runs: Runs | None = None  # of the file under way; None where it has no hole
        self._run = 0
        self._at = 0  # in the file: everything before went out
        self._gap = False

    # --- for subclasses ------- --------------------------------------------------------------------------------------

    def begin_file(self, entry: Entry, runs: Runs | None) -> None:
        """Send the header of a file; `runs` are None where it has no hole."""

    def skip_hole(self, start: int, end: int) -> None:
        """Send the bytes that represent a hole of the current file."""

    def end_file(self) -> None:
        """Send the padding after a file's data."""

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes.

        Raises:
            OutletClosed: The reader went away.
            TargetFailed: They cannot be sent.
        """
        try:
            self._outlet.write(data)
        except BrokenPipeError as error:
            raise OutletClosed("standard output was closed by its reader") from error
        except OSError as error:
            raise TargetFailed(f"standard output cannot be written: {error.strerror or error}") from error

    def send_zeros(self, count: int) -> None:
        """Send as many zeros. Raises as `send`."""
        while count > 0:
            piece = _ZEROS[:count]
            self.send(piece)
            count -= len(piece)

    # --- Target ------------------------------------------------------------------------------------------------------

    def expect(self, rows: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
        """Yield rows, which go to this target in this order, and note where the holes of each file are."""
        for row in rows:
            if row.entry.kind is EntryKind.FILE and (runs := data_runs(row.extents)) is not None:
                self._sparse[row.entry.path] = runs
            yield row

    def begin(self) -> None: ...

    def make(self, entry: Entry) -> None:
        if self._open is not None:
            raise Bug("an entry came before the one before it was whole")
        if entry.kind is not EntryKind.FILE:
            raise Bug(f"a {entry.kind} is not for this target")
        self._open = entry
        self._runs = self._sparse.pop(entry.path, None)
        self._run = self._at = 0
        self._gap = False
        self.begin_file(entry, self._runs)

    def write(self, entry: Entry, offset: int, data: bytes | memoryview) -> None:
        if self._open is None or entry.path != self._open.path:
            raise Bug("content came for a file that is not the one under way")
        in_data = self._enter_run()
        self._gap = self._gap or offset != self._at or not in_data
        if self._gap:
            return  # something before it cannot be had: `discard` comes
        self.send(data)
        self._at += len(data)

    def settle(self, entry: Entry) -> None:
        if self._runs is not None and not self._gap and not self._enter_run() and self._at < entry.size:
            self.skip_hole(self._at, entry.size)
            self._at = entry.size
        if self._gap or self._at != entry.size:
            raise Bug("a file was called good whose content did not go out whole")
        self.end_file()
        self._open = None

    def place(self, entry: Entry, data: bytes | memoryview) -> None:
        self.make(entry)
        if len(data):
            self.write(entry, 0, data)
        self.settle(entry)

    def add(self, file: SmallFile, content: Sequence[memoryview]) -> None:
        hasher = blake3()
        for view in content:
            hasher.update(view)
        entry = file.entry()
        if hasher.digest() != file.content_hash:
            self._lost.add(file.path)
            self._placed.lost.append(
                Problem(file.path, ProblemCode.LOST, "its content does not hash to what the manifest says")
            )
            self._placed.files += 1
            return
        self.make(entry)
        for view in content:
            self.write(entry, self._at, view)
        self.settle(entry)
        self._placed.files += 1
        self._placed.bytes_written += file.size

    def drain(self) -> None: ...

    def newly_placed(self) -> Placed:
        placed, self._placed = self._placed, Placed()
        return placed

    def discard(self, entry: Entry) -> None:
        if self._open is None:
            self._lost.add(entry.path)
            return
        shown = entry.path.decode("utf-8", "backslashreplace")
        raise RestoreIncomplete(
            f"{shown} has no good copy anywhere, and its beginning went out already: the output ends here, incomplete",
            self.spoilt_hint,
        )

    def finish(self) -> None:
        try:
            self._outlet.flush()
        except BrokenPipeError as error:
            raise OutletClosed("standard output was closed by its reader") from error
        except OSError as error:
            raise TargetFailed(f"standard output cannot be written: {error.strerror or error}") from error

    def close(self) -> None: ...

    def problems(self) -> list[Problem]:
        if not self._problems_more:
            return list(self._problems)
        said = f"there are {self._problems_more:,} more problems than can be listed"
        return [*self._problems, Problem(b"", ProblemCode.METADATA, said)]

    def report(self, path: bytes, code: ProblemCode, message: str) -> None:
        """Keep a problem for `problems`: the first `PROBLEMS_MAX`; the others are counted."""
        if len(self._problems) < limits.PROBLEMS_MAX:
            self._problems.append(Problem(path, code, message))
        else:
            self._problems_more += 1

    def _enter_run(self) -> bool:
        """Skip to the next run of data, over the hole before it, once this one is done; return whether one is left."""
        if self._runs is None:
            return True
        while self._run < len(self._runs):
            start, length = (int(one) for one in self._runs[self._run])
            if self._at < start:
                self.skip_hole(self._at, start)
                self._at = start
            if self._at < start + length:
                return True
            self._run += 1
        return False


def data_runs(extents: bytes) -> Runs | None:
    """Return where a file has data, or None where it has no hole. Pure."""
    if not extents or len(extents) % EXTENT_BYTES:
        return None
    view = view_extents(extents)
    data = np.ascontiguousarray(view["chunk"]).view("<u8").reshape(len(view), -1).any(axis=1)
    if data.all():
        return None
    ends = np.cumsum(view["length"].astype(np.int64))
    starts = ends - view["length"].astype(np.int64)
    edges = np.flatnonzero(np.diff(data.astype(np.int8), prepend=np.int8(0), append=np.int8(0)))
    firsts, lasts = edges[::2], edges[1::2] - 1
    runs = np.stack([starts[firsts], ends[lasts] - starts[firsts]], axis=1)
    kept: Runs = runs[runs[:, 1] > 0]
    return kept
