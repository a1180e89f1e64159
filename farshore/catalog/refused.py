"""Objects that were read and count for nothing, so that what somebody planted is not read in each run."""

from __future__ import annotations

from farshore import limits
from farshore.replicas.cache import ObjectCache

_UNREADABLE = b"unreadable"


class RefusedObjects:
    """The refused objects that one run knows, and how many more it may read: of each kind within two bounds.

    One is of objects and one of bytes, because an object may be as large as any of its kind. Refused ones are kept in
    the cache of this host, for one state of the owner log.

    Args:
        folder: Of the cache: one for each question, because an object may count for one and not for another.
    """

    def __init__(self, cache: ObjectCache, moment: str, folder: str = "refused") -> None:
        self._cache = cache
        self._folder = folder
        self._moment = moment.encode()
        self.met = 0
        self._met_bytes = 0

    def remembers(self, name: str) -> bool:
        """Whether an object was refused before, and nothing has changed since that could make it count."""
        return self._cache.get(self._entry(name)) == self._moment

    def note(self, name: str, size: int) -> None:
        """Remember an object, of which `size` bytes were read."""
        self.met += 1
        self._met_bytes += size
        self._cache.put(self._entry(name), self._moment)

    def note_unreadable(self, name: str, size: int) -> None:
        """Count an object that was not what its name says: another copy of it may be, so it is read again, last."""
        self.met += 1
        self._met_bytes += size
        self._cache.put(self._entry(name), _UNREADABLE)

    def was_unreadable(self, name: str) -> bool:
        """Whether an object was not what its name says when it was last read."""
        return self._cache.get(self._entry(name)) == _UNREADABLE

    def exhausted(self, known: int, known_bytes: int = 0) -> bool:
        """Whether a bound is reached, so that this run reads no more unknown ones.

        Args:
            known: How many objects count. A run that has many reads as many more.
            known_bytes: Their bytes.
        """
        enough = max(limits.UNKNOWN_BYTES_MAX, known_bytes)
        return self.met >= max(limits.UNKNOWN_OBJECTS_MAX, 2 * known) or self._met_bytes >= enough

    def _entry(self, name: str) -> str:
        return f"{self._folder}/{name.replace('/', '-')}"
