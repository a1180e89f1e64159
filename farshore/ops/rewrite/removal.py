"""Which paths are removed from snapshots: patterns as `farshore restore --include` has them."""

from __future__ import annotations

from collections.abc import Sequence

from farshore.catalog.selection import Selection, SelectionOptions, candidates, from_top
from farshore.errors import ConfigInvalid
from farshore.sources.glob_expressions import why_void


class PatternRemoval:
    """Removes entries that match a pattern, with all below them. Never the root.

    Raises:
        ConfigInvalid: No pattern is given, or one can match nothing, or excludes again what others match.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        if not patterns:
            raise ConfigInvalid("nothing is named that is to be removed", "Give --remove PATTERN.")
        for one in patterns:
            why = "excludes again what others match" if one.startswith("!") else why_void(from_top(one))
            if why:
                raise ConfigInvalid(f"the pattern {one!r} {why}", "Write it as for 'farshore restore --include'.")
        self.patterns = tuple(patterns)
        self.candidates = candidates([from_top(one) for one in patterns])
        self._selection = Selection(SelectionOptions(include=self.patterns))

    def removes(self, path: bytes, *, directory: bool) -> bool:
        """Return whether an entry is removed, itself or with a directory above it."""
        return bool(path) and self._selection.selects(path, directory=directory)
