"""A process that walks spans of a directory tree: Python lists and looks at names on one core only.

A worker of `Walkers`, which imports little, so that starting is quick. It ends when nobody reads its answers, so it
cannot outlive the backup.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
from itertools import islice
from typing import IO

from farshore import limits
from farshore.errors import SourceUnavailable
from farshore.frames import read_frame, reporting_failure, write_frame
from farshore.handles import DIRECTORY_FLAGS, DirectoryHandles, Handle
from farshore.model import ProblemCode
from farshore.sources.directory import walking_protocol as protocol
from farshore.sources.directory.attributes import AttributeWalk
from farshore.sources.directory.metadata import reason
from farshore.sources.directory.walk import Walk


def serve(root: Handle, orders: protocol.WalkOrders, answers: IO[bytes]) -> None:
    """Walk the ordered spans and send the names found; an error is sent too, and ends the process."""

    def report(path: bytes, code: ProblemCode, message: str) -> None:
        write_frame(answers, protocol.PROBLEM, pickle.dumps((path, code, message)))

    with reporting_failure(answers, protocol.FAILED, "a walking process"):
        handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        walk = (AttributeWalk if orders.options.attributes else Walk)(
            handles=handles, options=orders.options, report=report
        )
        for span in orders.spans():
            names = walk.find(span)
            found = list(islice(names, limits.WALK_FRAME_ENTRIES))
            write_frame(answers, protocol.BEGIN, pickle.dumps(protocol.WalkStarted(walk.entered, walk.lost)))
            while found:
                attributes = walk.pop_attributes() if isinstance(walk, AttributeWalk) else {}
                write_frame(answers, protocol.NAMES, *protocol.encode_attributed(found, attributes, report))
                found = list(islice(names, limits.WALK_FRAME_ENTRIES))
            write_frame(answers, protocol.END, pickle.dumps(walk.straddling))


def main() -> None:
    """Serve with the argument of `Walkers`, the descriptor of the tree's root, and one order."""
    gc.disable()  # what is found is tuples, without cycles
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=64 * limits.KIB)
    frame = read_frame(sys.stdin.buffer)
    if frame is None:
        return  # the backup has ended already
    try:
        # Opened anew: processes that share one open directory would share how far each has listed it.
        root = Handle(os.open(".", DIRECTORY_FLAGS, dir_fd=int(sys.argv[1])))
    except OSError as error:
        failed = SourceUnavailable(f"the root of the source cannot be listed: {reason(error)}")
        write_frame(answers, protocol.FAILED, pickle.dumps(failed))
        return
    serve(root, protocol.decode_orders(frame[1]), answers)


if __name__ == "__main__":
    main()
