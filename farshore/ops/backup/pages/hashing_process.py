"""A process that hashes pages in memory that it shares with the backup: Python calls for pages on one core only.

A worker of `PageHashers`. It has the key of page hashes and no other, and opens nothing. It loads little, because one
is started for each core.

    to it        K the key · H hash a buffer: its index u32 ‖ valid bytes in it u32 ‖ bytes of a page u32
    from it      A the hashes of the pages of an H, in the order of these · X what went wrong
"""

from __future__ import annotations

import mmap
import struct
import sys
from typing import IO

from farshore import limits
from farshore.chunking.page_hashes import hash_each, split_pages
from farshore.frames import read_frame, reporting_failure, write_frame

KEY, HASH = b"K", b"H"
ANSWER, FAILED = b"A", b"X"
ORDER = struct.Struct("<III")


def serve(memory: memoryview, orders: IO[bytes], answers: IO[bytes]) -> None:
    """Hash pages until there are no more orders."""
    page_key = b""
    page_bytes = 0
    pages: dict[int, list[memoryview]] = {}  # of each whole buffer; slicing a page once saves a tenth of its time
    while (frame := read_frame(orders)) is not None:
        letter, body = frame
        if letter == KEY:
            page_key = body
            continue
        number, length, page = ORDER.unpack(body)
        if page != page_bytes:
            page_bytes, pages = page, {}
        buffer = memory[number * limits.HASHING_BUFFER_BYTES : number * limits.HASHING_BUFFER_BYTES + length]
        if length < limits.HASHING_BUFFER_BYTES:
            cut = split_pages(buffer, page_bytes)
        else:
            cut = pages.get(number) or pages.setdefault(number, split_pages(buffer, page_bytes))
        write_frame(answers, ANSWER, hash_each(cut, page_key))


def main() -> None:
    """Serve with the arguments of `PageHashers`: the descriptor and the size of the shared memory."""
    shared, size = map(int, sys.argv[1:])
    with reporting_failure(sys.stdout.buffer, FAILED, "a hashing process"):
        serve(memoryview(mmap.mmap(shared, size, prot=mmap.PROT_READ)), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
