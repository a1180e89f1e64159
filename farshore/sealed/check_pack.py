"""Check that packs open: their bytes are the ones that were written, and every chunk can be read from them.

The name of a pack proves its bytes to anybody. With a writer's keys the footer is opened too; with a reader's keys
every segment is opened and every chunk hashed, as a restore would do. A pack checked at one replica needs no second
check at another one where its bytes hash to the same name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from farshore import limits
from farshore.errors import READ_ERRORS, Corrupt, KeyMissing, ObjectCorrupt
from farshore.format import pack as layout
from farshore.format.fragments import FragmentEntry
from farshore.format.needs import NeededKey
from farshore.page_pool import make_pages
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import entry_of, open_footer

NamedKey = tuple[NeededKey, DataKey]


@dataclass
class PackFindings:
    """Packs that were opened to the last chunk. `data_keys`: the objects whose keys opened the proven ones.

    `bad`: packs that are what their names say, and hold a segment or a chunk that is not what their footer says.
    """

    proven: set[bytes] = field(default_factory=set)
    data_keys: set[NeededKey] = field(default_factory=set)
    bad: set[bytes] = field(default_factory=set)


class PackChecker:
    """Opens packs. Safe from many threads; each holds one segment at a time.

    Args:
        data_keys: Returns the objects that may give a run's data key by its id, with the keys, or raises. A key that
            cannot be read is a finding of its own, so the segments sealed with it are skipped.
        maker: Returns who made a pack, as the end of a message; its bytes are proof against its signer.
        made_here: Whether somebody signed a pack who may make one.
    """

    def __init__(
        self,
        *,
        keys: KeySet,
        data_keys: Callable[[str], Sequence[NamedKey]],
        maker: Callable[[FragmentEntry], str] = lambda _: "",
        made_here: Callable[[FragmentEntry], bool] = lambda _: True,
    ) -> None:
        self._keys = keys
        self._made_here = made_here
        self._read_keys = data_keys
        self._maker = maker
        self._data_keys: dict[bytes, Sequence[NamedKey]] = {}
        self._checked: set[bytes] = set()
        self._findings = PackFindings()
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
            self._check(pack_id, entry, data)
        except KeyMissing:
            pass
        except Corrupt as error:
            raise ObjectCorrupt(f"{error} {self._maker(entry)}".rstrip()) from error
        with self._lock:
            self._checked.add(pack_id)

    def drain_findings(self) -> PackFindings:
        """Return what was found of packs since the last call."""
        with self._lock:
            found, self._findings = self._findings, PackFindings()
        return found

    def _check(self, pack_id: bytes, entry: FragmentEntry, data: bytes) -> None:
        keys = self._keys.at(layout.key_tag_of(entry.header))
        plain = open_footer(keys, entry.header, entry.sealed_footer)
        footer = layout.decode_footer(plain, layout.body_bytes_of(entry.header))
        if not keys.can_read:
            return
        opened_by: set[NeededKey | None] = set()
        for number in range(len(footer.segments)):
            try:
                opened_by.add(self._check_segment(keys, footer, number, memoryview(data)))
            except Corrupt:
                with self._lock:
                    self._findings.bad.add(pack_id)
                raise
        if None not in opened_by:
            with self._lock:
                self._findings.proven.add(pack_id)
                self._findings.data_keys.update(key for key in opened_by if key is not None)

    def _check_segment(self, keys: KeySet, footer: layout.Footer, number: int, data: memoryview) -> NeededKey | None:
        """Return the object whose key opens a segment; None where none can be read.

        Raises:
            ObjectCorrupt: A chunk does not hash to its id, or no key of the run opens it.
        """
        origin = footer.origins[int(footer.segments[number]["origin"])]
        wrong: Corrupt | None = None
        for named, data_key in self._keys_of(origin.key_id):
            try:
                open_segment_at(footer, number, data, self._buffer, keys=keys, data_key=data_key)
            except Corrupt as error:  # anybody can seal another key under this id
                wrong = wrong or error
                continue
            return named
        if wrong is not None:
            raise wrong
        return None

    def _buffer(self, length: int) -> memoryview:
        """Return memory for a segment: this thread's, until it opens the next."""
        buffer: memoryview | None = getattr(self._buffers, "buffer", None)
        if buffer is None or len(buffer) < length:
            buffer = self._buffers.buffer = make_pages(max(length, limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX))
        return buffer[:length]

    def _keys_of(self, key_id: bytes) -> Sequence[NamedKey]:
        with self._lock:
            if key_id not in self._data_keys:
                try:
                    self._data_keys[key_id] = self._read_keys(key_id.hex())
                except READ_ERRORS:
                    self._data_keys[key_id] = ()
            return self._data_keys[key_id]
