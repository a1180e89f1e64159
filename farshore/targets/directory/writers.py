"""The writing processes of a restore: started when there are many small files, given batches, waited for.

While nothing has been started, files are placed right here, so a restore of a few files costs no process.
"""

from __future__ import annotations

import logging
import os
import selectors
from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from farshore import limits
from farshore.errors import TargetFailed
from farshore.handles import Handle
from farshore.targets.base import Placed, SmallFile
from farshore.targets.directory.batches import (
    CONTENT_BYTES,
    ORDER,
    PLACE,
    RECORD_BYTES,
    SLOT_BYTES,
    Answer,
    decode_answer,
    encode_records,
    make_slots,
    map_shared,
)
from farshore.targets.directory.placing import FilePlacer
from farshore.targets.directory.posix_metadata import MetadataWriter
from farshore.targets.directory.posix_tree import TargetTree
from farshore.workers import Worker, close_all, processes_that_pay, spawn

_log = logging.getLogger(__name__)
_MODULE = "farshore.targets.directory.writing_process"
_ORDERS_AHEAD = 2  # for one process: the next batch is there when one is done


@dataclass(slots=True)
class _Writer:
    worker: Worker
    busy: int = 0  # orders not answered


class FileWriters:
    """Places whole small files, in the order given or at the same time. `add` and `drain` from one thread.

    Args:
        root: Of the target, open; it must stay open until `close`.
        processes: How many to use, or None for as many as pay; 0 places everything in this one.
    """

    def __init__(
        self, *, tree: TargetTree, metadata: MetadataWriter, root: Handle, path: Path, processes: int | None
    ) -> None:
        self._tree = tree
        self._root = root
        self._path = path
        self._here = FilePlacer(tree=tree, metadata=metadata)
        self._processes = processes_that_pay(limits.WRITING_PROCESSES_MAX) if processes is None else processes
        self._slots = self._processes * _ORDERS_AHEAD + 1
        self._writers: list[_Writer] = []
        self._selector = selectors.DefaultSelector()
        self._shared: mmap | None = None
        self._memory = memoryview(bytearray(CONTENT_BYTES))  # of the batch being filled; later a slot
        self._free: list[int] = []
        self._slot = -1
        self._files: list[SmallFile] = []
        self._filled = 0
        self._placed = Placed()
        self._placed_here = 0

    def add(self, file: SmallFile, content: Sequence[memoryview]) -> None:
        """Add a file of at most `SLOT_CONTENT_BYTES`; its content is copied. It may be placed later, by `drain`.

        Raises:
            TargetFailed: The target cannot be written, which an earlier file may have shown.
            ObjectCorrupt: Likewise for a path that no backup makes.
        """
        if self._filled + file.size > CONTENT_BYTES or len(self._files) >= limits.SLOT_FILES_MAX:
            self._give()
        at = self._filled
        for view in content:
            self._memory[at : at + len(view)] = view
            at += len(view)
        self._filled = at
        self._files.append(file)

    def drain(self) -> None:
        """Place all that was added. Raises as `add`."""
        if self._files:
            self._give()
        while any(writer.busy for writer in self._writers):
            self._receive_answers()

    def newly_placed(self) -> Placed:
        """Return the outcome of the files placed since the last call."""
        placed, self._placed = self._placed, Placed()
        return placed

    def close(self) -> None:
        """End every process, and drop what was not placed. Safe to repeat."""
        self._end()
        self._selector.close()
        self._memory.release()
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    def _end(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            self._selector.unregister(writer.worker.answers)
        close_all(writer.worker for writer in writers)

    def _give(self) -> None:
        """Have the batch placed, and begin another."""
        files, self._files = self._files, []
        filled, self._filled = self._filled, 0
        if not self._writers:
            self._placed.add(self._here.place(files, self._memory[:filled]))
            self._placed_here += len(files)
            if self._processes and self._placed_here >= limits.SLOT_FILES_MAX:
                self._start()
            return
        records = encode_records(files)
        if len(records) > RECORD_BYTES:  # attributes of a size that few files have
            self._placed.add(self._here.place(files, self._memory[:filled]))
            return
        self._memory[CONTENT_BYTES : CONTENT_BYTES + len(records)] = records
        writer = min(self._writers, key=lambda one: one.busy)
        writer.worker.send(PLACE, ORDER.pack(self._slot, len(records)))
        writer.busy += 1
        while not self._free:
            self._receive_answers()
        self._enter(self._free.pop())

    def _start(self) -> None:
        """Start the processes; where that cannot be done, files are placed here until the end."""
        try:
            shared = make_slots(self._slots)
            try:
                self._shared = map_shared(shared, self._slots)
                for _ in range(self._processes):
                    self._writers.append(self._spawn(shared))
            finally:
                os.close(shared)
        except OSError as error:
            _log.warning("no process to write files could be started, so this one does: %s", error)
            self._processes = 0
            self._end()
            return
        self._free = list(range(1, self._slots))
        self._enter(0)

    def _spawn(self, shared: int) -> _Writer:
        facts = [str(self._root.fd), str(shared), str(self._slots), os.fspath(self._path), self._tree.token]
        # Unbuffered: an answer that waits in a buffer of ours would never wake the selector.
        writer = _Writer(spawn(_MODULE, facts, pass_fds=(self._root.fd, shared), bufsize=0))
        self._selector.register(writer.worker.answers, selectors.EVENT_READ, writer)
        return writer

    def _enter(self, slot: int) -> None:
        """Fill this slot next."""
        self._slot = slot
        self._memory = memoryview(self._shared)[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]  # type: ignore[arg-type]

    def _receive_answers(self) -> None:
        """Wait for an answer, and receive all that are there."""
        for key, _ in self._selector.select():
            writer: _Writer = key.data
            frame = writer.worker.receive()
            if frame is None:
                raise self._ended(writer)
            slot, answer = decode_answer(frame[1])
            writer.busy -= 1
            self._free.append(slot)
            self._count(answer)

    def _count(self, answer: Answer) -> None:
        for problem in answer.problems:
            self._tree.report(problem.path, problem.code, problem.message)
        if answer.error is not None:
            raise answer.error
        self._placed.add(answer.placed)

    def _ended(self, writer: _Writer) -> TargetFailed:
        """Return the error of a process that ended before its orders did."""
        how = writer.worker.how_it_ended()
        return TargetFailed(f"a process that writes files to {self._path} ended {how}, and some of them are missing")
