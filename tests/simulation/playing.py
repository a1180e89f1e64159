"""Many histories, in several processes: each begins with a copy of what its process made once."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.simulation.base import Base, make_base, scratch
from tests.simulation.history import Outcome, play
from tests.simulation.mutants import planted


@dataclass(frozen=True)
class Block:
    """A few seeds, played one after the other: from `first` to before `end`."""

    first: int
    end: int
    mutant: str | None = None
    shows_reads: bool = False
    to_the_end: bool = True


def play_all(blocks: Iterator[Block], processes: int) -> Iterator[Outcome]:
    """Yield outcomes in order of their seeds. Ends its processes where nobody asks for more."""
    with scratch() as root:
        if processes == 1:
            for block in blocks:
                yield from _play_block(root, block)
            return
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            waiting = [pool.apply_async(_play_block, (root, one)) for one in islice(blocks, 2 * processes)]
            while waiting:
                yield from waiting.pop(0).get()
                waiting += [pool.apply_async(_play_block, (root, one)) for one in islice(blocks, 1)]


def _play_block(root: Path, block: Block) -> list[Outcome]:
    own = root / str(os.getpid())
    base = _base(own)
    with planted(block.mutant):
        return [
            play(base, own, seed, shows_reads=block.shows_reads, to_the_end=block.to_the_end)
            for seed in range(block.first, block.end)
        ]


@functools.cache
def _base(own: Path) -> Base:
    own.mkdir()
    return make_base(own)
