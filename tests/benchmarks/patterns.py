"""How long patterns take: for an ordinary list of them, and in the worst cases that somebody could make up.

    python -m tests.benchmarks.patterns

The first figure is for 100,000 names as a home directory has them. The others are for one name of growing length: time
must grow no faster than the product of the lengths of pattern and name, so the last column stays about the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from farshore.sources.directory.globs import Globs

_WORDS = "**/.cache/** *.tmp build/ !keep.tmp /var/lib/docker *~ node_modules/ core.[0-9]* *.py[co] src/**/target/"
ORDINARY = _WORDS.split()
_NAMES = 100_000


def ordinary_names() -> list[bytes]:
    """Return paths of a few directories deep, a tenth of which a pattern chooses."""
    ends = (b".txt", b".py", b".jpg", b".tmp", b".c", b".h", b"", b".o", b".pyc", b".md")
    return [b"home/user%d/projects/p%d/file-%d%b" % (at % 7, at % 113, at, ends[at % 10]) for at in range(_NAMES)]


def worst_cases(length: int) -> Iterator[tuple[str, bytes]]:
    """Yield patterns that make a matcher try again and again, each with a name or path of about this length."""
    yield "*-*-*-*-*.tmp", b"-" * length
    yield "*a" * 60 + "b", b"a" * length
    yield "*a" * 60 + "*b*", b"a" * length
    yield "*[a-c]?[!x]" * 20 + "z", b"a" * length
    yield "**/a/" * 20 + "b", b"a/" * (length // 2) + b"c"
    yield "/**/*a*a*a" * 6 + "/b", b"aaaaaaa/" * (length // 8) + b"c"
    yield "*" + "a" * 60 + "b*", b"a" * length
    yield "a**/" + "*a/**/" * 10 + "b", b"aa/" * (length // 3) + b"c"
    yield "x/**/" + "?/" * 40 + "b", b"x/" + b"a/" * (length // 2) + b"c"


def seconds(globs: Globs, paths: list[bytes]) -> float:
    """Return the least time of three in which all the paths were tried."""
    best = float("inf")
    for _ in range(3):
        start = perf_counter()
        for path in paths:
            globs.match(path, directory=False)
        best = min(best, perf_counter() - start)
    return best


def main() -> None:
    """Print a table."""
    names = ordinary_names()
    print(f"{len(ORDINARY)} ordinary patterns, {_NAMES:,} names: {seconds(Globs(ORDINARY), names):.3f} s")
    print(f"{'pattern':<40} {'bytes':>7} {'ms':>9} {'ns by the product':>18}")
    for length in (250, 4_000, 64_000):
        for pattern, path in worst_cases(length):
            took = seconds(Globs([pattern]), [path])
            shown = pattern if len(pattern) <= 40 else pattern[:37] + "..."
            print(f"{shown:<40} {len(path):>7} {took * 1e3:>9.3f} {took * 1e9 / (len(pattern) * len(path)):>18.2f}")


if __name__ == "__main__":
    main()
