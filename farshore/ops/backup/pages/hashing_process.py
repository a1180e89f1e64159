"""A process that hashes pages in memory that it shares with the backup: Python calls for pages on one core only.

Started by `PageHashers` and fed by it. It has the key of page hashes and no other, and opens nothing. It ends when its
orders end, so it cannot outlive the backup. It loads little, because one is started for each core.

    to it        the key, then orders: room u32 ‖ bytes of the room that count u32 ‖ bytes of a page u32
    from it      for each order, in order, the hashes of its pages
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import sys
from typing import IO

from farshore import limits
from farshore.chunking.page_hashes import hash_each, split_pages

ORDER = struct.Struct("<III")
KEY_BYTES = 32


def serve(memory: memoryview, orders: IO[bytes], answers: IO[bytes]) -> None:
    """Hash what is ordered until there are no more orders."""
    page_key = orders.read(KEY_BYTES)
    page_bytes = 0
    pages: dict[int, list[memoryview]] = {}  # of each whole room; a page takes a tenth less where it is cut out once
    while len(order := orders.read(ORDER.size)) == ORDER.size:
        number, length, page = ORDER.unpack(order)
        if page != page_bytes:
            page_bytes, pages = page, {}
        room = memory[number * limits.ROOM_BYTES : number * limits.ROOM_BYTES + length]
        if length < limits.ROOM_BYTES:
            cut = split_pages(room, page_bytes)
        else:
            cut = pages.get(number) or pages.setdefault(number, split_pages(room, page_bytes))
        answers.write(hash_each(cut, page_key))
        answers.flush()


def main() -> None:
    """Serve with what `PageHashers` hands over: the descriptor and the size of the shared memory."""
    shared, size = map(int, sys.argv[1:])
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        serve(memoryview(mmap.mmap(shared, size, prot=mmap.PROT_READ)), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
