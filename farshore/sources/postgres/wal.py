"""Positions in the write-ahead log, its segment files, and whether the segments of a backup are complete. Pure.

WAL segments are the one part of a base backup that its manifest has no checksum for, so each is checked here: it must
have its full size, and each page up to the backup's end must carry its own address. A segment that was recycled or cut
while it was being sent does not.
"""

from __future__ import annotations

import re
import struct
from dataclasses import field

from farshore.errors import SourceCorrupt
from farshore.model import dataclass

_SEGMENT = re.compile(rb"pg_wal/([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr, xlp_rem_len, padding; then on a segment's first page
# xlp_sysid, xlp_seg_size, xlp_xlog_blcksz.
_LONG_HEADER = "HHIQI4xQII"
_LONG_HEADER_BYTES = 40
_SHORT_HEADER_BYTES = 24
_LONG_HEADER_FLAG = 2
_PAGE_INFO_OFFSET = 2
_PAGE_ADDRESS_OFFSET = 8
_PAGE_REMAINING_OFFSET = 16  # bytes of a record that began on the page before
# A record: xl_tot_len, xl_xid, xl_prev, xl_info, xl_rmid, padding, xl_crc.
_RECORD_HEADER_BYTES = 24
_RECORD_INFO_OFFSET = 16
_MANAGER_XLOG = 0
_SWITCH = 0x40
_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class WalRange:
    """The WAL of one timeline that a restored copy replays: from `start` up to, without, `end`."""

    timeline: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WalGeometry:
    """Sizes of the log of one cluster."""

    segment_bytes: int
    page_bytes: int
    system_identifier: int

    def segment_of(self, path: bytes) -> tuple[int, int] | None:
        """Return timeline and number of the segment stored at `path`, or None if it is another file."""
        found = _SEGMENT.fullmatch(path)
        if not found:
            return None
        timeline, high, low = (int(part, 16) for part in found.groups())
        return timeline, high * self._per_high() + low

    def segment_name(self, timeline: int, number: int) -> str:
        """Return the file name of a segment."""
        high, low = divmod(number, self._per_high())
        return f"{timeline:08X}{high:08X}{low:08X}"

    def _per_high(self) -> int:
        return (1 << 32) // self.segment_bytes


def decode_lsn(text: str) -> int:
    """Return the position that PostgreSQL writes as two hex numbers.

    Raises:
        SourceCorrupt: It is not one.
    """
    found = _LSN.fullmatch(text)
    if not found:
        raise SourceCorrupt(f"the server sent {text!r} as a position in the WAL")
    return (int(found[1], 16) << 32) | int(found[2], 16)


@dataclass(slots=True)
class SegmentReader:
    """Checks the bytes of one segment as they are read.

    `good_until` is the address up to which its pages carry their own addresses; `switched` says that the log continues
    from there in the next segment (by pg_switch_wal, archive_timeout or a backup), so the rest is zeros by design.
    """

    geometry: WalGeometry
    number: int
    good_until: int = field(init=False)
    switched: bool = field(default=False, init=False)
    _rest: bytes = field(default=b"", init=False)  # the beginning of a page that arrived in two pieces
    _last: bytes = field(default=b"", init=False)  # the last good page
    _order: str = field(default="", init=False)
    _stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.good_until = self.number * self.geometry.segment_bytes

    def update(self, data: bytes) -> None:
        """Check the next bytes, of any length."""
        if self._stopped:
            return
        page_bytes = self.geometry.page_bytes
        data = self._rest + data if self._rest else data
        start = 0
        while start + page_bytes <= len(data) and not self._stopped:
            address = self._address(data, start)
            if address == self.good_until:
                self.good_until += page_bytes
                start += page_bytes
            else:
                last = data[start - page_bytes : start] if start else self._last
                self.switched = address == 0 and _ends_with_switch(last, self._order)
                self._stopped = True
        if start:
            self._last = data[start - page_bytes : start]
        self._rest = data[start:]

    def _address(self, data: bytes, start: int) -> int | None:
        """Return the address that a page claims; None while no page of this cluster's log has been seen."""
        if not self._order:
            self._order = self._find_order(data[start : start + _LONG_HEADER_BYTES])
        if not self._order:
            return None
        return int(struct.unpack_from(f"{self._order}Q", data, start + _PAGE_ADDRESS_OFFSET)[0])

    def _find_order(self, header: bytes) -> str:
        """Return the byte order of the server if this is the first page of a segment of its log."""
        wanted = (self.geometry.system_identifier, self.geometry.segment_bytes, self.geometry.page_bytes)
        return next((order for order in "<>" if struct.unpack(order + _LONG_HEADER, header)[5:] == wanted), "")


def _ends_with_switch(page: bytes, order: str) -> bool:
    """Return whether the last record of a page is the one that switches segments."""
    if not page:
        return False
    (info,) = struct.unpack_from(f"{order}H", page, _PAGE_INFO_OFFSET)
    (remaining,) = struct.unpack_from(f"{order}I", page, _PAGE_REMAINING_OFFSET)
    header_bytes = _LONG_HEADER_BYTES if info & _LONG_HEADER_FLAG else _SHORT_HEADER_BYTES
    position = header_bytes + _aligned(remaining)
    if remaining and position < len(page) and not any(page[position : position + 4]):
        return bool(remaining <= _RECORD_HEADER_BYTES)  # the switch itself began at the very end of the page before
    last = -1
    while position + _RECORD_HEADER_BYTES <= len(page):
        (total,) = struct.unpack_from(f"{order}I", page, position)
        if total < _RECORD_HEADER_BYTES:
            break
        last, position = position, position + _aligned(total)
    if last < 0:
        return False
    kind, manager = page[last + _RECORD_INFO_OFFSET], page[last + _RECORD_INFO_OFFSET + 1]
    return bool(manager == _MANAGER_XLOG and kind & 0xF0 == _SWITCH)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@dataclass(slots=True)
class WalCheck:
    """The segments that arrived, and the address up to which each is good."""

    geometry: WalGeometry
    _seen: dict[tuple[int, int], tuple[int, SegmentReader]] = field(default_factory=dict)  # with the size it had

    def reader(self, path: bytes) -> SegmentReader | None:
        """Return the reader for the bytes of the file at `path`, or None if it is no segment."""
        segment = self.geometry.segment_of(path)
        return None if segment is None else SegmentReader(self.geometry, segment[1])

    def add(self, path: bytes, size: int, reader: SegmentReader) -> None:
        """Remember a segment whose bytes have all been read."""
        segment = self.geometry.segment_of(path)
        if segment is not None:
            self._seen[segment] = (size, reader)

    def check(self, ranges: list[WalRange]) -> None:
        """Check that the log from the backup's start to its end is there and in its place.

        Where a timeline ends within a segment, the next timeline's file of the same number holds the same bytes, so
        either will do.

        Raises:
            SourceCorrupt: A segment is missing, short, or not what its name says.
        """
        size = self.geometry.segment_bytes
        timelines = [wal.timeline for wal in ranges]
        end = max((wal.end for wal in ranges), default=0)
        if not ranges or any(wal.start >= wal.end for wal in ranges):
            raise SourceCorrupt("the backup names no WAL that a restored copy would need")
        for wal in ranges:
            for number in range(wal.start // size, (wal.end - 1) // size + 1):
                found = [self._seen[timeline, number] for timeline in timelines if (timeline, number) in self._seen]
                name = self.geometry.segment_name(wal.timeline, number)
                if not found:
                    raise SourceCorrupt(f"the WAL segment {name}, which a restored copy needs, was not sent")
                if not any(sent == size and _reaches(reader, min(end, (number + 1) * size)) for sent, reader in found):
                    raise SourceCorrupt(f"the WAL segment {name} is incomplete or holds something else")


def _reaches(reader: SegmentReader, needed_until: int) -> bool:
    """Return whether a segment is good up to an address; behind a switch it is so only as a whole."""
    whole = needed_until % reader.geometry.segment_bytes == 0
    return reader.good_until >= needed_until or (whole and reader.switched)
