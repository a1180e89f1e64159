"""A process that places batches of small files: Python makes files on one core only, and a restore is mostly that.

Started by `FileWriters` and fed by it; needs no key and opens no replica. It ends when its orders end, so it cannot
outlive the restore, and it is in a process group of its own, so an interrupt at the terminal reaches only the restore.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import IO

from farshore.errors import Bug, Failure
from farshore.frames import read_frame, write_frame
from farshore.handles import Handle
from farshore.targets.directory.batches import (
    ANSWER,
    CONTENT_BYTES,
    ORDER,
    SLOT_BYTES,
    Answer,
    decode_records,
    encode_answer,
    map_shared,
)
from farshore.targets.directory.placing import FilePlacer
from farshore.targets.directory.posix_metadata import MetadataWriter
from farshore.targets.directory.posix_tree import TargetTree
from farshore.targets.directory.replacing_tree import ReplacingTree


def serve(tree: TargetTree, shared: memoryview, orders: IO[bytes], answers: IO[bytes]) -> None:
    """Place every batch that is ordered, one after the other, until there are no more orders."""
    os.umask(0)  # files are made with the modes they had, in directories that are closed to others
    metadata = MetadataWriter(report=tree.report, exact=bool(tree.token))
    placer = FilePlacer(tree=tree, metadata=metadata)
    while (frame := read_frame(orders)) is not None:
        slot, record_bytes = ORDER.unpack(frame[1])
        memory = shared[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]
        try:
            files = decode_records(bytes(memory[CONTENT_BYTES : CONTENT_BYTES + record_bytes]))
            answer = Answer(placer.place(files, memory[:CONTENT_BYTES]), tree.new_problems())
        except Failure as error:
            answer = Answer(problems=tree.new_problems(), error=error)
        except Exception as error:  # noqa: BLE001  # the restore reports it; nobody reads this process
            answer = Answer(error=Bug(f"a writing process failed: {type(error).__name__}: {error}"))
        write_frame(answers, ANSWER, encode_answer(slot, answer))


def main() -> None:
    """Serve with what `FileWriters` hands over: descriptors of the root and of the memory, slots, path, token."""
    gc.disable()  # batches come and go without cycles
    root_fd, shared_fd, slots, path, token = sys.argv[1:]
    root = Handle(int(root_fd))
    tree = ReplacingTree(path=Path(path), root=root, token=token) if token else TargetTree(path=Path(path), root=root)
    with map_shared(int(shared_fd), int(slots)) as shared, memoryview(shared) as memory:
        serve(tree, memory, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
