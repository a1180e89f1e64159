"""`make fuzz`: every decoder, for some minutes, with mutated objects. Finds go to tests/fuzz/corpus."""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")


def run(kind: str, *, seconds: float, seed: int, folder: Path) -> bool:
    """Fuzz one kind in a process of its own; return whether nothing was found. An input that ended it is kept."""
    command = [sys.executable, "-m", "tests.fuzz.loop", kind, str(seconds), str(seed), str(folder)]
    done = subprocess.run(command, cwd=CORPUS.parents[2], check=False, timeout=seconds + 300)
    begun = folder / f".{kind}-{seed}"
    if begun.exists():
        begun.rename(folder / f"{kind}-ended-{seed}")
        print(f"{kind}: the process ended with {done.returncode}")
    return done.returncode == 0


def main() -> int:
    """Fuzz the kinds that are asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for all kinds together (%(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="any number; printed")
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(TARGETS)}; all when none is given")
    wanted = parser.parse_args()
    kinds = wanted.kinds or list(TARGETS)
    each_s = wanted.seconds / len(kinds)
    sound = [run(kind, seconds=each_s, seed=wanted.seed, folder=CORPUS) for kind in kinds]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
