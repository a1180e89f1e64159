"""Prove that packs hold what they should: not only the bytes that were made, but chunks that come back.

The name of a pack proves its bytes to anybody. With keys at hand the footer opens, too; with a reader's keys every
segment is opened and every chunk hashed, as a restore would do. A pack that was proven at one replica is the same at
the others, where its bytes hash to the same name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from farshore import limits
from farshore.errors import FarshoreError
from farshore.format import pack as layout
from farshore.page_pool import make_pages
from farshore.sealed.keys import DataKey, KeySet
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import open_footer


class PackChecker:
    """Opens packs. Safe from many threads; each holds one segment at a time.

    Args:
        data_key: Returns a run's data key by its id, or raises where it cannot be had: that is told of the key, and the
            segments sealed with it are passed over.
    """

    def __init__(self, *, keys: KeySet, data_key: Callable[[str], DataKey]) -> None:
        self._keys = keys
        self._read_key = data_key
        self._data_keys: dict[bytes, DataKey | None] = {}
        self._proven: set[bytes] = set()
        self._lock = threading.Lock()
        self._rooms = threading.local()

    def prove(self, pack_id: bytes, data: bytes) -> None:
        """Open a pack whose bytes hash to its name.

        Raises:
            ObjectCorrupt, FormatTooNew: Something in it does not open, or is not what it is called.
        """
        with self._lock:
            if pack_id in self._proven:
                return
        footer = self._footer(data)
        if self._keys.private_key:
            for number in range(len(footer.segments)):
                self._prove_segment(footer, number, memoryview(data))
        with self._lock:
            self._proven.add(pack_id)

    def _footer(self, data: bytes) -> layout.Footer:
        length = layout.decode_tail(data[-layout.TAIL_BYTES :], len(data))
        start = len(data) - layout.TAIL_BYTES - length
        plain = open_footer(self._keys, data[: layout.HEADER_BYTES], data[start : start + length])
        return layout.decode_footer(plain, start)

    def _prove_segment(self, footer: layout.Footer, number: int, data: memoryview) -> None:
        origin = footer.origins[int(footer.segments[number]["origin"])]
        data_key = self._data_key(origin.key_id)
        if data_key is not None:
            open_segment_at(footer, number, data, self._room, keys=self._keys, data_key=data_key)

    def _room(self, length: int) -> memoryview:
        """Return memory for a segment: this thread's, until it opens the next."""
        room: memoryview | None = getattr(self._rooms, "room", None)
        if room is None or len(room) < length:
            room = self._rooms.room = make_pages(max(length, limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX))
        return room[:length]

    def _data_key(self, key_id: bytes) -> DataKey | None:
        with self._lock:
            if key_id not in self._data_keys:
                try:
                    self._data_keys[key_id] = self._read_key(key_id.hex())
                except FarshoreError:
                    self._data_keys[key_id] = None
            return self._data_keys[key_id]
