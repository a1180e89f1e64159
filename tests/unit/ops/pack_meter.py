"""A wrapper that notes which ranges of packs are read from a store."""

from __future__ import annotations

from farshore.format import names
from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.base import Store
from farshore.stores.wrappers import WrappingStore


class PackMeter(WrappingStore):
    """The same store; `reads` has name, offset and length of every read of a pack, in the order of the answers."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reads: list[tuple[str, int, int]] = []

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        data = self._store.get(name, offset, length, bytes_max=bytes_max)
        if name.startswith(names.PACKS):
            self.reads.append((name, offset, len(data)))
        return data


class PackMeters:
    """The meters of all stores that were wrapped."""

    def __init__(self) -> None:
        self._meters: list[PackMeter] = []

    def wrap(self, _: str, store: Store) -> Store:
        """Return a store with a meter, as `Engine.wrap` wants it."""
        self._meters.append(PackMeter(store))
        return self._meters[-1]

    def clear(self) -> None:
        """Forget what was read."""
        for meter in self._meters:
            meter.reads.clear()

    @property
    def reads(self) -> list[tuple[str, int, int]]:
        """Everything that was read since."""
        return [read for meter in self._meters for read in meter.reads]

    @property
    def bytes_read(self) -> int:
        return sum(length for *_, length in self.reads)
