"""Check that packs open: their bytes are the ones that were written, and every chunk can be read from them.

The name of a pack proves its bytes to anybody. With a writer's keys the footer is opened too; with a reader's keys
every segment is opened and every chunk hashed, as a restore would do. A pack checked at one replica needs no second
check at another one where its bytes hash to the same name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from farshore import limits
from farshore.errors import READ_ERRORS, Corrupt, KeyMissing, ObjectCorrupt
from farshore.format import pack as layout
from farshore.format.fragments import FragmentEntry
from farshore.page_pool import make_pages
from farshore.sealed.data_key import DataKey
from farshore.sealed.keys import KeySet
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import entry_of, open_footer


class PackChecker:
    """Opens packs. Safe from many threads; each holds one segment at a time.

    Args:
        data_key: Returns a run's data key by its id, or raises. A key that cannot be read is a finding of its own,
            so the segments sealed with it are skipped.
        maker: Returns who made a pack, as the end of a message; its bytes are proof against its signer.
        made_here: Whether somebody signed a pack who may make one.
    """

    def __init__(
        self,
        *,
        keys: KeySet,
        data_key: Callable[[str], DataKey],
        maker: Callable[[FragmentEntry], str] = lambda _: "",
        made_here: Callable[[FragmentEntry], bool] = lambda _: True,
    ) -> None:
        self._keys = keys
        self._made_here = made_here
        self._read_key = data_key
        self._maker = maker
        self._data_keys: dict[bytes, DataKey | None] = {}
        self._checked: set[bytes] = set()
        self._lock = threading.Lock()
        self._buffers = threading.local()

    def is_planted(self, data: bytes) -> bool:
        """Whether bytes that have the hash in a pack's name are no pack of anybody who may make one."""
        try:
            return not self._made_here(entry_of(data))
        except Corrupt:
            return True

    def check(self, pack_id: bytes, data: bytes) -> None:
        """Open a pack whose bytes hash to its name; one of a domain whose keys are not at hand is left at that.

        Raises:
            ObjectCorrupt, FormatTooNew: Something in it does not open, or is not what it is called.
        """
        with self._lock:
            if pack_id in self._checked:
                return
        entry = entry_of(data)
        try:
            self._check(entry, data)
        except KeyMissing:
            pass
        except Corrupt as error:
            raise ObjectCorrupt(f"{error} {self._maker(entry)}".rstrip()) from error
        with self._lock:
            self._checked.add(pack_id)

    def _check(self, entry: FragmentEntry, data: bytes) -> None:
        keys = self._keys.at(layout.key_tag_of(entry.header))
        plain = open_footer(keys, entry.header, entry.sealed_footer)
        footer = layout.decode_footer(plain, layout.body_bytes_of(entry.header))
        if keys.can_read:
            for number in range(len(footer.segments)):
                self._check_segment(keys, footer, number, memoryview(data))

    def _check_segment(self, keys: KeySet, footer: layout.Footer, number: int, data: memoryview) -> None:
        origin = footer.origins[int(footer.segments[number]["origin"])]
        data_key = self._data_key(origin.key_id)
        if data_key is not None:
            open_segment_at(footer, number, data, self._buffer, keys=keys, data_key=data_key)

    def _buffer(self, length: int) -> memoryview:
        """Return memory for a segment: this thread's, until it opens the next."""
        buffer: memoryview | None = getattr(self._buffers, "buffer", None)
        if buffer is None or len(buffer) < length:
            buffer = self._buffers.buffer = make_pages(max(length, limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX))
        return buffer[:length]

    def _data_key(self, key_id: bytes) -> DataKey | None:
        with self._lock:
            if key_id not in self._data_keys:
                try:
                    self._data_keys[key_id] = self._read_key(key_id.hex())
                except READ_ERRORS:
                    self._data_keys[key_id] = None
            return self._data_keys[key_id]
