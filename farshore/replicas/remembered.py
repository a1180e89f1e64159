"""Words that a host keeps in its cache between commands, one a line: losing them costs reads and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from farshore import limits
from farshore.replicas.cache import ObjectCache


def remembered(cache: ObjectCache, entry: str) -> set[str]:
    """Return the words of an entry; none where it is not there or cannot be read."""
    data = cache.get(entry)
    try:
        return set() if data is None else set(data.decode("ascii").split("\n")) - {""}
    except UnicodeDecodeError:
        cache.drop(entry)
        return set()


def remember(cache: ObjectCache, entry: str, words: Iterable[str]) -> None:
    """Add words to an entry, of at most `REMEMBERED_MAX`. Of two processes at once one may lose its words."""
    before = remembered(cache, entry)
    after = before | set(words)
    if after != before and len(after) <= limits.REMEMBERED_MAX:
        _write(cache, entry, after)


def forget_all_but(cache: ObjectCache, entry: str, words: Collection[str]) -> None:
    """Keep only these words of an entry."""
    if remembered(cache, entry) - set(words):
        _write(cache, entry, words)


def _write(cache: ObjectCache, entry: str, words: Collection[str]) -> None:
    cache.put(entry, "\n".join(sorted(words)).encode("ascii"))
