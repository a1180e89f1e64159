"""The packs that replicas list, joined: 40 bytes a pack, and 8 more for each replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.catalog.listings import PackListing
from farshore.format.footers import PACK_ID_DTYPE
from farshore.index import ABSENT, IdRows

Table = npt.NDArray[Any]


class ListedPacks:
    """Every pack that some replica lists, by row, with its size at each replica. One thread until it is complete."""

    def __init__(self, listings: Mapping[str, PackListing]) -> None:
        self.ids: Table = np.zeros(0, PACK_ID_DTYPE)
        for listing in listings.values():
            new = listing.pack_ids[IdRows(self.ids).find(listing.pack_ids) == ABSENT]
            self.ids = np.concatenate((self.ids, new))
        self._rows = IdRows(self.ids)
        self._bytes = {name: np.full(len(self.ids), ABSENT, np.int64) for name in listings}
        for name, listing in listings.items():
            self._bytes[name][self.find(listing.pack_ids)] = listing.pack_bytes

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, pack_ids: Sequence[str] | Table) -> Table:
        """Return the row of each pack, or `ABSENT`."""
        raw = pack_ids if isinstance(pack_ids, np.ndarray) else [bytes.fromhex(pack_id) for pack_id in pack_ids]
        return self._rows.find(raw)

    def pack_id(self, row: int) -> str:
        """Return the id of a row as text."""
        return bytes(self.ids[row]).hex()

    def bytes_at(self, replica: str, row: int) -> int:
        """Return the size that a replica lists, or `ABSENT`."""
        return int(self._bytes[replica][row])

    def sizes_at(self, replica: str, rows: Table) -> Table:
        """Return for each row the size that a replica lists, or `ABSENT`."""
        sizes: Table = self._bytes[replica][rows]
        return sizes

    def holders(self, row: int) -> list[str]:
        """Return the replicas that list a pack with a size that is right, as far as it is known."""
        return [name for name in self._bytes if self.bytes_at(name, row) != ABSENT]

    def lists(self, rows: Table, replica: str | None = None) -> Table:
        """Return for each row whether one replica lists it with the right size, or any."""
        found = np.zeros(len(rows), dtype=bool)
        for name in [replica] if replica else self._bytes:
            found |= self._bytes[name][rows] != ABSENT
        return found

    def drop_other_sizes(self, rows: Table, pack_bytes: Table) -> None:
        """Treat packs as missing where they are listed with another size: they are damaged there."""
        for sizes in self._bytes.values():
            sizes[rows[sizes[rows] != pack_bytes]] = ABSENT
