"""Many histories, in several processes: each begins with a copy of what its process made once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from itertools import islice

from tests.simulation.history import Outcome, play
from tests.simulation.mutants import planted
from tests.simulation.world import make_base, scratch

Block = tuple[int, int, str | None]  # the first seed, the one after the last, a mutant


def play_block(block: Block, *, shows_reads: bool = False) -> list[Outcome]:
    """Play the histories of a few seeds, one after the other."""
    first, last, mutant = block
    with scratch() as root, planted(mutant):
        base = make_base(root)
        return [play(base, root, seed, shows_reads=shows_reads) for seed in range(first, last)]


def play_all(blocks: Iterator[Block], processes: int) -> Iterator[Outcome]:
    """Yield outcomes in order of their seeds. Ends its processes where nobody asks for more."""
    if processes == 1:
        for block in blocks:
            yield from play_block(block)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        waiting = [pool.apply_async(play_block, (one,)) for one in islice(blocks, 2 * processes)]
        while waiting:
            yield from waiting.pop(0).get()
            waiting += [pool.apply_async(play_block, (one,)) for one in islice(blocks, 1)]
