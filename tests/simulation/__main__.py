"""Play histories: `make simulate`, or `python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence

from tests.simulation.find_mutants import write_table
from tests.simulation.history import Outcome
from tests.simulation.mutants import MUTANTS
from tests.simulation.playing import Block, play_all

HASH_SEED = "0"  # the order of sets follows from it, and the order of calls from that
HISTORIES = 10_000
_BLOCK = 5  # seeds that a process plays in turn
_SHOWN_MAX = 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__,
        epilog="exit code 0: everything held; 1: some history did not",
    )  # fmt: skip
    parser.add_argument("--histories", type=int, default=HISTORIES, metavar="N", help="how many; the default is 10,000")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="of the first history")
    parser.add_argument("--until-s", type=float, default=0.0, metavar="S", help="go on with more until so long")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--seed", type=int, help="play this one alone, and print what happened in it")
    parser.add_argument("--reads", action="store_true", help="with --seed: print reads as well")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with one rule taken out; stop at the first fault")
    parser.add_argument("--find-mutants", action="store_true", help="find a seed for each, and write the table")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Play, print what did not hold, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.find_mutants:
        return write_table(options.processes)
    if options.seed is not None:
        return _show(options.seed, options.mutant, shows_reads=options.reads)
    started_s, played, failed = time.monotonic(), 0, 0
    for outcome in play_all(_blocks(options, started_s), options.processes):
        played += 1
        if not outcome.holds:
            failed += 1
            _print(outcome, options.mutant)
            if options.mutant or failed >= _SHOWN_MAX:
                break
        if played % 500 == 0:
            print(f"{played} histories, {failed} failed, {time.monotonic() - started_s:.0f} s", flush=True)
    print(f"{played} histories from seed {options.first}, {failed} failed, {time.monotonic() - started_s:.0f} s")
    return 1 if failed else 0


def _blocks(options: argparse.Namespace, started_s: float) -> Iterator[Block]:
    """Yield seeds, a few at a time: those that are asked for, and then more until the time is over."""
    at, last = options.first, options.first + options.histories
    while at < last or time.monotonic() - started_s < options.until_s:
        end = min(at + _BLOCK, last) if at < last else at + _BLOCK
        yield Block(at, end, options.mutant, to_the_end=not options.mutant)
        at = end


def _show(seed: int, mutant: str | None, *, shows_reads: bool) -> int:
    (outcome,) = play_all(iter([Block(seed, seed + 1, mutant, shows_reads, to_the_end=not mutant)]), 1)
    print("\n".join(outcome.lines))
    for fault in outcome.faults:
        print(f"DOES NOT HOLD: {fault}")
    verdict = "holds" if outcome.holds else "does not hold"
    print(f"seed {seed} {verdict}: {outcome.snapshots} snapshots, {outcome.calls} calls")
    return 0 if outcome.holds else 1


def _print(outcome: Outcome, mutant: str | None) -> None:
    print(f"seed {outcome.seed} DOES NOT HOLD:")
    for fault in outcome.faults[:3]:
        print(f"  {fault}")
    said = f" --mutant '{mutant}'" if mutant else ""
    print(f"  replay: python -m tests.simulation --seed {outcome.seed}{said}", flush=True)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": HASH_SEED},
        )  # fmt: skip
    sys.exit(main(sys.argv[1:]))
