"""When runs of a list are merged: a pure rule for manifests, needs and page maps alike.

A list is read by reading all its runs, so it stays short and its runs together little larger than one run of
everything would be; and a merge writes again what an earlier night wrote, so merges are put off as long as that holds.
tests/unit/catalog/test_merge_policy.py counts the bytes of a year. Index fragments are a set of several writers, and
folded by another rule (`fold_fragments.py`): decision 0058 says why.
"""

from __future__ import annotations

from collections.abc import Sequence

RUNS_MAX = 10  # of one list; a reader asks for each
READ_MAX = 1.5  # bytes of all runs, of those that one run of everything would have


def runs_to_merge(sizes: Sequence[int], tonight: int, full: int, *, runs_max: int = RUNS_MAX) -> int:
    """Return how many of the newest runs are merged with tonight's into one: 0 for none, all of them for a full run.

    The list never gets longer than `runs_max`, and its bytes never exceed `READ_MAX` of `full`, whichever nights
    follow. While there is room, tonight's run is only appended. Else the fewest runs are merged that leave an older one
    at least as large before them: of equal nights each row is then written three times while 54 of them follow a full
    run, as in a binomial merge.

    Args:
        sizes: Bytes of the runs, oldest first; the first has everything of its night.
        tonight: Bytes that are new tonight; of 0 nothing needs writing, and 0 is returned.
        full: About the bytes of one run of everything that there is tonight.
        runs_max: At least 2.
    """
    if not sizes or not tonight:
        return 0
    if sum(sizes) + tonight > READ_MAX * full:
        return len(sizes)
    if len(sizes) < runs_max:
        return 0
    merged = tonight
    for count, size in enumerate(reversed(sizes)):
        if count and size >= merged:
            return count
        merged += size
    return len(sizes)
