"""Objects that were read and count for nothing, so that what somebody planted is not read in each run."""

from __future__ import annotations

from farshore import limits
from farshore.replicas.cache import ObjectCache


class RefusedObjects:
    """The refused objects that one run knows. Kept in the cache of this host, for one state of the owner log.

    Args:
        folder: Of the cache: one for each question, because an object may count for one and not for another.
    """

    def __init__(self, cache: ObjectCache, moment: str, folder: str = "refused") -> None:
        self._cache = cache
        self._folder = folder
        self._moment = moment.encode()
        self.met = 0

    def remembers(self, name: str) -> bool:
        """Whether an object was refused before, and nothing has changed since that could make it count."""
        return self._cache.get(self._entry(name)) == self._moment

    def note(self, name: str) -> None:
        """Remember an object."""
        self.met += 1
        self._cache.put(self._entry(name), self._moment)

    def exhausted(self, known: int) -> bool:
        """Whether the bound is reached, so that this run reads no more unknown ones."""
        return self.met >= max(limits.UNKNOWN_OBJECTS_MAX, 2 * known)

    def _entry(self, name: str) -> str:
        return f"{self._folder}/{name.replace('/', '-')}"
