"""A tar archive as a restore target: pax with what GNU tar adds for holes, to a stream that is only written.

A header that was sent is final: see `OrderedTarget`. An archive that ends early has no end mark, and a file in
it that ends early is shorter than its header says, so every reader finds it broken.
"""

from __future__ import annotations

from typing import IO

from farshore.errors import ObjectCorrupt
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.targets.base import TargetKind
from farshore.targets.directory.posix_tree import NO_NAMES, shown
from farshore.targets.stream.ordered import OrderedTarget, Runs
from farshore.targets.stream.tar_headers import (
    BLOCK_BYTES,
    NoPlaceInTar,
    encode_header,
    encode_sparse_map,
    next_block,
    padding,
    unfit_attributes,
    whole_blocks,
)

_RECORD_BYTES = 20 * BLOCK_BYTES  # an archive is whole records


class TarStream(OrderedTarget):
    """Implements `Target` for an archive. One thread, and one more for `write`.

    Args:
        outlet: Where the archive goes; buffered, as headers are short.
    """

    kind = TargetKind.TAR
    spoilt_hint = (
        "Leave it out with --exclude, or restore into a directory, which keeps everything else; 'farshore verify' "
        "lists what is damaged."
    )

    def __init__(self, outlet: IO[bytes]) -> None:
        super().__init__(outlet)
        self._sent = 0
        self._number = 0
        self._size = 0  # of the file under way
        self._padding = 0  # after its data

    def make(self, entry: Entry) -> None:
        if b"\x00" in entry.path or (entry.path and any(name in NO_NAMES for name in entry.path.split(b"/"))):
            raise ObjectCorrupt(f"an entry has the path {shown(entry.path)!r}, which no backup makes")
        for name in unfit_attributes(entry):
            self.report(entry.path, ProblemCode.METADATA, f"the attribute {shown(name)} has no place in a tar")
        if entry.kind is EntryKind.FILE:
            super().make(entry)
            return
        if entry.kind is EntryKind.HARDLINK and entry.target in self._lost:
            self.report(
                entry.path, ProblemCode.VANISHED, f"{shown(entry.target)}, the same file, is not in the archive"
            )
            return
        try:
            self.send(encode_header(entry))
        except NoPlaceInTar as error:
            self._lost.add(entry.path)
            self.report(entry.path, ProblemCode.UNSUPPORTED, f"not restored: {error}")

    def begin_file(self, entry: Entry, runs: Runs | None) -> None:
        self._size = data_bytes = entry.size
        archived = None if runs is None else whole_blocks(runs, entry.size)
        if archived is not None:
            data_bytes = int(archived[:, 1].sum())
        self._padding = padding(data_bytes)
        if archived is None or data_bytes == entry.size:
            self.send(encode_header(entry))
            return
        self._number += 1
        sparse_map = encode_sparse_map(archived, entry.size)
        self.send(encode_header(entry, sparse_map=sparse_map, data_bytes=data_bytes, number=self._number))
        self.send(sparse_map)

    def end_file(self) -> None:
        self.send(bytes(self._padding))

    def skip_hole(self, start: int, end: int) -> None:
        size = self._size
        first = min(next_block(start), end) if start else 0
        last = end if end == size else end - end % BLOCK_BYTES
        self.send_zeros(end - start if first >= last else first - start + end - last)

    def send(self, data: bytes | memoryview) -> None:
        super().send(data)
        self._sent += len(data)

    def finish(self) -> None:
        end = 2 * BLOCK_BYTES
        self.send(bytes(end + -(self._sent + end) % _RECORD_BYTES))
        super().finish()
